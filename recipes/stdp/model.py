"""A network that learnt without labels, and what reads its spikes: one module, which a run folder keeps."""

from typing import Any

import torch
from torch import Tensor, nn

from spikeseq import stdp
from spikeseq.stdp.readout import check_loaded
from spikeseq.stdp.rules import Rule

EXAMPLES = 500  # at once: little memory, and news for people
LABELLING, ANSWERING = 2**40, 2**41
"""Numbers that examples draw their spikes by: no training image has them."""


class DigitNetwork(nn.Module):
    """Images to classes: pixels as rates of spikes, a network of one ensemble, and a readout of its counts.

    Args:
        network: that learns. classes: how many. hertz: spikes a second of a white pixel.

    Buffers: `labels`, of every neuron, and `weight`, of the linear map: what readouts learnt.
    """

    labels: Tensor
    weight: Tensor

    def __init__(self, network: stdp.Network, classes: int, hertz: float, readout: str) -> None:
        super().__init__()
        neurons = network.plan.ensembles[0].neurons
        self.network, self.hertz, self.readout = network, hertz, readout
        self.register_buffer("labels", torch.full((neurons,), -1))
        self.register_buffer("weight", torch.zeros(neurons + 1, classes, dtype=torch.float64))
        self.register_load_state_dict_post_hook(check_loaded)

    def rates(self, pixels: Tensor) -> Tensor:
        """uint8 (N, 1, H, W) to spikes a second, (N, H * W)."""
        return pixels.flatten(1).float() * (self.hertz / 255)

    def counts(self, pixels: Tensor, first: int) -> stdp.Shown:
        """Spikes of every neuron in evaluation, image by image; `first` numbers the images."""
        self.network.eval()
        parts = [
            self.network(self.rates(part), first=first + EXAMPLES * k)
            for k, part in enumerate(pixels.split(EXAMPLES))
        ]
        return stdp.Shown(*map(torch.cat, zip(*parts, strict=True)))

    def learn_classes(self, counts: Tensor, targets: Tensor, penalty: float) -> None:
        """Both readouts, from counts and classes of training images."""
        classes = self.weight.shape[1]
        self.labels.copy_(stdp.Votes.fit(counts, targets, classes).labels)
        self.weight.copy_(stdp.Linear.fit(counts, targets, classes, penalty).weight)

    def scores(self, counts: Tensor, readout: str | None = None) -> Tensor:
        """(N, classes): of the readout of the settings, or another one."""
        if (readout or self.readout) == "vote":
            return stdp.Votes(self.labels, self.weight.shape[1]).scores(counts)
        return stdp.Linear(self.weight).scores(counts)

    def forward(self, pixels: Tensor) -> Tensor:
        """Scores (N, classes) of images; the same image always gets the same answer."""
        return torch.cat([self.scores(self.counts(one[None], ANSWERING).counts) for one in pixels])


def digit_network(config: Any, classes: int, pixels: int) -> DigitNetwork:
    """The model of a configuration for images of so many pixels, untrained."""
    m = config.model
    kind = stdp.Ensemble(
        pixels,
        m.neurons,
        rule_of(m),
        total=m.total,
        from_partner=m.inhibition,
        recall_partner=recall_inhibition(config),
        threshold_step=m.threshold_step,
        threshold_time=m.threshold_time,
    )
    show = stdp.Presentation(m.time, m.dt, m.rest, m.least, m.boost, m.repeats)
    show.check_rate("model.hertz", m.hertz)
    network = stdp.Network(kind, presentation=show, seed=config.seed)
    return DigitNetwork(network, classes, m.hertz, config.evaluate.readout)


def recall_inhibition(config: Any) -> float:
    """Of the trained network: the more neurons have learnt something alike, the more are to answer."""
    m, own = config.model, config.evaluate.inhibition
    return float(m.inhibition * min(1.0, stdp.MANY / m.neurons) ** 0.5 if own is None else own)


def rates_behind(neurons: int) -> tuple[float, float]:
    """Learning rates of pairs of traces in the first and the last part of the training.

    Many neurons see few examples each: they must take the first ones over, and then average what follows.
    """
    return (0.03, 0.03) if neurons <= stdp.MANY else (0.25, 0.02)


def thresholds_of(m: Any, done: float = 0.0) -> dict[str, float]:
    """The step and the time of thresholds when so much of the training is done, in [0, 1].

    Many neurons need large steps at first, so that all have their turn. These leave thresholds noisy, and the
    neuron that fits best is not the one that fires: the step falls to that of few neurons, and the time grows
    by as much, with which thresholds stay as high as they are.
    """
    step = stdp.threshold_step(m.neurons) if m.threshold_step is None else m.threshold_step
    time = stdp.threshold_time(m.neurons) if m.threshold_time is None else m.threshold_time
    last = min(1.0, stdp.MANY / m.neurons) if m.threshold_last is None else m.threshold_last
    return {"threshold_step": step * last**done, "threshold_time": time / last**done}


def rule_of(m: Any, done: float = 0.0) -> Rule:
    """The rule that `model.name` says, when so much of the training is done, in [0, 1]."""
    if m.name == "pairs":
        own = m.rate_behind
        first, last = rates_behind(m.neurons) if own is None else (own, own)
        rate = first ** (1 - done) * (last if m.rate_last is None else m.rate_last) ** done
        return stdp.PairOfTraces(m.rate_before, rate, m.trace_time, m.trace_time, m.slow_time)
    if m.name == "powerlaw":
        return stdp.PowerLaw(m.rate, m.trace_time, m.offset, exponent=m.exponent)
    return stdp.Switching(m.on, m.off, m.trace_time, m.window)
