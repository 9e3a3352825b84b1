"""`monitor`: spike rates, silent and saturated neurons and a spike penalty in a user's own training loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from .checks import check_module, only_shapes, positive_int
from .modules import of_kind
from .nn.layer import SpikingLayer
from .nn.lif import LIF
from .spikes import again, handed_on, in_time, substeps_of, wide
from .watch import SEEING, Call, Watcher


@dataclass
class _Count:
    """What one layer has done since the last reset. Tensors stay on their device until they are read."""

    spikes: Tensor | None = None  # (*) int64, spikes of each neuron
    seen: Tensor | int = 0  # sub-steps of all sequences, padding left out
    tokens: Tensor | float = 0.0  # the same in tokens
    penalty: list[tuple[Tensor, Tensor | float]] = field(default_factory=list)  # spikes, neurons * sub-steps


class Monitor:
    """Counts the spikes of every `spikeseq.nn.LIF` of a model; made by `monitor`."""

    def __init__(
        self,
        model: nn.Module,
        *,
        penalty: bool = False,
        substeps: int | None = None,
        costs: Mapping[str, float] | None = None,
    ) -> None:
        check_module("model", model)
        if substeps is not None:
            positive_int("substeps", substeps)
        layers = {name or "model": module for name, module in of_kind(model, LIF).items()}
        if not layers:
            raise ValueError("the model has no spikeseq.nn.LIF layer, so it makes no spikes to monitor")
        unknown = sorted(set(costs or {}) - set(layers))
        if unknown:
            raise ValueError(f"costs must name layers out of {', '.join(layers)}, got {unknown[0]!r}")
        self._wants_penalty = penalty
        self._costs = costs
        self._counts = {name: _Count() for name in layers}
        self._tokens = {name: substeps or _token(model, name) for name in layers}
        self._watcher = Watcher(layers, after=self._see, threads=True)

    def _see(self, call: Call) -> None:
        name, given, steps = call.name, call.arguments, substeps_of(call.module, call.arguments)
        if only_shapes(call.input):  # as torch.export runs it: there are no spikes
            return
        rows = steps * len(in_time(call.module, call.input))
        spikes = self._spikes(call, rows)
        lengths = given.get("lengths")
        seen = spikes.shape[0] * rows if lengths is None else lengths.sum() * steps
        with torch.no_grad():
            token = self._tokens[name] or given.get("window") or steps
            self._add(name, spikes.detach().sum(0).to(torch.int64), seen, token)
        if self._wants_penalty and spikes.requires_grad:
            neurons = spikes[0].numel()
            cost = 1.0 if self._costs is None else self._costs.get(name, 0.0)
            self._counts[name].penalty.append((cost * spikes.sum(), cost * (seen * neurons)))

    def _spikes(self, call: Call, rows: int) -> Tensor:
        """Spikes of each sequence and neuron (B, *), in floating point, out of all `rows` sub-steps."""
        with torch.set_grad_enabled(self._wants_penalty and torch.is_grad_enabled()):
            if (out := handed_on(call)) is not None:
                return out.sum(0, dtype=wide(out))
            # The layer did not make its spikes: compute them once more and let the op count them.
            count = again(call.module, call.arguments, "rate", rows, path=call.name)[0] * rows
            return count + (count.round() - count).detach()

    def _add(self, name: str, spikes: Tensor, seen: Tensor | int, token: int) -> None:
        count = self._counts[name]
        if count.spikes is not None and count.spikes.shape != spikes.shape:
            shapes = f"{tuple(count.spikes.shape)}, now {tuple(spikes.shape)}"
            raise ValueError(
                f"{name} had neurons {shapes}; call reset() where the shape of the input changes"
            )
        count.spikes = spikes if count.spikes is None else count.spikes + spikes
        count.seen = count.seen + seen
        count.tokens = count.tokens + (seen if isinstance(seen, int) else seen.double()) / token

    def rates(self, per: str = "token") -> dict[str, float]:
        """Spike rate of each layer that has run since the last `reset`, padding left out.

        Args:
            per: "token" (thesis eq. 6.6): spikes over all sub-steps of a token / neurons, between 0 and T;
                or "substep": that divided by T, the share of neurons that fire, between 0 and 1.
        """
        if per not in ("token", "substep"):
            raise ValueError(f"per must be 'token' or 'substep', got {per!r}")
        out = {}
        for name, spikes, count in self._ran():
            over = count.tokens if per == "token" else count.seen
            out[name] = float(spikes.sum()) / (spikes.numel() * float(over))
        return out

    def silent(self) -> dict[str, float]:
        """Share of each layer's neurons that have not fired once since the last `reset`."""
        return {name: float((spikes == 0).double().mean()) for name, spikes, _ in self._ran()}

    def saturated(self) -> dict[str, float]:
        """Share of each layer's neurons that fired at every sub-step since the last `reset`."""
        return {name: float((spikes == count.seen).double().mean()) for name, spikes, count in self._ran()}

    def penalty(self) -> Tensor:
        """Mean spike rate per sub-step of all layers, differentiable: share of (neuron, sub-step) that fire.

        With `costs`, the mean in which every neuron weighs as much as its spikes cost.

        It covers the forward passes with gradients since the last `penalty()` or `reset()`: each graph is
        handed out once, so that nothing is kept alive and backward never runs through it twice. What runs
        under `torch.utils.checkpoint` with use_reentrant=True has no graph, and no part in it.
        """
        if not self._wants_penalty:
            raise ValueError("penalty() needs monitor(model, penalty=True)")
        with SEEING:
            taken = [entry for count in self._counts.values() for entry in count.penalty]
            for count in self._counts.values():
                count.penalty = []
        if not taken:
            raise ValueError("penalty() found no forward pass with gradients since it was last called")
        device = taken[0][0].device
        spikes = sum((fired.to(device) for fired, _ in taken), start=torch.zeros((), device=device))
        places = sum(
            (torch.as_tensor(n, device=device) for _, n in taken), start=torch.zeros((), device=device)
        )
        return spikes / places.clamp(min=1)

    def table(self) -> str:
        """Plain text, one line per layer."""
        rates, steps, silent, saturated = self.rates(), self.rates("substep"), self.silent(), self.saturated()
        width = max((len(name) for name in rates), default=0)
        lines = [f"{'layer':{width}}  neurons  spikes/token  per sub-step  silent  saturated"]
        for name, spikes, _ in self._ran():
            lines.append(
                f"{name:{width}}  {spikes.numel():7d}  {rates[name]:12.3f}  {steps[name]:12.3f}"
                f"  {silent[name]:6.1%}  {saturated[name]:9.1%}"
            )
        return "\n".join(lines)

    def reset(self) -> None:
        """Starts counting anew."""
        with SEEING:
            self._counts = {name: _Count() for name in self._counts}

    def close(self) -> None:
        """Watches no longer; what was counted can still be read."""
        self._watcher.close()

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ran(self) -> list[tuple[str, Tensor, _Count]]:
        """Layers that have seen at least one sub-step, as they are now: other threads may go on counting."""
        with SEEING:
            counts = {name: replace(count) for name, count in self._counts.items()}
        return [(n, c.spikes, c) for n, c in counts.items() if c.spikes is not None and float(c.seen)]


def monitor(
    model: nn.Module,
    *,
    penalty: bool = False,
    substeps: int | None = None,
    costs: Mapping[str, float] | None = None,
) -> Monitor:
    """Watches the spikes of a model: `with monitor(model) as watch: ...; print(watch.table())`.

    It sees every call of a `spikeseq.nn.LIF` (`LIFCell`, and those inside `SpikingRNN` and its cell), adds up
    counts on the model's device, and reads them back only when asked. A layer whose read-out is the rate or
    the membrane makes no spikes in memory; they are computed a second time to count them, without gradients
    unless `penalty`. So monitor some batches, not a timing run. Attach it before a compiled model is first
    called.

    It sees the layers that the model has when it is attached, in whatever thread, not copies of them, and
    each call once, not what is computed again for its gradient (`spikeseq.watch.Watcher`). The model itself
    stays as it is.

    Args:
        model: with at least one LIF layer.
        penalty: whether `Monitor.penalty()` will be called.
        substeps: sub-steps per token T that rates per token are for. Default: `substeps` of the nearest
            module around the layer that has it (`SpikingRNN`, a model), else what the layer is called with.
            Only the scale of `rates()` depends on it; everything else is per sub-step.
        costs: by layer, what one of its spikes costs in the penalty, such as the additions that it causes
            (`evaluation.energy.images.additions_per_spike`); unnamed layers cost nothing. None: all alike.
    Raises:
        TypeError: model is not an nn.Module.
        ValueError: model has no LIF layer, or costs name another. In the model's call: a layer that computes
            something of its own, or has forward pre-hooks, hands on its rate or membrane.
    """
    return Monitor(model, penalty=penalty, substeps=substeps, costs=costs)


def _token(model: nn.Module, name: str) -> int | None:
    """Sub-steps per token as the modules around a layer know it. A layer inside a SpikingRNN does not: from
    the second one on, its rows are sub-steps."""
    parts = name.split(".")
    for end in range(len(parts) - 1, -1, -1):
        around = model.get_submodule(".".join(parts[:end]))
        substeps = getattr(around, "substeps", None)
        if isinstance(substeps, int) and not isinstance(around, LIF | SpikingLayer):
            return substeps
    return None
