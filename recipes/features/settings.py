"""Settings of convolutions learnt by spike timing: what they mean and accept, and where they do nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spikeseq.recipes.settings import (
    WIDEST,
    DataSettings,
    EvaluateSettings,
    Idle,
    ModelSettings,
    TrainSettings,
    always,
    dotted,
    not_negative,
    part,
    positive,
    unit,
    whole,
)

RULES = {
    "pairs": ("rate_before", "rate_behind", "slow_time"),
    "powerlaw": ("rate", "offset", "exponent"),
    "switching": ("on", "off", "window"),
}
"""The learning rules by the names of models, and the settings that are theirs alone."""
PRESENTED = (
    *("hertz", "time", "least", "repeats", "inhibition", "threshold_step", "threshold_time", "trace_time"),
    *(name for names in RULES.values() for name in names),
)
"""What only kernels that learn by spike timing have."""


@dataclass(kw_only=True)
class FeatureData(DataSettings):
    """
    recipe: which classes, size and colours.
    validation_share: share of the training images of each class that is held out, to compare settings.
    size: side in pixels that images are brought to; null: as they are.
    """

    recipe: str = field()
    validation_share: float = part()
    size: int | None = whole(1, 1000)


@dataclass(kw_only=True)
class FeatureModel(ModelSettings):
    """
    neurons: kernels, each of one excitatory neuron while they are learnt.
    side: of a kernel, pixels.
    stride: pixels between two places of a kernel.
    noise: added to all variances before whitening; patches are normalised, so that their mean variance is 1.
    cut: current that neurons at all places leak, in standard deviations over patches.
    gain: what is left of a current, by which a neuron is driven a step; it fires at 1.
    substeps: T, steps for an image.
    pool: regions of a map in each direction, whose mean rates are read out.
    hertz: spikes a second of an input that is one standard deviation from the mean.
    time: ms that a patch is shown for.
    least: spikes below which a patch is shown again.
    repeats: times that it is shown again at most.
    inhibition: weight of an inhibitory neuron onto all others.
    threshold_step: mV that a spike adds to its neuron's threshold.
    threshold_time: ms in which that decays; null: as suits the number of neurons.
    total: sum of a neuron's weights, as a share of the number of inputs; 0: not held.
    first: weights are drawn from 0 to this.
    trace_time: ms in which an input's trace decays.
    rate_before: learning rate at spikes of inputs.
    rate_behind: learning rate at spikes of neurons.
    slow_time: ms in which a neuron's slow trace decays.
    rate: learning rate of equation 3.3.
    offset: its depression.
    exponent: how learning slows near the largest weight.
    on: probability that a synapse is switched on.
    off: probability that it is switched off.
    window: ms that an input's spike counts for.
    """

    neurons: int = whole(1, WIDEST)
    side: int = whole(2, 1000)
    stride: int = whole(1, 1000)
    noise: float = positive()
    cut: float = not_negative()
    gain: float = positive()
    substeps: int = whole(1, WIDEST)
    pool: int = whole(1, 1000)
    hertz: float = positive()
    time: float = positive()
    least: int = whole(0)
    repeats: int = whole(0)
    inhibition: float = not_negative()
    threshold_step: float = not_negative()
    threshold_time: float | None = positive()
    total: float | None = unit()
    first: float = positive()
    trace_time: float = positive()
    rate_before: float = not_negative()
    rate_behind: float = not_negative()
    slow_time: float = positive()
    rate: float = not_negative()
    offset: float = not_negative()
    exponent: float = positive()
    on: float = unit()
    off: float = unit()
    window: float = positive()


@dataclass(kw_only=True)
class FeatureTrain(TrainSettings):
    """
    images: training images that kernels and whitening are learnt from; null: all. Labels are not used, but
        by the model backprop.
    patches: that are shown, one after the other, from random places of these images.
    part: patches between two entries of the log, and two saves.
    """

    images: int | None = whole(2)
    patches: int = whole()
    part: int = whole()


@dataclass(kw_only=True)
class FeatureEvaluate(EvaluateSettings):
    """
    labels: training images that the readout learns from, once the kernels are learnt; null: all.
    quick: training images, and as many of the validation split, that an entry of the log is about.
    penalty: of the linear map, on its weights.
    """

    labels: int | None = whole(2)
    quick: int = whole(2)
    penalty: float = positive()


def sections(model: str) -> dict[str, type]:
    return {"data": FeatureData, "model": FeatureModel, "train": FeatureTrain, "evaluate": FeatureEvaluate}


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {}
"""Names in run folders of earlier versions, and those of today."""

BACKPROP = ("epochs", "batch_size", "learning_rate", "weight_decay")
PATCHES = ("patches", "part")
UNUSED = tuple(name for name in TrainSettings.__dataclass_fields__ if name not in BACKPROP)


def _model(*names: str) -> Callable[[Any], bool]:
    return lambda config: config.model.name in names


def _not_model(*names: str) -> Callable[[Any], bool]:
    return lambda config: config.model.name not in names


WITH = "with model {model.name}"
IDLE = (
    Idle(dotted("train", UNUSED), always, "on kernels of one layer"),
    Idle(dotted("train", BACKPROP), _not_model("backprop"), f"{WITH}, but with backprop"),
    Idle(dotted("train", PATCHES), _model("random", "backprop"), WITH),
    Idle(("evaluate.quick",), _model("random"), WITH),
    Idle(dotted("model", PRESENTED), _model("random", "backprop"), WITH),
    Idle(dotted("model", ("total", "first")), _model("backprop"), WITH),
    *(Idle(dotted("model", keys), _not_model(name), f"{WITH}, but with {name}")
      for name, keys in RULES.items()),
)  # fmt: skip
