"""Settings of digits seen and heard: what they mean and accept, and where they do nothing."""

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
    one_of,
    part,
    positive,
    unit,
    whole,
)


@dataclass(kw_only=True)
class PairSettings(DataSettings):
    """
    recipe: which images.
    validation_share: share of the training images and sounds of each digit that is held out.
    size: side in pixels that images are brought to, which is 28; null: as they are.
    noise: of all images: none; white, Gaussian; contrast, the same at half the contrast.
    deviation: standard deviation of the noise, grey levels of 255.
    """

    recipe: str = field()
    validation_share: float = part()
    size: int | None = whole(28, 28)
    noise: str = one_of("none", "white", "contrast")
    deviation: float = not_negative()


@dataclass(kw_only=True)
class PairModel(ModelSettings):
    """
    neurons: excitatory ones, half for each modality if there are two; each has an inhibitory partner.
    frames: parts that a recording is cut into; a channel in one of them is an input neuron.
    hertz: spikes a second of a white pixel.
    sound_hertz: spikes a second of a channel at its most active.
    time: ms that a pair is shown for.
    rest: ms of silence behind it.
    dt: ms of a step.
    least: spikes of an ensemble below which a pair is shown again.
    boost: share of the first rates that is added each time.
    repeats: times that it is shown again at most.
    inhibition: weight of an inhibitory neuron onto all others.
    threshold_step: mV that a spike adds to its neuron's threshold.
    threshold_time: ms in which that decays; null: as suits the number of neurons.
    trace_time: ms in which an input's trace decays.
    rate_before: learning rate at spikes of inputs.
    rate_behind: learning rate at spikes of neurons.
    slow_time: ms in which a neuron's slow trace decays.
    cross: connections across: learnt by equation 3.3, made between neurons of one label, or none.
    share: of all pairs of neurons, each way, that may be connected.
    cross_after: training pairs before they begin.
    cross_rate: learning rate of connections across.
    cross_time: ms in which their traces decay.
    cross_offset: their depression.
    cross_most: their largest weight, which made ones have.
    """

    neurons: int = whole(1, WIDEST)
    frames: int = whole(1, 1000)
    hertz: float = positive()
    sound_hertz: float = positive()
    time: float = positive()
    rest: float = not_negative()
    dt: float = positive()
    least: int = whole(0)
    boost: float = not_negative()
    repeats: int = whole(0)
    inhibition: float = not_negative()
    threshold_step: float = not_negative()
    threshold_time: float | None = positive()
    trace_time: float = positive()
    rate_before: float = not_negative()
    rate_behind: float = not_negative()
    slow_time: float = positive()
    cross: str = one_of("learnt", "made", "none")
    share: float = unit()
    cross_after: int = whole(1)
    cross_rate: float = not_negative()
    cross_time: float = positive()
    cross_offset: float = not_negative()
    cross_most: float = positive()


@dataclass(kw_only=True)
class PairTrain(TrainSettings):
    """
    part: pairs between two entries of the log and two saves; connections across begin between parts.
    pairs: of an epoch; null: as many as there are images.
    """

    part: int = whole(default=5000)
    pairs: int | None = whole(2, default=None)


@dataclass(kw_only=True)
class PairEvaluate(EvaluateSettings):
    """
    readout: vote, neurons labelled by the digit they answer most; linear, a map of all counts.
    labels: training pairs that the readout learns from, once the network is trained; null: all.
    quick: validation pairs that a part's entry of the log is about.
    penalty: of the linear map, on its weights.
    """

    readout: str = one_of("vote", "linear")
    labels: int | None = whole(2)
    quick: int = whole(1)
    penalty: float = positive()


def sections(model: str) -> dict[str, type]:
    return {"data": PairSettings, "model": PairModel, "train": PairTrain, "evaluate": PairEvaluate}


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {}
"""Names in run folders of earlier versions, and those of today."""

USED = ("epochs", "batch_size", "part", "pairs")
GRADIENTS = tuple(name for name in TrainSettings.__dataclass_fields__ if name not in USED)
MADE = ("share", "cross_after", "cross_most")
LEARNT = ("cross_rate", "cross_time", "cross_offset")


def _alone(config: Any) -> bool:
    return config.model.name != "both"


IDLE = (
    Idle(dotted("train", GRADIENTS), always, "on learning by spike timing, which has no gradients"),
    Idle(dotted("model", ("cross", *MADE, *LEARNT)), _alone, "with model {model.name}, which is alone"),
    Idle(dotted("model", (*MADE, *LEARNT)), lambda config: config.model.cross == "none",
         "with model.cross=none"),
    Idle(dotted("model", LEARNT), lambda config: config.model.cross == "made", "with model.cross=made"),
    Idle(("model.hertz", "data.noise", "data.deviation"), lambda config: config.model.name == "sound",
         "with model sound"),
    Idle(("model.sound_hertz",), lambda config: config.model.name == "image", "with model image"),
    Idle(("data.size",), lambda config: config.data.source == "sample", "on the sample, of 28 pixels"),
    Idle(("data.deviation",), lambda config: config.data.noise == "none", "with data.noise=none"),
)  # fmt: skip
