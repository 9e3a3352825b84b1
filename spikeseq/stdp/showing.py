"""Examples shown to a network: the native loop, or the oracle where there is none."""

from typing import NamedTuple

import torch
from torch import Tensor

import spikeseq.ops.stdp  # noqa: F401  defines the op
from spikeseq.ops.dispatch import Op, dispatch, no_kernel

from . import reference
from .numbers import decay, decay_table, single
from .parts import Plan


class Learnt(NamedTuple):
    """What a network has learnt, and what it may.

    weights: of every link of the plan, (inputs, neurons), float32.
    possible: of every link, (inputs, neurons) uint8, 0 where there can be no synapse; empty: all can be.
    thetas: of every ensemble, (neurons), what is added to thresholds, mV.
    """

    weights: list[Tensor]
    possible: list[Tensor]
    thetas: list[Tensor]


class Shown(NamedTuple):
    """What examples did to a network.

    counts: spikes of the last presentation, of all ensembles side by side, (N, neurons) int32.
    times: presentations of each example, (N), at least 1.
    inputs: input spikes of each, over all its presentations, (N).
    """

    counts: Tensor
    times: Tensor
    inputs: Tensor


def present(
    plan: Plan, learnt: Learnt, rates: list[Tensor], *, first: int = 0, batch: int = 1
) -> tuple[Shown, Learnt]:
    """Shows examples, one after the other or in batches.

    Inside a step: spikes of inputs, and of other ensembles one step before, reach the neurons and move the
    synapses that they came through; inhibition of the step before arrives; excitatory neurons move and fire;
    their synapses and thresholds learn; their partners move and fire.

    Args:
        rates: one an ensemble, (N, frames, inputs) float32, spikes a step in [0, 1]; a frame lasts its share
            of the steps.
        first: number of the first example, on which its spikes depend: what is learnt in parts is what is
            learnt at once if they are numbered on.
        batch: 1 learns one example after the other. More are shown to the same weights and thresholds, each
            moves copies of its own, and the changes add up in their order, after which the sum of a neuron's
            weights is restored: an approximation that can use several threads. 0 learns nothing.

    Returns:
        what was shown, and new tensors of what is learnt (the same ones if nothing is).
    """
    examples = rates[0].shape[0]
    counts = [theta.new_zeros((examples, len(theta)), dtype=torch.int32) for theta in learnt.thetas]
    shown = torch.zeros((examples, 2), dtype=torch.int64)
    if batch:
        learnt = Learnt(
            [w.clone() for w in learnt.weights], learnt.possible, [t.clone() for t in learnt.thetas]
        )
    dispatch(PRESENT, plan, learnt, rates, counts, shown, first, batch)
    return Shown(torch.cat(counts, 1), shown[:, 0], shown[:, 1]), learnt


def fits(*_: object) -> str | None:
    """Whatever `Network` lets pass; it runs on a CPU."""
    return no_kernel("cpu")


def _native(
    plan: Plan,
    learnt: Learnt,
    rates: list[Tensor],
    counts: list[Tensor],
    shown: Tensor,
    first: int,
    batch: int,
) -> None:
    torch.ops.spikeseq.stdp_present(*learnt, rates, counts, shown, *_packed(plan), first, batch)


def _packed(plan: Plan) -> tuple[list[float], list[int]]:
    """All numbers of a plan, in the order in which csrc/stdp reads them."""
    show = plan.presentation
    reals: list[float] = [show.boost]
    whole: list[int] = [plan.seed, show.steps, show.least, show.repeats]

    def add_table(values: list[float]) -> None:
        whole.append(len(values))
        reals.extend(values)

    for one in plan.ensembles:
        for cell in (one.excitatory, one.inhibitory):
            *values, refractory = vars(cell.step(show.dt)).values()
            reals += values
            whole.append(refractory)
        reals += [one.to_partner, one.from_partner, one.theta_step]
        add_table(decay_table(show.dt, one.decay_time, show.steps))
        reals.append(decay(show.time + show.rest, one.decay_time))
    for link in plan.links():
        whole += [link.source, link.target, link.rule.number]
        reals += link.rule.constants()
        for table in link.rule.traces(show.dt, show.steps):
            add_table(table)
        reals.append(link.total)
    return reals, whole


def _plain(
    plan: Plan,
    learnt: Learnt,
    rates: list[Tensor],
    counts: list[Tensor],
    shown: Tensor,
    first: int,
    batch: int,
) -> None:
    examples = range(len(shown))

    def show(n: int, weights: list[Tensor], thetas: list[Tensor]) -> None:
        given = [one[n] for one in rates]
        made, noted = reference.show(plan, weights, learnt.possible, thetas, given, first + n, batch > 0)
        for to, one in zip(counts, made, strict=True):
            to[n] = one
        shown[n] = torch.tensor(noted)

    if batch <= 1:
        for n in examples:
            show(n, learnt.weights, learnt.thetas)
        return
    for begin in examples[::batch]:
        base, thetas = [w.clone() for w in learnt.weights], [t.clone() for t in learnt.thetas]
        changed = [torch.zeros(w.shape[1], dtype=torch.bool) for w in base]
        for n in examples[begin : begin + batch]:
            own, own_thetas = [w.clone() for w in base], [t.clone() for t in thetas]
            show(n, own, own_thetas)
            for link, to, moved, before, mine in zip(
                plan.links(), learnt.weights, own, base, changed, strict=True
            ):
                columns = (moved - before != 0).any(0)
                to[:, columns] += (moved - before)[:, columns]
                to[:, columns] = to[:, columns].clamp(0.0, single(link.rule.most))
                mine |= columns
            for kind, to, moved, before in zip(
                plan.ensembles, learnt.thetas, own_thetas, thetas, strict=True
            ):
                keep = torch.ones(())
                for _ in range(int(shown[n, 0])):
                    keep = keep * decay(plan.presentation.time + plan.presentation.rest, kind.decay_time)
                to.copy_(to * keep + (moved - before * keep))
        for link, weight, mine in zip(plan.links(), learnt.weights, changed, strict=True):
            for neuron in mine.nonzero().flatten().tolist():
                reference.restore(weight, neuron, link.total)


PRESENT = Op("stdp_present", fits, _native, _plain)
