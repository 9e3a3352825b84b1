"""Runs of the image recipe on a part of the sample, of a second each."""

from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import train

QUICK = [
    "data.limit=120", "model.width=0.125", "model.hidden=16", "train.epochs=1", "train.batch_size=16",
    "evaluate.energy_images=4", "train.precision=float32",
]  # fmt: skip
CONVERSION = ["conversion.images=32", "conversion.percentile=90"]  # spikes enough for the account
CHAIN = {"ann": None, "convert": "ann", "hybrid": "convert", "diet": "convert"}


def run(folder, method, start=None, recipe="cifar10", model=None, extra=(), **options):
    quick = [*QUICK, *CONVERSION] if start is not None and start.name == "ann" else [*QUICK]
    if method == "convert":
        quick.remove("train.epochs=1")
    config = load_config(recipe, model=model, method=method, overrides=[*quick, *extra])
    config.model.start = None if start is None else str(start)
    return train(config, folder, **options)


def chain(folder):
    """A run of every method in a folder, which it returns."""
    for method, start in CHAIN.items():
        steps = {"ann": [], "hybrid": ["model.substeps=4", "model.chunk=2"]}
        extra = steps.get(method, ["model.substeps=3"])
        run(folder / method, method, None if start is None else folder / start, extra=extra)
    run(folder / "direct", "direct", extra=["model.substeps=2"])
    return folder
