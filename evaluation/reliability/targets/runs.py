"""Finished runs, with a manifest and without, and what their models answer."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.evaluation.reliability.tiny import train_tiny
from spikeseq.recipes import runs
from spikeseq.recipes.manifest import MANIFEST_FILE, MARK, write_manifest

LINES = ["The acting was superb, and I loved it.", "Zwei Katzen stehen auf."]
SUFFIXES = (".json", ".jsonl", ".safetensors", ".yaml", ".model")
MADE = ("lm", "mnist-stdp", "cifar10-stdp", "digits-multimodal")
"""Recipes of which no run of before is kept."""


def trained(place: Path, made: Sequence[str] = MADE) -> list[Path]:
    """Tiny runs of these recipes."""
    for name in made:
        train_tiny(name, place / f"{name}-tiny")
    return [place / f"{name}-tiny" for name in made]


def of_runs(found: list[Path], place: Path) -> Iterator[Target]:
    """Of each finished run a copy with a manifest, and one as versions before manifests wrote it."""
    for run in found:
        for kind, strict in (("run", True), ("run of before", False)):
            folder = shutil.copytree(run, place / kind.replace(" ", "-") / run.name)
            (folder / MANIFEST_FILE).unlink(missing_ok=True)
            names = [path.name for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES]
            metrics = json.loads((folder / runs.METRICS_FILE).read_text(encoding="utf-8"))
            metrics.pop(MARK, None)
            if strict:
                told = json.dumps(metrics | {MARK: 1})
                write_manifest(folder, names, {runs.METRICS_FILE: told})
                (folder / runs.METRICS_FILE).write_text(told, encoding="utf-8")
                names = [*names, MANIFEST_FILE]
            else:
                (folder / runs.METRICS_FILE).write_text(json.dumps(metrics), encoding="utf-8")
            yield Target(f"{kind}: {run.name}", folder, tuple(sorted(names)), used, strict)


@torch.no_grad()
def used(folder: Path) -> Any:
    """All that is read from a run, and an answer of its model."""
    from spikeseq.evaluation.energy.table import compute_rows, memory_rows

    metrics, log = runs.finished(folder), runs.read_log(folder)
    row, named = runs.row_of(folder, metrics), {"run": metrics}
    rows = [compute_rows(named, metrics["recipe"]), memory_rows(named)]
    opened = runs.load(folder)
    return [json.dumps([row, rows, [[r["epoch"], r["loss"]] for r in log]]), answer(opened)]


def answer(opened: Any) -> Any:
    """Of a model, to something small."""
    if opened.translates:
        return opened.translate(LINES[1:], beam=1)
    if opened.writes:
        return ["".join(opened.generate("a", tokens=4, seed=1)), opened.score("one").log_probabilities]
    if opened.reads == "text":
        return [prediction.scores for prediction in opened.predict(LINES[:1])]
    if hasattr(opened, "size"):
        pixels = torch.arange(opened.channels * opened.size**2).view(1, opened.channels, opened.size, -1)
        return [prediction.scores for prediction in opened.predict((pixels * 7 % 251).to(torch.uint8))]
    if hasattr(opened, "encoding"):
        return [prediction.scores for prediction in opened.predict([events(3000)])]
    state = opened.model.state_dict()
    return [sorted(state), opened.classes, [float(value.double().sum()) for value in state.values()]]


def events(count: int) -> np.ndarray:
    i = np.arange(count)
    found = np.zeros(count, [("x", "<i2"), ("y", "<i2"), ("p", "?"), ("t", "<i8")])
    found["x"], found["y"], found["p"], found["t"] = (i * 37) % 128, i * 53 % 128, i % 3 == 0, i * 20
    return found
