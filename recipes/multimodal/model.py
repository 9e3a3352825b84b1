"""Ensembles for what is seen and heard, connections between them, and what reads their spikes: one module."""

from typing import Any

import torch
from torch import Tensor, nn

from spikeseq import stdp
from spikeseq.recipes.multimodal.cochlea import CHANNELS
from spikeseq.stdp.readout import check_loaded

EXAMPLES = 500  # at once: little memory, and news for people
LABELLING, ANSWERING = 2**40, 2**41
"""Numbers that examples draw their spikes by: no training pair has them."""
PIXELS = 28 * 28
USED = {"both": (True, True), "image": (True, False), "sound": (False, True)}
"""Which modalities a model has, by its name."""


class PairNetwork(nn.Module):
    """Images and sounds to classes: rates of spikes, ensembles with connections across, a readout of counts.

    An input neuron stands for a pixel, or for a channel of sound in one part of the recording.

    Args:
        network: of an ensemble for each modality used. settings: the section `model`. classes: how many.
        seed: of the connections across.

    Buffers: `labels`, of every neuron, and `weight`, of the linear map: what readouts learnt.
    """

    labels: Tensor
    weight: Tensor

    def __init__(self, network: stdp.Network, settings: Any, classes: int, readout: str, seed: int) -> None:
        super().__init__()
        neurons = sum(one.neurons for one in network.plan.ensembles)
        self.network, self.readout, self.seed = network, readout, seed
        self.uses = USED[settings.name]
        self.hertz = (settings.hertz, settings.sound_hertz)
        for name, hertz in zip(("hertz", "sound_hertz"), self.hertz, strict=True):
            network.plan.presentation.check_rate(f"model.{name}", hertz)
        self.cross, self.share, self.most = settings.cross, settings.share, settings.cross_most
        self.register_buffer("labels", torch.full((neurons,), -1))
        self.register_buffer("weight", torch.zeros(neurons + 1, classes, dtype=torch.float64))
        self.register_load_state_dict_post_hook(check_loaded)

    def rates(self, pixels: Tensor, activity: Tensor) -> list[Tensor]:
        """uint8 (N, 1, 28, 28) and (N, frames, 64) to spikes a second of all inputs, an ensemble each."""
        seen, heard = pixels.flatten(1).float() / 255, activity.flatten(1)
        given = zip((seen, heard), self.hertz, self.uses, strict=True)
        return [values * hertz for values, hertz, used in given if used]

    def counts(self, pixels: Tensor, activity: Tensor, first: int) -> stdp.Shown:
        """Spikes of every neuron in evaluation, pair by pair; `first` numbers the pairs."""
        self.network.eval()
        both = zip(pixels.split(EXAMPLES), activity.split(EXAMPLES), strict=True)
        parts = [
            self.network(*self.rates(seen, heard), first=first + EXAMPLES * k)
            for k, (seen, heard) in enumerate(both)
        ]
        return stdp.Shown(*map(torch.cat, zip(*parts, strict=True)))

    @torch.no_grad()
    def connect(self, counts: Tensor, targets: Tensor) -> None:
        """Connections across begin: learnt ones between pairs chosen at random, or made ones of full weight
        between neurons that answer the same class most, by counts and classes of training pairs."""
        classes = self.weight.shape[1]
        one, two = self.network.split(stdp.Votes.fit(counts, targets, classes).labels[None])
        same = (one[0][:, None] == two[0]) & (one[0][:, None] >= 0)
        draws = torch.Generator().manual_seed(self.seed)
        for c, alike in enumerate((same, same.T)):
            order = torch.rand(alike.shape, generator=draws)
            weight, possible = self.network.get_parameter(f"cross{c}"), order < self.share
            if self.cross == "made":
                kept = min(int(alike.sum()), round(self.share * alike.numel()))
                chosen = order.masked_fill(~alike, 2.0).flatten().argsort()[:kept]
                possible = torch.zeros(alike.numel(), dtype=torch.bool).index_fill_(0, chosen, True)
                possible = possible.view(alike.shape)
            started = (
                self.most
                if self.cross == "made"
                else START * self.most * torch.rand(alike.shape, generator=draws)
            )
            self.network.get_buffer(f"cross{c}_possible").copy_(possible)
            weight.copy_(started * possible)

    def learn_classes(self, counts: Tensor, targets: Tensor, penalty: float) -> None:
        """Both readouts, from counts and classes of training pairs."""
        classes = self.weight.shape[1]
        self.labels.copy_(stdp.Votes.fit(counts, targets, classes).labels)
        self.weight.copy_(stdp.Linear.fit(counts, targets, classes, penalty).weight)

    def scores(self, counts: Tensor, readout: str | None = None) -> Tensor:
        """(N, classes): of the readout of the settings, or another one. Votes are means over the neurons of
        both ensembles; one that an example leaves silent, because its modality is missing, is left out."""
        if (readout or self.readout) == "linear":
            return stdp.Linear(self.weight).scores(counts)
        labels, parts = self.network.split(self.labels[None]), self.network.split(counts)
        total, voters = torch.zeros(2, len(counts), self.weight.shape[1], dtype=torch.float64)
        for own, part in zip(labels, parts, strict=True):
            member = (torch.arange(self.weight.shape[1]) == own.T).double()
            total += part.double() @ member
            voters += part.any(1)[:, None] * member.sum(0)
        return total / voters.clamp_min(1)

    def forward(self, pixels: Tensor, activity: Tensor) -> Tensor:
        """Scores (N, classes); the same pair always gets the same answer. What is missing is zeros."""
        both = zip(pixels, activity, strict=True)
        return torch.cat([self.scores(self.counts(p[None], a[None], ANSWERING).counts) for p, a in both])


START = 0.1
"""Learnt connections across start between 0 and this share of the largest weight."""


def pair_network(config: Any, classes: int) -> PairNetwork:
    """The model of a configuration, untrained; nothing connects its ensembles yet."""
    m = config.model
    rule = stdp.PairOfTraces(m.rate_before, m.rate_behind, m.trace_time, m.trace_time, m.slow_time)
    used = USED[m.name]
    if m.neurons % sum(used):
        raise ValueError(f"model.neurons must be even, half for each modality, got {m.neurons}")
    ensembles = [
        stdp.Ensemble(
            inputs,
            m.neurons // sum(used),
            rule,
            from_partner=m.inhibition,
            threshold_step=m.threshold_step,
            threshold_time=m.threshold_time,
        )
        for inputs, use in zip((PIXELS, CHANNELS * m.frames), used, strict=True)
        if use
    ]
    cross = []
    if len(ensembles) == 2 and m.cross != "none":
        rate = m.cross_rate if m.cross == "learnt" else 0.0
        across = stdp.PowerLaw(rate, m.cross_time, m.cross_offset, most=m.cross_most)
        cross = [stdp.Cross(a, b, across, share=0.0, start=0.0) for a, b in ((0, 1), (1, 0))]
    show = stdp.Presentation(m.time, m.dt, m.rest, m.least, m.boost, m.repeats)
    network = stdp.Network(ensembles, cross, presentation=show, seed=config.seed)
    return PairNetwork(network, m, classes, config.evaluate.readout, config.seed)
