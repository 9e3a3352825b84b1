"""The module that holds what a network of ensembles has learnt."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spikeseq.checks import check_tensor, positive_int
from spikeseq.ops.eager import traced

from .parts import Cross, Ensemble, Plan, Presentation
from .rules import Rule
from .showing import Learnt, Shown, present


class Network(nn.Module):
    """Ensembles that learn, without labels, from what they are shown in training mode.

        net = Network(Ensemble(784, 400))
        net(hertz)                   # (N, 784): learns, one example after the other
        counts = net.eval()(hertz).counts

    What it has learnt are parameters without gradients: `weight0`, (inputs, neurons), and `theta0`, mV added
    to thresholds, of the first ensemble, and so on; `cross0` of the first cross connection. Buffers:
    `weight0_possible` and `cross0_possible`, 0 where there can be no synapse; `seen`, how many examples it
    has learnt from, on which the next spikes depend. A network that is saved and loaded goes on bit for bit.
    It runs on a CPU, in float32.

    Args:
        ensembles: one or several. cross: connections between them.
        presentation: how examples are shown.
        seed: of first weights, cross connections and spikes.

    Raises:
        ValueError: a cross connection leads to an ensemble that is not there.
    """

    seen: Tensor

    def __init__(
        self,
        ensembles: Ensemble | Sequence[Ensemble],
        cross: Sequence[Cross] = (),
        *,
        presentation: Presentation | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        kinds = (ensembles,) if isinstance(ensembles, Ensemble) else tuple(ensembles)
        self.plan = Plan(kinds, tuple(cross), presentation or Presentation(), seed)
        draws = torch.Generator().manual_seed(seed)
        for p, one in enumerate(kinds):
            weight = torch.rand(one.inputs, one.neurons, generator=draws) * one.start
            if one.sum:
                weight = (weight * (one.sum / weight.sum(0))).clamp_max(one.rule.most)
            self._hold(f"weight{p}", weight, torch.ones_like(weight))
            self.register_parameter(f"theta{p}", fixed(torch.zeros(one.neurons)))
        for c, link in enumerate(self.plan.cross):
            sizes = kinds[link.source].neurons, kinds[link.target].neurons
            possible = torch.rand(sizes, generator=draws) < link.share
            self._hold(f"cross{c}", torch.rand(sizes, generator=draws) * link.start * possible, possible)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.compiler.disable
    @torch.no_grad()
    def forward(self, *hertz: Tensor, batch: int = 1, first: int | None = None) -> Shown:
        """Shows examples to the network; in training mode it learns.

        Args:
            hertz: for every ensemble, mean spikes a second of its inputs: (N, inputs), or (N, frames, inputs)
                if they change, each frame for its share of the time.
            batch: examples learnt from at once, from the same weights; 1, the default, is exact, more is
                faster on several threads. Not used in evaluation, where examples do not depend on each other.
            first: number of the first example, on which its spikes depend: by default `seen` in training, 0
                in evaluation.

        Raises:
            TypeError, ValueError: rates that do not fit the ensembles, or that are no rates.
            RuntimeError: the call is traced or transformed: spikes depend on the values of rates.
        """
        if by := traced():
            raise RuntimeError(f"a network that learns by spike timing cannot be {by}")
        rates = self._rates(hertz)
        positive_int("batch", batch)
        if first is not None and type(first) is not int:
            raise TypeError(f"first must be an int, got {first!r}")
        if first is not None and not -(2**62) <= first < 2**62:
            raise ValueError(f"first must lie in [-2^62, 2^62), got {first}")
        before = self.learnt()
        start = first if first is not None else int(self.seen) if self.training else 0
        plan, batch = (self.plan, batch) if self.training else (self.plan.answering(), 0)
        shown, learnt = present(plan, before, rates, first=start, batch=batch)
        if self.training:
            self.learn(learnt)
            self.seen += len(shown.counts)
        return shown

    @torch.no_grad()
    def settle(self, *hertz: Tensor) -> Shown:
        """Shows examples from which only thresholds learn (homeostasis alone), in any mode.

        After pruning or sharing of weights all neurons have other drives than those that their thresholds
        are made for; this evens out how often they fire. Arguments and errors are those of a call.
        """
        rates = self._rates(hertz)
        shown, learnt = present(self.plan.settling(), self.learnt(), rates, first=int(self.seen))
        self.learn(learnt)
        self.seen += len(shown.counts)
        return shown

    def learnt(self) -> Learnt:
        """Weights and thresholds, in the order of the plan's links and ensembles.

        Raises:
            ValueError: weights below 0 or above the largest one, or where there can be no synapse; thresholds
                that are not finite.
        """
        links = self.links()
        self._check_learnt(links)
        masks = [self.get_buffer(f"{name}_possible") for name in links]
        everything = torch.empty(0, dtype=torch.uint8)  # no mask to look at
        return Learnt(
            [self.get_parameter(name).detach() for name in links],
            [everything if bool(mask.all()) else mask for mask in masks],
            [self.get_parameter(f"theta{p}").detach() for p in range(len(self.plan.ensembles))],
        )

    def links(self) -> list[str]:
        """The names of all weights: those of the ensembles, then of the cross connections."""
        ensembles, cross = range(len(self.plan.ensembles)), range(len(self.plan.cross))
        return [f"weight{p}" for p in ensembles] + [f"cross{c}" for c in cross]

    def follow(
        self,
        rule: Rule,
        place: int = 0,
        *,
        threshold_step: float | None = None,
        threshold_time: float | None = None,
    ) -> None:
        """Lets an ensemble learn by `rule` from now on, as with a rate that falls.

        Args:
            rule: of the synapses of its inputs, one of any kind. place: of the ensemble.
            threshold_step, threshold_time: see `Ensemble`; by default they stay.

        Raises:
            ValueError: weights that the ensemble's `total` or `start` ask for are above the rule's largest,
                or a step or time that an `Ensemble` refuses.
        """
        kinds = list(self.plan.ensembles)
        old = kinds[place]
        kinds[place] = replace(
            old,
            rule=rule,
            threshold_step=old.theta_step if threshold_step is None else threshold_step,
            threshold_time=old.decay_time if threshold_time is None else threshold_time,
        )
        self.plan = replace(self.plan, ensembles=tuple(kinds))

    def prune(self, kept: Tensor, name: str = "weight0") -> None:
        """Takes synapses away for good: their weights stay zero whatever is learnt.

        Args:
            kept: a mask of the synapses that stay, of the shape of the weights. name: of the weights.

        Raises:
            ValueError: a mask of another shape, or one that leaves no synapse.
        """
        weight, mask = self.get_parameter(name), self.get_buffer(f"{name}_possible")
        if kept.shape != weight.shape or kept.dtype != torch.bool:
            wanted = f"{tuple(weight.shape)} bool"
            raise ValueError(f"a mask of {name} must be {wanted}, got {tuple(kept.shape)} {kept.dtype}")
        left = kept & (mask > 0)
        if not left.any():
            raise ValueError(f"this leaves none of the {weight.numel():,} synapses of {name}; prune less")
        with torch.no_grad():
            mask.copy_(left)
            weight.mul_(left)

    def learn(self, learnt: Learnt) -> None:
        """Takes weights and thetas over."""
        mine = self.learnt()
        for to, new in zip(mine.weights + mine.thetas, learnt.weights + learnt.thetas, strict=True):
            to.copy_(new)

    def split(self, counts: Tensor) -> tuple[Tensor, ...]:
        """The columns of `counts` (N, neurons) that belong to each ensemble."""
        return counts.split([one.neurons for one in self.plan.ensembles], dim=1)

    def extra_repr(self) -> str:
        sizes = ", ".join(f"{one.inputs} -> {one.neurons}" for one in self.plan.ensembles)
        rules = ", ".join(type(one.rule).__name__ for one in self.plan.ensembles)
        return f"{sizes}, {rules}, seed={self.plan.seed}"

    def _check_learnt(self, links: Sequence[str]) -> None:
        """What was put into the parameters: rules keep weights in their bounds, but bring none back."""
        for name, one in self.named_parameters():
            if one.dtype != torch.float32 or not one.is_cpu:
                raise TypeError(f"{name} must be torch.float32 on the CPU, got {one.dtype} on {one.device}")
        for name, link in zip(links, self.plan.links(), strict=True):
            weight, mask = self.get_parameter(name), self.get_buffer(f"{name}_possible")
            low, high = (float(one) for one in weight.aminmax())
            most = max(link.rule.most, link.total)  # a restored sum may bring one above the largest
            if not (low >= 0 and high <= most * (1 + ROUNDING)):
                raise ValueError(f"{name} must lie in [0, {most:g}], got {low:g} to {high:g}")
            if not bool(mask.all()) and bool((weight * (mask == 0)).any()):
                raise ValueError(f"{name} must be 0 where {name}_possible is: there is no synapse")
        for place in range(len(self.plan.ensembles)):
            theta = self.get_parameter(f"theta{place}")
            if not bool(theta.isfinite().all()):
                raise ValueError(f"theta{place} must be finite")

    def _hold(self, name: str, weight: Tensor, possible: Tensor) -> None:
        self.register_parameter(name, fixed(weight))
        self.register_buffer(f"{name}_possible", possible.to(torch.uint8))

    def _rates(self, hertz: Sequence[Tensor]) -> list[Tensor]:
        """Checked, as spikes a step, (N, frames, inputs)."""
        kinds, dt = self.plan.ensembles, self.plan.presentation.dt
        if len(hertz) != len(kinds):
            raise ValueError(f"there are {len(kinds)} ensembles, each takes rates, got {len(hertz)}")
        made = []
        for place, (given, kind) in enumerate(zip(hertz, kinds, strict=True)):
            name = f"rates of ensemble {place}"
            check_tensor(name, given)
            if given.dim() not in (2, 3) or given.shape[-1] != kind.inputs:
                sizes = f"(N, {kind.inputs}) or (N, frames, {kind.inputs})"
                raise ValueError(f"{name} must be {sizes}, got {tuple(given.shape)}")
            if given.layout != torch.strided:
                raise TypeError(f"{name} must be dense, got layout {given.layout}")
            if not given.is_cpu:
                raise ValueError(f"{name} must be on the CPU, got {given.device}")
            rates = given.float() * (dt / 1000)
            rates = (rates[:, None] if given.dim() == 2 else rates).contiguous()
            if not bool(((rates >= 0) & (rates <= 1)).all()):
                most = self.plan.presentation.most
                low, high = (float(one) for one in given.aminmax())
                raise ValueError(
                    f"{name} must lie in [0, {most:g}] Hz, one spike a step, got {low:g} to {high:g}"
                )
            frames = rates.shape[1]
            if not 1 <= frames <= self.plan.presentation.steps:
                raise ValueError(f"{name} must have 1 to {self.plan.presentation.steps} frames, got {frames}")
            made.append(rates)
        if len({len(one) for one in made}) > 1:
            raise ValueError(f"ensembles are shown as many examples each, got {[len(one) for one in made]}")
        return made


ROUNDING = 1e-5
"""Of sums of weights, relative."""


def fixed(value: Tensor) -> nn.Parameter:
    """A parameter that gradients do not reach."""
    return nn.Parameter(value, requires_grad=False)
