"""Trainings of a moment on generated data: one of each recipe and method, and some by two processes."""

from pathlib import Path
from typing import NamedTuple

import numpy as np


class Tiny(NamedTuple):
    """Recipe, model, method and settings of a training.

    start: the name of the training whose run it starts from. processes: that train it together.
    """

    recipe: str
    settings: list[str]
    model: str | None = None
    method: str | None = None
    start: str | None = None
    processes: int = 1


TEXTS = [
    "data.limit=80", "data.tokenizer=whitespace", "train.warmup=2", "train.average=0.5",
    "train.batch_size=16", "train.epochs=2", "evaluate.energy_texts=2", "model.hidden_size=12",
    "model.embedding_size=8",
]  # fmt: skip
LINES = [
    "data.limit=20", "train.epochs=2", "train.batch_size=4", "train.chunk=128", "train.warmup=2",
    "train.average=0.5", "evaluate.energy_tokens=20", "model.embedding_size=16", "model.layers=1",
    "model.neurons=24",
]  # fmt: skip
PAIRS = [
    "data.limit=30", "data.pieces=330", "train.epochs=2", "train.batch_tokens=300", "train.warmup=2",
    "evaluate.energy_texts=2", "evaluate.beam=1", "model.channels=16", "model.layers=2",
]  # fmt: skip
IMAGES = ["data.limit=60", "model.width=0.125", "model.hidden=16", "evaluate.energy_images=2"]
TRAINED = ["train.batch_size=16", "train.epochs=2"]
CONVERTED = ["model.substeps=2", "conversion.images=16", "conversion.percentile=90"]
GESTURES = [
    "data.size=32", "data.validation_subjects=1", "data.limit=44", "train.epochs=2", "train.warmup=2",
    "model.widths=[4,4]", "model.hidden=12", "model.substeps=2", "evaluate.energy_recordings=2",
]  # fmt: skip
TINY = {
    "imdb": Tiny("imdb", TEXTS, "snn"),
    "lm": Tiny("lm", LINES, "snn"),
    "multi30k": Tiny("multi30k", PAIRS, "conv-snn-snn"),
    "mnist ann": Tiny("mnist", [*IMAGES, *TRAINED], method="ann"),
    "mnist convert": Tiny("mnist", [*IMAGES, *CONVERTED], method="convert", start="mnist ann"),
    "mnist hybrid": Tiny(
        "mnist", [*IMAGES, *TRAINED, "model.substeps=2"], method="hybrid", start="mnist convert"
    ),
    "mnist diet": Tiny("mnist", [*IMAGES, *TRAINED, *CONVERTED], method="diet", start="mnist ann"),
    "mnist direct": Tiny("mnist", [*IMAGES, *TRAINED, "model.substeps=2"], method="direct"),
    "dvs128 blocks": Tiny("dvs128", [*GESTURES, "data.frames=3"], method="blocks"),
    "dvs128 frames": Tiny("dvs128", [*GESTURES, "data.frames=4", "data.frame_ms=15"], method="frames"),
    "mnist-stdp": Tiny("mnist-stdp", [
        "data.limit=300", "model.neurons=30", "train.part=150", "train.epochs=2", "evaluate.quick=20",
    ]),
    "cifar10-stdp": Tiny("cifar10-stdp", [
        "data.limit=100", "model.neurons=6", "model.stride=6", "model.pool=2", "evaluate.quick=20",
        "train.images=30", "train.patches=400", "train.part=200",
    ]),
    "digits-multimodal": Tiny("digits-multimodal", [
        "data.limit=120", "model.neurons=40", "model.frames=8", "model.cross_after=100", "train.part=50",
        "train.epochs=2", "train.pairs=100", "evaluate.quick=20",
    ]),
    "imdb by two": Tiny("imdb", TEXTS, "snn", processes=2),
    "lm by two": Tiny("lm", [*LINES, "data.reset=true"], "snn", processes=2),
    "mnist by two": Tiny(
        "mnist", [*IMAGES, *TRAINED, "model.substeps=2"], method="direct", processes=2
    ),
}  # fmt: skip


def train_tiny(name: str, folder: Path, resume: bool = False) -> None:
    """Trains in `folder`; the run that it starts from lies beside that under its own name, as the recordings
    of gestures do."""
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    tiny = TINY[name]
    data = str(folder.parent / "recordings") if tiny.recipe == "dvs128" else "sample"
    config = load_config(
        tiny.recipe, model=tiny.model, method=tiny.method, data=data, overrides=tiny.settings
    )
    if tiny.start is not None:
        config.model.start = str(folder.parent / tiny.start)
    train(config, folder, resume=resume, device="cpu")


def write_recordings(folder: Path, count: int = 300) -> Path:
    """132 recordings a split in tonic's layout, of random events: quick to write, and always the same."""
    rng = np.random.default_rng(0)
    for split, users in (("ibmGestureTrain", (1, 2, 3)), ("ibmGestureTest", (24, 25, 26))):
        for user in users:
            for light in ("fluorescent", "fluorescent_led", "led", "natural"):
                place = folder / "DVSGesture" / split / f"user{user:02}_{light}"
                place.mkdir(parents=True)
                for label in range(11):
                    x, y, p = rng.integers(0, [[128], [128], [2]], (3, count))
                    t = np.sort(rng.integers(0, 60, count))
                    rows = np.stack([(x + 8 * label) % 128, y, p, t], 1)
                    np.save(place / f"{label}.npy", rows.astype(np.int32))
        (folder / "DVSGesture" / f"{split}.tar.gz").touch()
    return folder
