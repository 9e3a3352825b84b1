"""A run with its weights in 8 bits: a quarter of the size, scored again as it then is."""

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from spikeseq.files import check_new, new_folder, write_whole
from spikeseq.recipes.manifest import METRICS_FILE, RunError, checked, read_manifest, write_manifest
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import finished, load
from spikeseq.recipes.weights import MODEL_FILE, load_weights, save_model


def shrink(run: Path, folder: Path, say: Say) -> dict[str, Any]:
    """Writes a run with the matrices of another in 8 bits to a new folder, and tests it.

    The figures of `metrics.json` under "test", and the energy, are those of the rounded weights, on the split
    that the run was read on; under "weights" stands "int8".

    Raises:
        RunError: the run is not finished, damaged, or of a version that wrote no manifest.
        ValueError: there is something at `folder` already, or the run's data are not where they were.
    """
    metrics, listed = finished(run), read_manifest(run)
    if listed is None:
        raise RunError(f"{run} has no manifest: a version before wrote it; train it again to shrink it")
    check_new(folder)
    opened = load(run)
    config = opened.config
    recipe, split = RECIPES[config.recipe], config.evaluate.get("split", "test")
    task = recipe.reopen(opened, run, config.data.source, split, say)
    whole = [checked(run / name) for name in listed if name not in (METRICS_FILE, MODEL_FILE)]
    with new_folder(folder) as new:
        for path in whole:
            shutil.copyfile(path, new / path.name)
        save_model(new, opened.model, config, small=True)
        load_weights(new, opened.model)
        test = recipe.test(config, task, opened.model, split, torch.device("cpu"))
        for name, content in test.pop("files", {}).items():
            write_whole(new / name, content)
        energy = recipe.energy(config, task, opened.model, split)
        before, metrics = metrics["test"], {**metrics, "test": test, "energy": energy, "weights": "int8"}
        told = json.dumps(metrics, indent=2) + "\n"
        write_manifest(new, [name for name in listed if name != METRICS_FILE], {METRICS_FILE: told})
        write_whole(new / METRICS_FILE, told)
    size = sum(path.stat().st_size for path in folder.iterdir())
    return {"bytes": size, recipe.figure: test[recipe.figure], "before": before[recipe.figure]}
