"""Which finished runs stand in one table: those on exactly the same data, split and seed."""

import contextlib
import math
from pathlib import Path
from typing import Any

from spikeseq.recipes import runs
from spikeseq.recipes.recipe import Metrics
from spikeseq.recipes.registry import RECIPES


def split_of(metrics: Metrics) -> str:
    """The split that a run was read on; runs of an earlier version do not say it."""
    return str(metrics.get("split", "test"))


def compared_by(folder: Path, metrics: Metrics) -> dict[str, Any]:
    """What must be equal for runs to be compared: recipe, split, seed and, as the recipe says, the data used.

    Runs of an earlier version do not say in `metrics.json` what data they used: their settings do.
    """
    used = metrics.get("used")
    if used is None:
        used = RECIPES[metrics["recipe"]].used(runs.read_config(folder), metrics)
    common = {key: metrics[key] for key in ("recipe", "data", "seed")}
    return common | {"split": split_of(metrics)} | used


def neighbours(folder: Path, metrics: Metrics) -> list[Metrics]:
    """The finished runs beside one that compare with it, the best first, their names as `run`."""
    found, recipe, wanted = [], RECIPES[metrics["recipe"]], compared_by(folder, metrics)
    for other in sorted(folder.resolve().parent.iterdir()):
        # What lies beside a run is not ours: no file in it may spoil a training that has gone well.
        with contextlib.suppress(OSError, *runs.UNREADABLE):
            row = runs.read_metrics(other)
            if row and compared_by(other, row) == wanted:
                recipe.row(row)  # of an earlier version it may have no row
                found.append(row | {"run": other.name})
    sign = 1 if recipe.lower_is_better else -1
    return sorted(found, key=lambda row: sign * row["test"].get(recipe.figure, sign * math.inf))
