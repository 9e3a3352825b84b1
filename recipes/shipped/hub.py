"""Finished runs as folders for the Hugging Face hub, with what `spikeseq.load` needs and a card.

A published folder is a run folder without what only concerns the machine that trained it.
"""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spikeseq.evaluation.energy.prices import full
from spikeseq.evaluation.energy.table import operations
from spikeseq.files import check_new, new_folder, write_whole
from spikeseq.recipes.config import to_yaml
from spikeseq.recipes.manifest import (
    MANIFEST_FILE,
    METRICS_FILE,
    RunError,
    checked,
    read_manifest,
    write_manifest,
)
from spikeseq.recipes.recipe import Recipe
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import CONFIG_FILE, finished, read_config
from spikeseq.recipes.shipped.fetched import PREFIX

CARD_FILE, ABOUT_FILE = "README.md", "config.json"
PLACES = ("data.source", "data.vectors", "model.start", "distillation.teachers")
"""Settings that name files and folders."""


def publish(run: Path, folder: Path) -> dict[str, Any]:
    """Writes what `spikeseq.load` needs of a finished run, its figures and a card about them to a new folder.

    Names of files and folders of this machine are cut to their last part.

    Raises:
        RunError: the run is not finished or damaged, or of a version that wrote no manifest.
        ValueError: there is something at `folder` already, or it cannot be written.
    """
    metrics, config = finished(run), read_config(run)
    listed = read_manifest(run)
    if listed is None:
        raise RunError(
            f"{run} has no {MANIFEST_FILE}: a version before wrote it; train it again to publish it"
        )
    check_new(folder)
    metrics["used"] = {key: without_place(key, value) for key, value in metrics.get("used", {}).items()}
    for place in PLACES:
        section, key = place.split(".")
        if section in config and config[section].get(key):
            config[section][key] = without_place(place, config[section][key])
    told = json.dumps(metrics, indent=2) + "\n"
    whole = [checked(run / name) for name in sorted(set(listed) - {CONFIG_FILE, METRICS_FILE})]
    with new_folder(folder) as new:
        for path in whole:
            shutil.copyfile(path, new / path.name)
        write_whole(new / CONFIG_FILE, to_yaml(config))
        write_manifest(new, [name for name in listed if name != METRICS_FILE], {METRICS_FILE: told})
        write_whole(new / ABOUT_FILE, json.dumps(about(metrics), indent=2) + "\n")
        write_whole(new / CARD_FILE, card(metrics, folder.name))
        write_whole(new / METRICS_FILE, told)
    return {"files": ", ".join(sorted(path.name for path in folder.iterdir()))}


def without_place(key: str, value: Any) -> Any:
    """What a setting of PLACES names, by the last part of its path: `os.pathsep` stands between several."""
    if key not in PLACES:
        return value
    if isinstance(value, list):
        return [without_place(key, one) for one in value]
    if not isinstance(value, str):
        return value
    return os.pathsep.join(Path(part).name or part for part in value.split(os.pathsep))


def about(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """`config.json`, by which the hub knows a model's library and counts downloads."""
    import spikeseq

    keys = ("recipe", "model", "method", "data", "seed")
    return {"library_name": "spikeseq", "version": spikeseq.__version__} | {
        key: metrics[key] for key in keys if key in metrics
    }


def card(metrics: Mapping[str, Any], name: str) -> str:
    """A model card: what it is, its figures, what it costs by both accounts, and how to use it.

    Args:
        metrics: of the finished run. name: of the folder.
    """
    from huggingface_hub import EvalResult, ModelCardData

    recipe, split = RECIPES[metrics["recipe"]], metrics.get("split", "test")
    result = EvalResult(
        task_type=recipe.pipeline or "other",
        dataset_type=metrics["data"],
        dataset_name=f"{metrics['data']}, {split}",
        metric_type=recipe.figure,
        metric_value=metrics["test"][recipe.figure],
    )
    header = ModelCardData(
        library_name="spikeseq",
        tags=["spiking-neural-network", metrics["recipe"]],
        pipeline_tag=recipe.pipeline or None,
        model_name=name,
        eval_results=[result],
    )
    figures = "\n".join(f"| {key} | {value} |" for key, value in rows(metrics, recipe, split).items())
    return f"""---
{header.to_yaml()}
---

# {name}

A `{metrics["model"]}` of spikeseq's recipe `{metrics["recipe"]}`, trained on {metrics["data"]}.

| | |
|---|---|
{figures}

```python
import spikeseq

opened = spikeseq.load("FOLDER")  # or "{PREFIX}OWNER/NAME"
{recipe.use}
```

Compute energy is that of products and sums by the equations of N. Rathi's thesis, 45 nm, without memory. The
rows with memory count all operations, and all reads and writes from a memory of that size. Both are modelled,
not measured.
"""


def rows(metrics: Mapping[str, Any], recipe: Recipe, split: str) -> dict[str, str]:
    """The figures of a card: score, size, spikes, energy by the equations and with memory."""
    energy, per = metrics["energy"], recipe.unit
    forms = {"": energy} | {f", {name}": one for name, one in energy.get("variants", {}).items()}
    found = {
        f"{recipe.figure}, {metrics['data']}, {split}": f"{metrics['test'][recipe.figure]:g}",
        "parameters, outside embeddings": (
            f"{metrics['parameters']:,}, {metrics['parameters_without_embeddings']:,}"
        ),
    }
    if "weights" in metrics:
        found["weights"] = metrics["weights"]
    if metrics["spike_rate"] is not None:
        found[f"spikes of a neuron, per {per}"] = f"{metrics['spike_rate']:.3f}"
    for form, account in forms.items():
        found[f"compute energy per {per}{form}"] = f"{account['picojoules'] / 1e3:,.3f} nJ"
        if "operations" in account:
            counts = operations(account["operations"])
            for level in ("8KB", "32KB"):
                value = full(level).energy(counts) / 1e3
                found[f"energy with memory of {level} per {per}{form}"] = f"{value:,.2f} nJ"
    return found
