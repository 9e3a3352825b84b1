"""Cross-validation: one training for each part of the data, and the mean of what they are tested on."""

import contextlib
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spikeseq.files import write_whole
from spikeseq.recipes.lock import held
from spikeseq.recipes.recipe import Metrics, Say
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import CONFIG_FILE, RunError

FOLDS_FILE = "folds.json"


def fold_settings(folds: int, fold: int) -> list[str]:
    """`--set` values of one round; recipes whose data has no such settings refuse them."""
    return [f"data.folds={folds}", f"data.fold={fold}"]


def train_folds(
    configs: list[Any], folder: Path, train: Callable[[Any, Path], Metrics], say: Say = lambda text: None
) -> Metrics:
    """Trains each configuration in `folder`/fold-1 and so on; their mean, which it leaves in `folds.json`.

    Where `train` gives nothing, as in processes beside the first, neither does this.

    Raises:
        RunError: the folder is a run of its own.
    """
    if (folder / CONFIG_FILE).exists():
        raise RunError(f"{folder} is a run; choose another --out for the folds")
    with contextlib.ExitStack() as lock:
        rounds = []
        for n, config in enumerate(configs, start=1):
            rounds.append(train(config, folder / f"fold-{n}"))
            # The first one makes the folder, and each has a lock of its own.
            if n == 1 and rounds[0]:
                lock.enter_context(held(folder, say))
        if not all(rounds):
            return {}
        found = summary(rounds)
        write_whole(folder / FOLDS_FILE, json.dumps(found, indent=2) + "\n")
        return found


def summary(rounds: list[Metrics]) -> Metrics:
    """Of finished rounds: the recipe's figure in each, its mean, least and most; means of what they cost."""
    first = rounds[0]
    figure = RECIPES[first["recipe"]].figure
    each = [metrics["test"][figure] for metrics in rounds]
    same = {key: first[key] for key in ("recipe", "model", "data", "seed", "split")}
    rates = [metrics["spike_rate"] for metrics in rounds]
    return {
        **same,
        "folds": len(rounds),
        "figure": figure,
        "mean": round(statistics.fmean(each), 3),
        "least": min(each),
        "most": max(each),
        "deviation": round(statistics.stdev(each), 3),
        "each": each,
        "spike_rate": None if None in rates else round(statistics.fmean(rates), 4),
        "picojoules": round(statistics.fmean(metrics["energy"]["picojoules"] for metrics in rounds), 3),
        "seconds": round(sum(metrics["seconds"]["train"] for metrics in rounds), 1),
    }


def told(found: Metrics) -> str:
    """A line of it for people."""
    spread = f"{found['least']:.2f} to {found['most']:.2f}"
    return f"{found['figure']} over {found['folds']} folds: {found['mean']:.2f} ({spread})"
