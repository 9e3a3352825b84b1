"""Settings of the recipes for images: what they mean, what they accept, and where they do nothing."""

from dataclasses import dataclass, field
from typing import Any

from spikeseq.recipes.settings import (
    WIDEST,
    DataSettings,
    DistillationSettings,
    EvaluateSettings,
    Idle,
    LearntNeuronSettings,
    ModelSettings,
    TrainSettings,
    accepts,
    always,
    dotted,
    names_of,
    one_of,
    part,
    positive,
    share,
    whole,
)

METHODS = {
    "ann": (),
    "direct": (),
    "convert": ("ann",),
    "hybrid": ("ann", "convert", "hybrid"),
    "diet": ("ann", "convert", "hybrid", "diet"),
}
"""The methods, and those whose runs they start from."""


@dataclass(kw_only=True)
class ImageSettings(DataSettings):
    """
    recipe: which classes, size and colours.
    validation_share: share of the training images of each class that chooses the epoch.
    size: side in pixels that images are brought to; null: as they are.
    shift: pixels that a training image moves at most.
    flip: mirror half of the training images.
    erase: side in pixels of a grey square put into training images; 0 for none.
    """

    recipe: str = field()
    validation_share: float = part()
    size: int | None = whole(1, 10_000)
    shift: int = whole(0)
    flip: bool = field()
    erase: int = whole(0)


@dataclass(kw_only=True)
class ImageModel(LearntNeuronSettings, ModelSettings):
    """
    method: --method.
    start: the run that --from names.
    width: factor on the channels of convolutions.
    hidden: width of hidden linear layers; 4096 in the thesis.
    dropout: share of the neurons silenced in training.
    norm: of currents: batch, batch-steps, or none (the thesis's constraint for conversion).
    stem: first layers of a resnet: three, imagenet.
    encoding: how pixels enter: direct, as currents; poisson, as spikes.
    chunk: sub-steps that gradients reach back (truncated backpropagation); null: all.
    """

    method: str = field()
    start: str | None = field()
    width: float = accepts("above 0 and at most 1000", lambda value: 0 < value <= 1000)
    hidden: int = whole(1, WIDEST)
    dropout: float = share()
    norm: str = one_of("batch", "batch-steps", "none")
    stem: str = one_of("three", "imagenet")
    encoding: str = one_of("direct", "poisson")
    chunk: int | None = whole()


@dataclass(kw_only=True)
class ConversionSettings:
    """From an ANN to thresholds (thesis algorithm 1). The section `conversion`.

    statistic: of the currents of a layer: percentile, max.
    percentile: thesis 5.4 has 95; 99.7 for many sub-steps.
    scale: factor on all thresholds, for fewer sub-steps.
    images: training images that thresholds are measured on.
    substeps: that they are measured over; null: model.substeps.
    """

    statistic: str = one_of("percentile", "max")
    percentile: float = accepts("above 0 and at most 100", lambda value: 0 < value <= 100)
    scale: float = positive()
    images: int = whole()
    substeps: int | None = whole(1, WIDEST)


@dataclass(kw_only=True)
class ImageEvaluate(EvaluateSettings):
    """
    images: tested images, evenly from all classes; null: all.
    energy_images: images that the energy account runs on.
    """

    images: int | None = whole()
    energy_images: int = whole()


def sections(model: str) -> dict[str, type]:
    return {
        "data": ImageSettings,
        "model": ImageModel,
        "conversion": ConversionSettings,
        "distillation": DistillationSettings,
        "train": TrainSettings,
        "evaluate": ImageEvaluate,
    }


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {}
"""Names in run folders of earlier versions, and those of today."""

NEURONS = names_of(LearntNeuronSettings)
AUGMENTATION = ("shift", "flip", "erase")
GRADIENTS = (
    *("dropout", "learn_leak", "learn_threshold", "detach_reset"),
    *("surrogate", "height", "surrogate_width", "chunk"),
)
"""Of the section `model`: what nothing comes of without training."""
MEASURING = ("batch_size", "precision")
"""Of the section `train`: what validation and tests use, too."""


def method_of(config: Any) -> str:
    return str(config.model.method)


def is_spiking(config: Any) -> bool:
    return method_of(config) != "ann"


def is_plain(config: Any) -> bool:
    """Whether the network is a row of layers, the last of them hidden linear ones."""
    return not config.model.name.startswith("resnet")


def converts(config: Any) -> bool:
    """Whether a run trains nothing."""
    return method_of(config) == "convert"


IDLE = (
    Idle(dotted("train", ("batch_tokens", "embedding_rate")), always, "on images"),
    Idle(
        ("train.spike_penalty", *dotted("model", (*NEURONS, "encoding", "chunk"))),
        lambda config: not is_spiking(config),
        "with --method ann, which has no spikes",
    ),
    Idle(("model.stem",), is_plain, "on {model.name}, only on a resnet"),
    Idle(
        ("model.hidden",),
        lambda config: not is_plain(config),
        "on {model.name}, which has no hidden linear layers",
    ),
    Idle(
        (
            *dotted("model", GRADIENTS),
            *dotted("train", [name for name in names_of(TrainSettings) if name not in MEASURING]),
            *dotted("data", AUGMENTATION),
        ),
        converts,
        "with --method convert, which trains nothing",
    ),
    Idle(
        dotted("conversion", names_of(ConversionSettings)),
        lambda config: "ann" not in METHODS[method_of(config)],
        "with --method {model.method}, which converts nothing",
    ),
    Idle(
        ("conversion.percentile",),
        lambda config: config.conversion.statistic == "max",
        "with conversion.statistic=max",
    ),
    Idle(
        dotted("distillation", names_of(DistillationSettings)),
        lambda config: converts(config) or not METHODS[method_of(config)],
        "with --method {model.method}, which has no teacher",
    ),
    Idle(
        ("distillation.temperature",),
        lambda config: not config.distillation.weight,
        "without distillation.weight",
    ),
)


def idle_after(before: Any, start: str) -> tuple[Idle, ...]:
    """What does nothing in a run that goes on from `start`, a run of the configuration `before`."""
    if not is_spiking(before):
        return (Idle(("model.threshold",), always, "as thresholds are measured"),)
    kept = ("model.threshold", "model.leak", *dotted("conversion", names_of(ConversionSettings)))
    why = f"as {start} is no run of --method ann: its thresholds and leaks are kept"
    return (Idle(kept, always, why.replace("{", "{{").replace("}", "}}")),)
