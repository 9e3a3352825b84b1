"""The oracle: the same as the kernel by plain PyTorch, dense, one step and one example after the other."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .draws import LEARNING, RECALL, SWITCHING, Draws, happenings
from .numbers import decay, decay_table, single
from .parts import Ensemble, Link, Plan


def spike_trains(
    plan: Plan, place: int, example: int, time: int, rates: Tensor, learns: bool
) -> list[list[int]]:
    """The inputs of an ensemble that fire, step by step.

    Args:
        example, time: whose presentation, and which of it.
        rates: (frames, inputs), spikes a step.
    """
    steps, frames = plan.presentation.steps, len(rates)
    trains: list[list[int]] = [[] for _ in range(steps)]
    draws = Draws(plan.seed, LEARNING if learns else RECALL, example, time, place)
    gain = 1 + plan.presentation.boost * time
    for f, row in enumerate(rates.tolist()):
        for i, rate in enumerate(row):
            for step in happenings(
                draws.of(f, i, 0), min(1.0, rate * gain), steps * f // frames, steps * (f + 1) // frames
            ):
                trains[step].append(i)
    return trains


class Synapses:
    """Those of one link, over one presentation."""

    def __init__(self, plan: Plan, link: Link, weight: Tensor, possible: Tensor) -> None:
        show = plan.presentation
        self.rule, self.total, self.weight, self.possible = link.rule, link.total, weight, possible
        self.traces = [torch.tensor(table) for table in link.rule.traces(show.dt, show.steps)]
        self.last = torch.full(weight.shape[:1], -1)

    def trace(self, which: int, now: int, last: Tensor) -> Tensor:
        table = self.traces[which]
        return torch.where(last < 0, 0.0, table[(now - last).clamp(0, len(table) - 1)])

    def arrive(
        self, now: int, inputs: Sequence[int], last: Tensor, learns: bool, conductance: Tensor
    ) -> None:
        """Spikes reach the neurons and then move the weights that they came through; `last`: of neurons."""
        for i in inputs:
            conductance += self.weight[i]
        if learns and len(inputs):
            rows = torch.as_tensor(inputs)
            if self.rule.depresses:
                self.weight[rows] = self.rule.before(self.weight[rows], self.trace(1, now, last))
            self.last[rows] = now

    def behind(self, now: int, neuron: int, last: Tensor, draws: Draws) -> None:
        """A neuron fires; `last`: when it did before."""
        slow = self.trace(2, now, last) if self.rule.depresses else torch.zeros(())
        drawn = torch.tensor([draws.next() for _ in self.last], dtype=torch.float64)
        moved = self.rule.behind(self.weight[:, neuron], self.trace(0, now, self.last), slow, drawn)
        self.weight[:, neuron] = (
            torch.where(self.possible[:, neuron] > 0, moved, 0.0) if self.possible.numel() else moved
        )

    def normalise(self, neuron: int) -> None:
        """Restores the sum of a neuron's weights."""
        restore(self.weight, neuron, self.total)


def restore(weight: Tensor, neuron: int, wanted: float) -> None:
    """Scales one column of weights (inputs, neurons) to its sum, in eight lanes as the kernel adds."""
    column = weight[:, neuron].clone()
    lanes = torch.zeros(8)
    for chunk in column.split(8):
        lanes[: len(chunk)] += chunk
    total = torch.zeros(())
    for lane in lanes:
        total = total + lane
    if wanted > 0 and total > 0:
        weight[:, neuron] = column * (torch.tensor(wanted) / total)


class Neurons:
    """Those of one ensemble, over one presentation. A step of it is told in the order of its methods."""

    def __init__(self, plan: Plan, kind: Ensemble, theta: Tensor) -> None:
        show = plan.presentation
        self.kind, self.theta = kind, theta.clone()
        self.excitatory, self.inhibitory = kind.excitatory.step(show.dt), kind.inhibitory.step(show.dt)
        self.keep = torch.tensor(decay_table(show.dt, kind.decay_time, show.steps))
        self.rest = single(decay(show.time + show.rest, kind.decay_time))
        self.v, self.g_e, self.g_i, self.partner, self.drive = torch.zeros(5, kind.neurons)
        self.ready, self.partner_ready = torch.zeros(2, kind.neurons, dtype=torch.int64)
        self.last = torch.full((kind.neurons,), -1)
        self.held = torch.zeros(kind.neurons)
        self.fired = torch.zeros(kind.neurons, dtype=torch.bool)
        self.spikes = 0

    def inhibit(self) -> None:
        """Every partner that fired in the step before adds to the inhibition of all but its own neuron."""
        others = self.held.sum() - self.held
        self.g_i += others * self.kind.from_partner

    def move(self, now: int) -> None:
        k = self.excitatory
        v = torch.where(self.ready > now, self.v, k.move(self.v, self.g_e, self.g_i))
        self.fired = v > k.threshold + self.theta * self.keep[now]
        self.v = torch.where(self.fired, k.reset, v)
        self.ready[self.fired] = now + 1 + k.refractory
        self.g_e *= k.keep_e
        self.g_i *= k.keep_i
        self.spikes += int(self.fired.sum())

    def learn(self, now: int) -> None:
        step = np.float32(self.kind.theta_step) / self.keep[now].numpy()
        self.theta[self.fired] += float(step)

    def move_partners(self, now: int) -> None:
        k = self.inhibitory
        self.drive[self.fired] += self.kind.to_partner
        moved = k.move(self.partner, self.drive, torch.zeros(()))
        self.partner = torch.where(self.partner_ready > now, self.partner, moved)
        self.drive *= k.keep_e
        held = self.partner > k.threshold
        self.partner[held] = k.reset
        self.partner_ready[held] = now + 1 + k.refractory
        self.held = held.float()


def show_once(
    plan: Plan,
    weights: list[Tensor],
    possible: list[Tensor],
    thetas: list[Tensor],
    rates: list[Tensor],
    key: tuple[int, int],
    learns: bool,
) -> tuple[list[Tensor], list[Neurons], int]:
    """One presentation; moves weights and thetas. Returns counts, the neurons at its end, and input spikes.

    Args:
        rates: one an ensemble, (frames, inputs). key: number of the example, and how often it was shown.
    """
    neurons = [Neurons(plan, kind, theta) for kind, theta in zip(plan.ensembles, thetas, strict=True)]
    links = list(plan.links())
    synapses = [Synapses(plan, *given) for given in zip(links, weights, possible, strict=True)]
    trains = [spike_trains(plan, p, *key, given, learns) for p, given in enumerate(rates)]
    counts = [torch.zeros(kind.neurons, dtype=torch.int32) for kind in plan.ensembles]
    for now in range(plan.presentation.steps):
        before = [one.fired.nonzero()[:, 0].tolist() for one in neurons]
        for link, synapse in zip(links, synapses, strict=True):
            inputs = trains[link.target][now] if link.source < 0 else before[link.source]
            synapse.arrive(now, inputs, neurons[link.target].last, learns, neurons[link.target].g_e)
        for p, one in enumerate(neurons):
            one.inhibit()
            one.move(now)
            draws = Draws(plan.seed, SWITCHING, *key, p)
            for j in one.fired.nonzero()[:, 0].tolist() if learns else ():
                own = [s for link, s in zip(links, synapses, strict=True) if link.target == p]
                for c, synapse in enumerate(own):
                    synapse.behind(now, j, one.last[j], draws.of(c, now, j))
            if learns:
                one.learn(now)
            one.last[one.fired] = now
            one.move_partners(now)
            counts[p] += one.fired.int()
    for p, one in enumerate(neurons if learns else []):
        thetas[p].copy_(one.theta * one.rest)
        for link, synapse in zip(links, synapses, strict=True):
            for j in (one.last >= 0).nonzero()[:, 0].tolist() if link.target == p else ():
                synapse.normalise(j)
    return counts, neurons, sum(len(step) for train in trains for step in train)


def show(
    plan: Plan,
    weights: list[Tensor],
    possible: list[Tensor],
    thetas: list[Tensor],
    rates: list[Tensor],
    example: int,
    learns: bool,
) -> tuple[list[Tensor], list[int]]:
    """Presents an example until enough fires. Returns counts of the last time; times and input spikes."""
    times = inputs = 0
    while True:
        counts, neurons, given = show_once(plan, weights, possible, thetas, rates, (example, times), learns)
        times, inputs = times + 1, inputs + given
        fed = [bool((one > 0).any()) for one in rates]
        enough = all(
            one.spikes >= plan.presentation.least for one, has in zip(neurons, fed, strict=True) if has
        )
        if enough or times > plan.presentation.repeats:
            return counts, [times, inputs]
