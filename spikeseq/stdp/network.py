"""Networks of ensembles that learn by spike timing: what they are made of, and the module that holds what they learnt."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from spikeseq.ops.stdp import present

from .cells import EXCITATORY, INHIBITORY, Cell
from .numbers import decay, positive
from .numbers import decay_table
from .rules import PairOfTraces, Rule


@dataclass(frozen=True)
class Ensemble:
    """Excitatory neurons, each with an inhibitory partner that holds all others down (thesis fig. 2.2).

    Inputs connect to every excitatory neuron and learn. A spike of an excitatory neuron makes its partner
    fire, which inhibits all other neurons, and raises its own threshold (homeostasis, eq. 3.4).

    Args:
        inputs, neurons: how many.
        rule: of the synapses from the inputs.
        total: sum of a neuron's weights, restored after every presentation in which it fired; 0: left as it is.
        start: weights are drawn evenly from [0, start], then brought to their sum.
        to_partner, from_partner: weights of excitatory onto inhibitory neurons and back.
        threshold_step: mV that a spike adds to its neuron's threshold.
        threshold_time: ms in which that decays; None: as suits the number of neurons, since with many each
            fires less often.
        excitatory, inhibitory: the neurons.
    """

    inputs: int
    neurons: int
    rule: Rule = PairOfTraces()
    total: float | None = None
    start: float = 0.3
    to_partner: float = 10.4
    from_partner: float = 17.0
    threshold_step: float = 0.05
    threshold_time: float = 1e7
    excitatory: Cell = EXCITATORY
    inhibitory: Cell = INHIBITORY


@dataclass(frozen=True)
class Cross:
    """Connections from the excitatory neurons of one ensemble to those of another, by their places."""

    source: int
    target: int
    rule: Rule
    share: float = 1.0
    start: float = 0.1


@dataclass(frozen=True)
class Presentation:
    """How an example is shown.

    Args:
        time: ms for which its spikes come. dt: ms of a step.
        rest: ms of silence behind it: potentials go back to rest, only thresholds remember.
        least: spikes of an ensemble that has input, below which the example is shown again ...
        boost: ... with rates raised by this share of the first ones, each time ...
        repeats: ... at most so often. Rates stop at one spike a step.
    """

    time: float = 350.0
    dt: float = 1.0
    rest: float = 150.0
    least: int = 5
    boost: float = 0.5
    repeats: int = 20

    @property
    def steps(self) -> int:
        return round(self.time / self.dt)


class Network(nn.Module):
    """Ensembles, alone or connected, that learn whenever they are shown something in training mode.

    Args:
        ensembles: one or several. cross: connections between them.
        presentation: how examples are shown. seed: of first weights and of all spikes.
    """

    def __init__(
        self,
        ensembles: Sequence[Ensemble],
        cross: Sequence[Cross] = (),
        presentation: Presentation = Presentation(),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.ensembles, self.cross, self.presentation, self.seed = tuple(ensembles), tuple(cross), presentation, seed
        draws = torch.Generator().manual_seed(seed)
        for p, one in enumerate(self.ensembles):
            weight = torch.rand(one.inputs, one.neurons, generator=draws) * one.start
            if one.total:
                weight *= one.total / weight.sum(0)
            self.register_buffer(f"weight{p}", weight.clamp_max(one.rule.most))
            self.register_buffer(f"theta{p}", torch.zeros(one.neurons))
        for c, one in enumerate(self.cross):
            sizes = self.ensembles[one.source].neurons, self.ensembles[one.target].neurons
            possible = torch.rand(sizes, generator=draws) < one.share
            self.register_buffer(f"possible{c}", possible.to(torch.uint8))
            self.register_buffer(f"cross{c}", torch.rand(sizes, generator=draws) * one.start * possible)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, *rates: Tensor, batch: int = 1) -> tuple[list[Tensor], Tensor]:
        """Shows examples one after the other.

        Args:
            rates: of every ensemble's inputs, (N, inputs) or, changing over time, (N, frames, inputs); spikes
                a step, in [0, 1].
        """
        given = [(r[:, None] if r.dim() == 2 else r).float().contiguous() for r in rates]
        weights = [getattr(self, f"weight{p}") for p in range(len(self.ensembles))]
        weights += [getattr(self, f"cross{c}") for c in range(len(self.cross))]
        possible = [torch.empty(0, dtype=torch.uint8)] * len(self.ensembles)
        possible += [getattr(self, f"possible{c}") for c in range(len(self.cross))]
        thetas = [getattr(self, f"theta{p}") for p in range(len(self.ensembles))]
        reals, whole = self.constants()
        first = int(self.seen) if self.training else -1 - 2**40
        counts, shown = present(weights, possible, thetas, given, reals, whole, first, batch if self.training else 0)
        if self.training:
            self.seen += given[0].shape[0]
        return counts, shown

    def constants(self) -> tuple[list[float], list[int]]:
        """All numbers, in the order in which csrc/stdp reads them."""
        show = self.presentation
        reals: list[float] = [show.boost]
        whole: list[int] = [self.seed, show.steps, show.least, show.repeats]
        for one in self.ensembles:
            for cell in (one.excitatory, one.inhibitory):
                *values, refractory = vars(cell.step(show.dt)).values()
                reals += values
                whole.append(refractory)
            reals += [one.to_partner, one.from_partner, one.threshold_step]
            table = decay_table(show.dt, one.threshold_time, show.steps)
            whole.append(len(table))
            reals += table
            reals.append(decay(show.time + show.rest, one.threshold_time))
        links = [(-1, p, one.rule, one.total or 0.0) for p, one in enumerate(self.ensembles)]
        links += [(one.source, one.target, one.rule, 0.0) for one in self.cross]
        for source, target, rule, total in links:
            whole += [source, target, rule.number]
            reals += rule.constants()
            for table in rule.traces(show.dt, show.steps):
                whole.append(len(table))
                reals += table
            reals.append(total)
        return reals, whole
