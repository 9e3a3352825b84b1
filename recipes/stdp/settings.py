"""Settings of digits learnt by spike timing: what they mean and accept, and where they do nothing."""

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

RULES = {
    "pairs": ("rate_before", "rate_behind", "rate_last", "slow_time"),
    "powerlaw": ("rate", "offset", "exponent"),
    "switching": ("on", "off", "window"),
}
"""The learning rules by the names of models, and the settings that are theirs alone."""


@dataclass(kw_only=True)
class DigitSettings(DataSettings):
    """
    recipe: which classes, size and colours.
    validation_share: share of the training images of each class that is held out, to compare settings.
    size: side in pixels that images are brought to; null: as they are.
    """

    recipe: str = field()
    validation_share: float = part()
    size: int | None = whole(1, 1000)


@dataclass(kw_only=True)
class StdpModel(ModelSettings):
    """
    neurons: excitatory ones; as many inhibitory ones stand beside them.
    hertz: spikes a second of a white pixel.
    time: ms that an image is shown for.
    rest: ms of silence behind it.
    dt: ms of a step.
    least: spikes below which an image is shown again.
    boost: share of the first rates that is added each time.
    repeats: times that it is shown again at most.
    inhibition: weight of an inhibitory neuron onto all others.
    threshold_step: mV that a spike adds to its neuron's threshold; null: as suits the number of neurons.
    threshold_time: ms in which that decays; null: as suits the number of neurons.
    threshold_last: share of the step that is left in the last part; from part to part it falls, and the time
        grows, by the same share. null: as suits the number of neurons.
    total: sum of a neuron's weights; null: a tenth of the number of pixels; 0: not held.
    trace_time: ms in which an input's trace decays.
    rate_before: learning rate at spikes of inputs.
    rate_behind: learning rate at spikes of neurons, in the first part of the training; null: it and the
        last one, as suit the number of neurons.
    rate_last: in the last part; from part to part it changes by the same share. null: that of the first.
    slow_time: ms in which a neuron's slow trace decays.
    rate: learning rate of equation 3.3.
    offset: its depression.
    exponent: how learning slows near the largest weight.
    on: probability that a synapse is switched on.
    off: probability that it is switched off.
    window: ms that an input's spike counts for.
    """

    neurons: int = whole(1, WIDEST)
    hertz: float = positive()
    time: float = positive()
    rest: float = not_negative()
    dt: float = positive()
    least: int = whole(0)
    boost: float = not_negative()
    repeats: int = whole(0)
    inhibition: float = not_negative()
    threshold_step: float | None = not_negative()
    threshold_time: float | None = positive()
    threshold_last: float | None = positive()
    total: float | None = not_negative()
    trace_time: float = positive()
    rate_before: float = not_negative()
    rate_behind: float | None = not_negative()
    rate_last: float | None = not_negative()
    slow_time: float = positive()
    rate: float = not_negative()
    offset: float = not_negative()
    exponent: float = positive()
    on: float = unit()
    off: float = unit()
    window: float = positive()


@dataclass(kw_only=True)
class PruneSettings:
    """Fewer synapses and weight values (thesis chapter 2). The section `prune`.

    when: none; before training, at random; during it, after every part from `first` on; after it.
    keep: how synapses are chosen: share, each neuron's strongest; threshold, all above a weight.
    share: of each neuron's synapses that is kept.
    threshold: weight that is kept above.
    first: images before the first time.
    regrow: whether synapses at zero may learn again until the end.
    levels: values of each neuron's weights with zero: 2 or 3; 0: as many as there are.
    early: whether they share values after every part that is pruned too, or at the end alone.
    settle: images from which thresholds alone learn, once weights change no more.
    """

    when: str = one_of("none", "before", "during", "after")
    keep: str = one_of("share", "threshold")
    share: float = unit()
    threshold: float = not_negative()
    first: int = whole(0)
    regrow: bool = field()
    levels: int = field(metadata={"accepts": (("0, 2 or 3", lambda value: value in (0, 2, 3)),)})
    early: bool = field()
    settle: int = whole(0)


@dataclass(kw_only=True)
class StdpTrain(TrainSettings):
    """
    part: images between two entries of the log, two saves, and two times of pruning.
    """

    part: int = whole(default=5000)


@dataclass(kw_only=True)
class StdpEvaluate(EvaluateSettings):
    """
    readout: vote, neurons labelled by the class they answer most; linear, a map of all counts.
    labels: training images that the readout learns from, once the network is trained; null: all.
    quick: validation images that a part's entry of the log is about.
    penalty: of the linear map, on its weights.
    inhibition: weight of an inhibitory neuron onto all others once the network is trained; null: as suits the
        number of neurons.
    """

    readout: str = one_of("vote", "linear")
    labels: int | None = whole(2)
    quick: int = whole(1)
    penalty: float = positive()
    inhibition: float | None = not_negative()


def sections(model: str) -> dict[str, type]:
    return {
        "data": DigitSettings,
        "model": StdpModel,
        "prune": PruneSettings,
        "train": StdpTrain,
        "evaluate": StdpEvaluate,
    }


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {"model.threshold_last": 1.0, "evaluate.inhibition": 40.0}  # model.inhibition then
"""Names in run folders of earlier versions, and those of today."""

USED = ("epochs", "batch_size", "part")
GRADIENTS = tuple(name for name in TrainSettings.__dataclass_fields__ if name not in USED)


DURING = ("first", "regrow")
"""Of the section `prune`: what only pruning during training has."""


def _rules_of_others(name: str) -> Idle:
    keys = dotted("model", RULES[name])
    return Idle(keys, lambda config: config.model.name != name, "with model {model.name}, but with " + name)


def _when(*when: str) -> Any:
    return lambda config: config.prune.when in when


IDLE = (
    Idle(("data.size",), lambda config: config.data.source == "sample", "on the sample, of 28 pixels"),
    Idle(dotted("train", GRADIENTS), always, "on learning by spike timing, which has no gradients"),
    *map(_rules_of_others, RULES),
    Idle(dotted("prune", ("keep", "share", "threshold", *DURING)), _when("none"), "with prune.when=none"),
    Idle(dotted("prune", ("keep", "threshold", *DURING)), _when("before"), "with prune.when=before"),
    Idle(dotted("prune", DURING), _when("after"), "with prune.when=after"),
    Idle(("prune.early",), lambda config: config.prune.when != "during" or not config.prune.levels,
         "without prune.when=during and prune.levels"),
    Idle(("prune.settle",), lambda config: _when("none", "before")(config) and not config.prune.levels,
         "where nothing is done to weights at the end"),
    Idle(("prune.threshold",), lambda config: config.prune.keep == "share", "with prune.keep=share"),
    Idle(("prune.share",), lambda config: config.prune.keep == "threshold" and config.prune.when != "before",
         "with prune.keep=threshold"),
)  # fmt: skip
