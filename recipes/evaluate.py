"""`spikeseq evaluate`: a trained model on a split, of its own data or another's; two models side by side."""

from pathlib import Path
from typing import Any

import torch

from spikeseq.events import WEIGHTS, compile_events, weights_read
from spikeseq.recipes import runs
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.registry import RECIPES


def evaluate(
    run: Path, *, data: str | None, split: str, say: Say, events: str | None = None
) -> dict[str, Any]:
    """Scores and energy of a run's model, with the vocabulary of the run; translations under "files".

    With `events`, "float32" or "int8", what is scored is the model driven by events (`compile_events`), and
    the weights that it read are counted; the energy is that of the model as it was trained.

    Raises:
        ValueError: unknown split or weights, a run that is not finished or has no spikes, data that does not
            fit the model.
    """
    if data == "":  # an unset variable of a shell
        raise ValueError("--data is empty; expected sample, hub or a path")
    if events is not None and events not in WEIGHTS:
        raise ValueError(f"--events must be one of {', '.join(WEIGHTS)}, got {events!r}")
    opened = runs.load(run)
    config = opened.config
    recipe = RECIPES[config.recipe]
    if split not in recipe.splits and not recipe.names_tests:
        raise ValueError(f"--split must be one of {', '.join(recipe.splits)}, got {split!r}")
    task = recipe.reopen(opened, run, config.data.source if data is None else data, split, say)
    model = opened.model if events is None else driven_by_events(opened.model, events)
    result = recipe.test(config, task, model, split, torch.device("cpu"))
    if events is not None:
        result |= {"events": events, "weights_read": weights_read(model)}
    energy = recipe.energy(config, task, opened.model, split)
    return {
        "run": str(run),
        "data": task.corpus.name,
        "split": split,
        **result,
        "spike_rate": energy["spike_rate"],
        "energy": energy,
    }


def driven_by_events(model: Any, weights: str) -> Any:
    try:
        return compile_events(model, weights)
    except TypeError as error:
        raise ValueError(f"--events: {error}") from None


def compare(run: Path, baseline: Path, *, data: str | None, split: str, say: Say) -> dict[str, Any]:
    """Two translation runs on the same pairs: both figures, and sacrebleu's paired bootstrap between them.

    Raises:
        ValueError: as `evaluate`; runs that do not translate, or not the same sentences.
    """
    from spikeseq.evaluation.bleu import paired_bootstrap

    if run.resolve() == baseline.resolve():
        raise ValueError(f"--against {baseline} is the run itself; give another one")
    for folder in (baseline, run):
        if not RECIPES[runs.read_config(folder).recipe].writes_lines:
            raise ValueError(f"{folder} does not translate; --against compares two translation runs")
    results = [evaluate(folder, data=data, split=split, say=say) for folder in (baseline, run)]
    lines, references = [], []
    for result in results:
        files = result.pop("files")
        lines.append(files[f"{split}.hypotheses"].split("\n")[:-1])
        references.append(files[f"{split}.references"].split("\n")[:-1])
    if references[0] != references[1]:
        raise ValueError(f"{run} and {baseline} are not tested on the same sentences; give --data")
    named = {str(baseline): lines[0], str(run): lines[1]}
    return {**results[1], "baseline": results[0], "bootstrap": paired_bootstrap(named, references[0])}
