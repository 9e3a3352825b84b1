"""What a network that learns by spike timing is made of: ensembles, connections, and how examples are shown.

Nothing here holds what is learnt; `network.Network` does.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from spikeseq.checks import positive_int

from .cells import EXCITATORY, INHIBITORY, Cell
from .numbers import not_negative, positive, probability
from .rules import POWER_LAW, PairOfTraces, Rule


@dataclass(frozen=True)
class Ensemble:
    """Excitatory neurons, each with an inhibitory partner that holds all others down (thesis fig. 2.2).

    All inputs connect to all excitatory neurons, and these synapses learn. A spike of an excitatory neuron
    makes its partner fire, which inhibits all other neurons, and raises its own threshold (homeostasis, eq.
    3.4: `theta`, which decays).

    Args:
        inputs, neurons: how many.
        rule: of the synapses from the inputs.
        total: sum of a neuron's weights, restored after every presentation in which it fired; 0: left as it
            is. By default a tenth of the number of inputs, as published for 784 of them.
        start: first weights are drawn evenly from [0, start] and then brought to `total`.
        to_partner: weight of an excitatory neuron onto its partner, with which one spike makes it fire.
        from_partner: weight of a partner onto all other neurons. 17 is published; a neuron that fires is
            clearer the winner with 40.
        recall_partner: the same in evaluation. By default `from_partner`; many neurons answer better with
            less, since more of them that have learnt something alike have a say.
        threshold_step: mV that a spike adds to its neuron's threshold. By default `threshold_step(neurons)`.
        threshold_time: ms in which that decays; infinity: never. By default `threshold_time(neurons)`.
        excitatory, inhibitory: the neurons.

    Raises:
        ValueError: naming the argument, its value and what is accepted.
    """

    inputs: int
    neurons: int
    rule: Rule = field(default_factory=PairOfTraces)
    total: float | None = None
    start: float = 0.3
    to_partner: float = 10.4
    from_partner: float = 40.0
    recall_partner: float | None = None
    threshold_step: float | None = None
    threshold_time: float | None = None
    excitatory: Cell = EXCITATORY
    inhibitory: Cell = INHIBITORY

    def __post_init__(self) -> None:
        positive_int("inputs", self.inputs)
        positive_int("neurons", self.neurons)
        if self.total is None:
            object.__setattr__(self, "total", self.inputs / 10)
        if self.threshold_step is None:
            object.__setattr__(self, "threshold_step", threshold_step(self.neurons))
        if self.threshold_time is None:
            object.__setattr__(self, "threshold_time", threshold_time(self.neurons))
        for name in ("total", "to_partner", "from_partner", "threshold_step"):
            not_negative(name, getattr(self, name))
        not_negative("recall_partner", self.recalling)
        positive("threshold_time", self.decay_time)
        if not 0 < self.start <= self.rule.most:
            raise ValueError(f"start must lie in (0, {self.rule.most}], the largest weight, got {self.start}")
        if self.sum > self.inputs * self.rule.most:
            most = self.inputs * self.rule.most
            raise ValueError(
                f"total must be at most {most:g}, inputs times the largest weight, got {self.total}"
            )

    @property
    def sum(self) -> float:
        """`total`, chosen."""
        return float(self.total or 0.0)

    @property
    def recalling(self) -> float:
        """`recall_partner`, chosen."""
        return self.from_partner if self.recall_partner is None else self.recall_partner

    @property
    def theta_step(self) -> float:
        """`threshold_step`, chosen."""
        return float(self.threshold_step or 0.0)

    @property
    def decay_time(self) -> float:
        """`threshold_time`, chosen."""
        return math.inf if self.threshold_time is None else self.threshold_time


MANY = 400
"""Neurons above which the number of examples, and not that of neurons, limits how often each can fire."""


def threshold_time(neurons: int) -> float:
    """ms in which a raised threshold decays: the more neurons, the rarer each fires."""
    return 2e4 * min(neurons, MANY)


def threshold_step(neurons: int) -> float:
    """mV that a spike adds to its neuron's threshold.

    Neurons that have learnt answer examples until their thresholds are so high that others, whose weights are
    still even, take over. With many neurons each fires rarely, so that a spike must add more if all are to
    have their turn within as many examples.
    """
    return 0.05 * max(1.0, neurons / MANY)


@dataclass(frozen=True)
class Cross:
    """Excitatory connections from the neurons of one ensemble to those of another (thesis section 3.4).

    Args:
        source, target: places of the two ensembles in the network.
        rule: by default that of table 3.1.
        share: of all pairs, chosen at random, that a synapse connects.
        start: first weights are drawn evenly from [0, start].
        total: as that of an ensemble; 0, the default: weights are left as they are.
    """

    source: int
    target: int
    rule: Rule = POWER_LAW["cross"]
    share: float = 1.0
    start: float = 0.1
    total: float = 0.0

    def __post_init__(self) -> None:
        for name in ("source", "target"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be the place of an ensemble, got {getattr(self, name)}")
        if self.source == self.target:
            raise ValueError(f"a cross connection leads to another ensemble, got {self.source} twice")
        probability("share", self.share)
        not_negative("total", self.total)
        if not 0 <= self.start <= self.rule.most:
            raise ValueError(f"start must lie in [0, {self.rule.most}], the largest weight, got {self.start}")


@dataclass(frozen=True)
class Presentation:
    """How an example is shown.

    Args:
        time: ms for which its spikes come.
        dt: ms of a step.
        rest: ms of silence behind it. Potentials, conductances and traces then are at rest, which takes no
            step; thresholds have decayed.
        least: spikes of an ensemble below which, if it has any input, the example is shown again ...
        boost: ... with rates raised by this share of the first ones each time, up to one spike a step ...
        repeats: ... at most so often.
    """

    time: float = 350.0
    dt: float = 1.0
    rest: float = 150.0
    least: int = 5
    boost: float = 0.5
    repeats: int = 20

    def __post_init__(self) -> None:
        positive("time", self.time)
        positive("dt", self.dt)
        for name in ("rest", "least", "boost", "repeats"):
            not_negative(name, getattr(self, name))
        if self.steps < 1:
            raise ValueError(f"time must be at least a step of {self.dt} ms, got {self.time}")

    @property
    def steps(self) -> int:
        return round(self.time / self.dt)

    @property
    def most(self) -> float:
        """Spikes a second of an input that has one at every step."""
        return 1000 / self.dt

    def check_rate(self, name: str, hertz: float) -> None:
        """Raises ValueError for a rate that no input can have."""
        if not 0 <= hertz <= self.most:
            raise ValueError(f"{name} must lie in [0, {self.most:g}] Hz, one spike a step, got {hertz:g}")


class Link(NamedTuple):
    """Synapses that learn: `source` is the place of an ensemble, -1 for the target's own inputs."""

    source: int
    target: int
    rule: Rule
    total: float


@dataclass(frozen=True)
class Plan:
    """A whole network without what it learns."""

    ensembles: tuple[Ensemble, ...]
    cross: tuple[Cross, ...]
    presentation: Presentation
    seed: int

    def __post_init__(self) -> None:
        if not self.ensembles:
            raise ValueError("a network has at least one ensemble, got none")
        for one in self.cross:
            for name in ("source", "target"):
                if getattr(one, name) >= len(self.ensembles):
                    place = getattr(one, name)
                    raise ValueError(
                        f"{name} of a cross connection is ensemble {place}, there are {len(self.ensembles)}"
                    )

    def links(self) -> Iterator[Link]:
        """All synapses that learn: those from the inputs, then the cross connections."""
        for place, one in enumerate(self.ensembles):
            yield Link(-1, place, one.rule, one.sum)
        for cross in self.cross:
            yield Link(cross.source, cross.target, cross.rule, cross.total)

    def answering(self) -> "Plan":
        """The same network in evaluation."""
        ensembles = tuple(replace(one, from_partner=one.recalling) for one in self.ensembles)
        return replace(self, ensembles=ensembles)

    def settling(self) -> "Plan":
        """The same network of which thresholds learn and no synapse does."""

        def still(one: Rule) -> Rule:
            return PairOfTraces(rate_before=0.0, rate_behind=0.0, most=UNBOUND * one.most)

        return replace(
            self,
            ensembles=tuple(replace(one, rule=still(one.rule), total=0.0) for one in self.ensembles),
            cross=tuple(replace(one, rule=still(one.rule), total=0.0) for one in self.cross),
        )


UNBOUND = 1e6
"""Times the largest weight: more than a restored sum makes of one, so that none is cut."""
