"""A graph of parts as a module: rows of input in, rows of output and an explicit state out."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_tensor, positive_int
from ..functional import lif
from ..nn import LIF
from ..nn.layer import SpikingLayer
from ..nn.lif import SMALLEST_THRESHOLD
from .order import Group, in_order
from .parts import (
    INPUT,
    OUTPUT,
    Array,
    Conv,
    Factor,
    Flat,
    Integrate,
    Map,
    Neurons,
    Part,
    Parts,
    Pool,
    Wait,
)

State = dict[str, Tensor]
"""What every part that remembers holds, by its name, with the batch first; inputs of a step later, too."""


class Network(nn.Module):
    """What `from_nir` makes of a graph, and what `to_nir` says that a model is.

    `layers` holds a module for every node, by its name; neurons are `LIF`, so that the network can be trained
    on. `substeps` is how many steps a row of input is held, `readout` what its author does with the output:
    "spikes" nothing, "rate" the mean over the steps of a row, "sum" the sum over all steps.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        self.parts = parts
        self.substeps, self.readout = parts.substeps, parts.readout
        self.groups = in_order(parts)
        self._keys = keys(parts)
        self.layers = nn.ModuleDict({self._keys[name]: made(part) for name, part in parts.nodes.items()})

    def forward(
        self, x: Tensor, state: State | None = None, *, substeps: int | None = None
    ) -> tuple[Tensor, State]:
        """Goes on in time.

        Args:
            x: (L, B, *), in the shape of one input.
            state: as the call before returned it; None starts anew.
            substeps: steps that each row is held; default `self.substeps`.
        Returns:
            What comes out step by step (L * substeps, B, *), and the state.
        Raises:
            ValueError: an x of another shape.
        """
        steps = self.substeps if substeps is None else positive_int("substeps", substeps)
        if check_tensor("x", x).dim() < 3 or tuple(x.shape[2:]) != self.parts.shape or not x.shape[0]:
            wanted = ", ".join(map(str, self.parts.shape))
            raise ValueError(f"x must be (L, B, {wanted}) with L > 0, got {tuple(x.shape)}")
        after: State = {}
        given = {INPUT: x.repeat_interleave(steps, 0) if steps > 1 else x}
        for group in self.groups:
            if group.steps:
                self._step_by_step(group, given, state, after)
            else:
                name = group.nodes[0]
                self._run(name, self._sum(name, given), state, after, given)
        return self._sum(OUTPUT, given), after

    def _sum(self, name: str, given: dict[str, Tensor]) -> Tensor:
        """What reaches a node."""
        sources = self.parts.sources(name)
        total = given[sources[0]]
        for source in sources[1:]:
            total = total + given[source]
        return total

    def _run(
        self, name: str, x: Tensor, before: State | None, after: State, given: dict[str, Tensor]
    ) -> None:
        module: Any = self.layers[self._keys[name]]
        if isinstance(module, Remembers):
            given[name], after[name] = module(x, None if before is None else before.get(name))
        else:
            given[name] = module(x.flatten(0, 1)).unflatten(0, x.shape[:2])

    def _step_by_step(
        self, group: Group, given: dict[str, Tensor], before: State | None, after: State
    ) -> None:
        """A cycle: what goes around it arrives a step later, where `group.late` says."""
        rows: dict[str, list[Tensor]] = {name: [] for name in group.nodes}
        inner = set(group.nodes)
        length, batch = next(iter(given.values())).shape[:2]
        shapes, like = self.parts.shapes(), next(iter(given.values()))
        passed = {}
        for source, target in group.late:
            held = None if before is None else before.get(f"{source} to {target}")
            empty = like.new_zeros(batch, *shapes[source]) if held is None else held
            passed[source, target] = empty
        inside = before
        for t in range(length):
            now: dict[str, Tensor] = {}
            reached: State = {}
            for name in group.nodes:
                found = []
                for source in self.parts.sources(name):
                    if (source, name) in passed:
                        found.append(passed[source, name].unsqueeze(0))
                    else:
                        found.append(now[source] if source in inner else given[source][t : t + 1])
                self._run(name, sum(found[1:], found[0]), inside, reached, now)
                rows[name].append(now[name])
            passed = {edge: now[edge[0]][0] for edge in passed}
            inside = reached
        given.update((name, torch.cat(found)) for name, found in rows.items())
        after.update(inside or {})
        after.update((f"{source} to {target}", value) for (source, target), value in passed.items())

    def extra_repr(self) -> str:
        return f"substeps={self.substeps}, readout={self.readout!r}"


class Remembers(nn.Module):
    """(L, B, *) and a state in, (L, B, *) and the state out."""


class Fires(Remembers):
    """Neurons, and the gain of what reaches them."""

    gain: Tensor | None

    def __init__(self, part: Neurons) -> None:
        super().__init__()
        self.part, self.initial = part, part.initial
        gain, threshold = part.gain, part.threshold
        norm_input = bool((gain != 1).any()) and np.array_equal(gain, 1 - part.leak)
        if (threshold < SMALLEST_THRESHOLD).any():  # which `LIF` would move up
            gain, threshold, norm_input = gain / threshold, np.ones_like(threshold), False
        self.wide = wide(part.leak, threshold)  # a value for each neuron, not for each channel
        dtype = getattr(torch, part.dtype)
        ours = norm_input or not (gain != 1).any()
        self.register_buffer("gain", None if ours else torch.as_tensor(gain, dtype=dtype))
        neuron: dict[str, Any] = {
            "leak": values(part.leak, self.wide),
            "threshold": values(threshold, self.wide),
            "reset": part.reset,
            "norm_input": norm_input,
            "dtype": dtype,
        }
        varied = any(isinstance(neuron[name], list) for name in ("leak", "threshold"))
        channels = (part.leak.size if self.wide else part.leak.shape[0]) if varied else None
        if part.feedback is None:
            self.neurons: LIF | SpikingLayer = LIF(channels, **neuron)
            return
        size = len(part.feedback)
        layer = SpikingLayer(size, size, False, recurrent=True, channels=channels, **neuron)
        layer.release_map()
        assert layer.feedback is not None
        with torch.no_grad():
            layer.feedback.weight.copy_(torch.as_tensor(part.feedback))
        self.neurons = layer

    @property
    def lif(self) -> LIF:
        """The neurons themselves."""
        return self.neurons.lif if isinstance(self.neurons, SpikingLayer) else self.neurons

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.gain is not None:
            x = x * self.gain.to(x.dtype)
        shape = x.shape[2:]
        if self.wide:
            x = x.flatten(2)
            state = None if state is None else state.flatten(1)
        if state is None and self.initial:
            threshold = self.lif.neuron().threshold.view(-1, *[1] * (x.dim() - 3))
            high = torch.promote_types(x.dtype, torch.float32)
            state = (self.initial * threshold).to(high).expand(x.shape[1:]).clone()
        if isinstance(self.neurons, SpikingLayer):
            spikes, state = self.neurons(x, state, lengths=None, substeps=1, readout="spikes")
        else:
            spikes, state = self.neurons(x, state)
        assert state is not None
        return (spikes.unflatten(2, shape), state.unflatten(1, shape)) if self.wide else (spikes, state)


class Integrates(Remembers):
    """Neurons that never fire, step by step."""

    leak: Tensor
    gain: Tensor

    def __init__(self, part: Integrate) -> None:
        super().__init__()
        self.register_buffer("leak", torch.as_tensor(part.leak.ravel(), dtype=torch.float64))
        self.register_buffer("gain", torch.as_tensor(part.gain, dtype=torch.float64))

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        shape = x.shape[2:]
        x = (x * self.gain.to(x.dtype)).flatten(2)
        high = torch.promote_types(x.dtype, torch.float32)
        never = torch.finfo(high).max
        state = None if state is None else state.flatten(1)
        leak = self.leak.to(high)
        out, state = lif(x, state, leak=leak, threshold=never, readout="membrane", detach_reset=True)
        return out.unflatten(2, shape), state.unflatten(1, shape)


class Waits(Remembers):
    """What came in so many steps before."""

    def __init__(self, part: Wait) -> None:
        super().__init__()
        self.steps = part.steps

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        if state is None:
            state = x.new_zeros(x.shape[1], self.steps, *x.shape[2:])
        line = torch.cat([state.transpose(0, 1), x])
        return line[: len(x)], line[len(x) :].transpose(0, 1)


class Multiplies(nn.Module):
    """A number for all, or one for each value."""

    value: Tensor

    def __init__(self, part: Factor) -> None:
        super().__init__()
        self.register_buffer("value", torch.as_tensor(np.asarray(part.value, np.float64)))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.value.to(x.dtype)


class Pools(nn.Module):
    """The average or the sum over windows."""

    def __init__(self, part: Pool) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        part = self.part
        divisor = 1 if part.total else None
        return nn.functional.avg_pool2d(x, part.kernel, part.stride, part.padding, divisor_override=divisor)


def keys(parts: Parts) -> dict[str, str]:
    """A name for every node that a module may have: without dots, and none that nn.ModuleDict has itself."""
    found: dict[str, str] = {}
    for name in parts.nodes:
        key = name.replace(".", "_").replace(" ", "_")
        while key in found.values() or hasattr(nn.ModuleDict, key) or key in vars(nn.ModuleDict()):
            key += "_"
        found[name] = key
    return found


def made(part: Part) -> nn.Module:
    """The module of a part."""
    match part:
        case Map():
            outputs, inputs = part.weight.shape
            linear = nn.Linear(inputs, outputs, bias=part.bias is not None, dtype=dtype_of(part.weight))
            return filled(linear, part.weight, part.bias)
        case Conv():
            sides = len(part.stride)
            kind: Any = {1: nn.Conv1d, 2: nn.Conv2d}[sides]
            conv = kind(
                part.weight.shape[1] * part.groups,
                part.weight.shape[0],
                part.weight.shape[2:],
                stride=part.stride,
                padding=part.padding,
                dilation=part.dilation,
                groups=part.groups,
                bias=part.bias is not None,
                dtype=dtype_of(part.weight),
            )
            return filled(conv, part.weight, part.bias)
        case Pool():
            return Pools(part)
        case Flat():
            start, end = part.start, part.end
            return nn.Flatten(start + 1 if start >= 0 else start, end + 1 if end >= 0 else end)
        case Neurons():
            return Fires(part)
        case Integrate():
            return Integrates(part)
        case Factor():
            return Multiplies(part)
        case Wait():
            return Waits(part)


@torch.no_grad()
def filled(module: Any, weight: Array, bias: Array | None) -> nn.Module:
    """The module with these weights."""
    module.weight.copy_(torch.as_tensor(weight))
    if bias is not None:
        module.bias.copy_(torch.as_tensor(bias))
    return module  # type: ignore[no-any-return]


def dtype_of(weight: Array) -> torch.dtype:
    """float64 for such weights, else float32."""
    return torch.float64 if weight.dtype == np.float64 else torch.float32


def wide(*arrays: Array) -> bool:
    """Whether values differ within a channel."""
    return any(
        (one != one.reshape(len(one), -1)[:, :1].reshape(-1, *[1] * (one.ndim - 1))).any() for one in arrays
    )


def values(one: Array, wide: bool) -> float | list[float]:
    """A number where all are the same, else a list: for each neuron, or for each channel."""
    flat = one.ravel()
    if (flat == flat[0]).all():
        return float(flat[0])
    return flat.tolist() if wide else one.reshape(len(one), -1)[:, 0].tolist()  # type: ignore[no-any-return]
