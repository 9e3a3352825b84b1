"""LIF in plain PyTorch: the oracle that every kernel must agree with, and the fall-back without a compiler.

`lif_reference` is written for reading and differentiated by autograd. `lif_adjoint` is the same gradient
written out by hand, because the dispatcher runs the fall-back below autograd.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..surrogates import SURROGATES, Surrogate
from .eager import no_second_backward


class Options(NamedTuple):
    """What one call of the LIF op is asked to do, in the order of the op's schema."""

    substeps: int
    window: int
    reset: str
    readout: str
    surrogate: str
    height: float
    width: float
    detach_reset: bool
    norm_input: bool = False

    @property
    def derivative(self) -> Surrogate:
        """The surrogate itself."""
        return SURROGATES[self.surrogate](self.height, self.width)


def update(u: Tensor, spike: Tensor, current: Tensor, leak: Tensor, threshold: Tensor, reset: str) -> Tensor:
    """u[t] from u[t-1], o[t-1] and I[t]: thesis eq. 6.1 for the soft reset."""
    if reset == "soft":
        return leak * u + current - threshold * spike
    if reset == "soft_immediate":
        return leak * (u - threshold * spike) + current
    return leak * (u * (1 - spike)) + current


class Spike(torch.autograd.Function):
    """o = [u > v], with the surrogate's gradient in z = u/v - 1; forwards and backwards the same slope."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u: Tensor, threshold: Tensor, slope: Tensor) -> Tensor:
        return (u > threshold).to(u.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        return (*_SpikeBackward.apply(grad, *ctx.saved_tensors), None)  # type: ignore[no-untyped-call]

    @staticmethod
    def jvp(ctx: Any, by_u: Tensor | None, by_threshold: Tensor | None, _by_slope: Any) -> Tensor:  # type: ignore[override]
        return _SpikeForward.apply(by_u, by_threshold, *ctx.saved_tensors)  # type: ignore[no-untyped-call, no-any-return]


class _OnceMore(torch.autograd.Function):
    """A derivative, which has none of its own."""

    generate_vmap_rule = True

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    backward = staticmethod(no_second_backward)
    jvp = staticmethod(no_second_backward)


class _SpikeBackward(_OnceMore):
    @staticmethod
    def forward(grad: Tensor, u: Tensor, threshold: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        by_z = grad * slope
        return by_z / threshold, (-by_z * u / threshold**2).sum_to_size(threshold.shape)


class _SpikeForward(_OnceMore):
    @staticmethod
    def forward(
        by_u: Tensor | None, by_threshold: Tensor | None, u: Tensor, threshold: Tensor, slope: Tensor
    ) -> Tensor:
        by_z = torch.zeros_like(u)
        if by_u is not None:
            by_z = by_z + by_u / threshold
        if by_threshold is not None:
            by_z = by_z - by_threshold * u / threshold**2
        return by_z * slope


def spread(values: Tensor, like: Tensor) -> Tensor:
    """Leaks or thresholds (1,) or (C,) shaped to broadcast over (B, C, *); leaks (L, B, C, *) as they are."""
    if values.dim() > 1:
        return values
    return values.reshape(1, -1, *[1] * (like.dim() - 2)) if values.numel() != 1 else values.reshape(())


def at(row: int, leaks: Tensor, like: Tensor) -> Tensor:
    """The leaks (spread) that hold for a row of current: its own, or those of all rows."""
    return leaks[row] if leaks.dim() > like.dim() else leaks


def counted(rows: Tensor, lengths: Tensor | None) -> Tensor:
    """Rows (L, B, *), zero past each sequence's end: whatever is there must not reach a gradient."""
    if lengths is None:
        return rows
    counts = torch.arange(len(rows), device=rows.device).unsqueeze(1) < lengths
    return rows.where(counts.view(*counts.shape, *[1] * (rows.dim() - 2)), 0)


def alive(t: int, lengths: Tensor | None, like: Tensor, substeps: int) -> Tensor | None:
    """(B, 1, ...) mask of the sequences that have not ended before sub-step t."""
    return None if lengths is None else (t < lengths * substeps).view(-1, *[1] * (like.dim() - 1))


def lif_reference(
    current: Tensor, state: Tensor, leak: Tensor, threshold: Tensor, lengths: Tensor | None, *options: Any
) -> tuple[Tensor, Tensor]:
    """The oracle: one Python iteration per sub-step, differentiable by autograd.

    Args:
        current: (L, B, *).
        state: (1 + memory planes, B, *), the membrane first.
        leak: (1,), (C,), or (L, B, *) as current. threshold: (1,) or (C,).
        lengths: (B,) rows of current that count, or None.
        options: the fields of `Options`.
    Returns:
        (L * substeps / window, B, *) in current's dtype, and the final state.
    """
    o = Options(*options)
    surrogate = o.derivative
    current = counted(current, lengths)
    u, memory = state[0], state[1:]
    leaks = spread(leak if leak.dim() == 1 else counted(leak, lengths), u)
    threshold = spread(threshold, u)

    def fire(u: Tensor, memory: Tensor) -> Tensor:
        # Which sub-steps have a slope is decided by data alone, so nothing flows through the slope.
        by_z = surrogate.slope(u.detach() / threshold.detach() - 1, memory.detach()).expand_as(u)
        return Spike.apply(u, threshold, by_z)  # type: ignore[no-any-return]

    spike = fire(u, memory)
    count = torch.full_like(u, o.window)  # dividing by a number, a GPU would multiply by its rounded inverse
    rows, window = [], []
    for t in range(len(current) * o.substeps):
        mask = alive(t, lengths, u, o.substeps)
        fed_back = spike.detach() if o.detach_reset else spike
        row = t // o.substeps
        decay, given = at(row, leaks, u), current[row].to(u.dtype)
        if o.norm_input:
            given = given * (1 - decay)
        new = update(u, fed_back, given, decay, threshold, o.reset)
        new_memory = surrogate.remember((new > threshold).to(u.dtype).detach(), memory)
        new_spike = fire(new, new_memory)
        emitted = new if o.readout == "membrane" else new_spike
        if mask is not None:
            new, new_spike = torch.where(mask, new, u), torch.where(mask, new_spike, spike)
            new_memory = torch.where(mask, new_memory, memory)
            emitted = torch.where(mask, emitted, torch.zeros_like(emitted))
        u, spike, memory = new, new_spike, new_memory
        window.append(emitted)
        if len(window) == o.window:
            rows.append(window[-1] if o.readout == "membrane" else torch.stack(window).sum(0) / count)
            window = []
    return torch.stack(rows).to(current.dtype), torch.cat((u[None], memory))


def lif_adjoint(
    grad_out: Tensor,
    grad_final: Tensor,
    current: Tensor,
    state: Tensor,
    leak: Tensor,
    threshold: Tensor,
    lengths: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of current, state, leak and threshold, by the reverse loop written out."""
    o = Options(*options)
    surrogate = o.derivative
    threshold_shape = threshold.shape
    leaks, threshold = spread(leak, state[0]), spread(threshold, state[0])

    history = [state]  # before sub-step t
    for t in range(len(current) * o.substeps):
        u, memory = history[-1][0], history[-1][1:]
        fired = (u > threshold).to(u.dtype)
        row = t // o.substeps
        decay, given = at(row, leaks, u), current[row].to(u.dtype)
        if o.norm_input:
            given = given * (1 - decay)
        new = update(u, fired, given, decay, threshold, o.reset)
        after = torch.cat((new[None], surrogate.remember((new > threshold).to(u.dtype), memory)))
        mask = alive(t, lengths, u, o.substeps)
        history.append(after if mask is None else torch.where(mask, after, history[-1]))

    grad_u, grad_spike = grad_final[0].clone(), torch.zeros_like(grad_final[0])
    grad_leak = torch.zeros_like(grad_u if leak.dim() == 1 else leak)
    grad_threshold = torch.zeros_like(grad_u)
    grad_current = torch.zeros_like(current, dtype=grad_u.dtype)

    def through_spike(state: Tensor, grad_u: Tensor, grad_spike: Tensor) -> tuple[Tensor, Tensor]:
        by_u = grad_spike * surrogate.slope(state[0] / threshold - 1, state[1:]) / threshold
        return grad_u + by_u, -by_u * state[0] / threshold

    for t in reversed(range(len(current) * o.substeps)):
        before, after = history[t], history[t + 1]
        u, fired = before[0], (before[0] > threshold).to(grad_u.dtype)
        row, handed = t // o.substeps, grad_out[t // o.window].to(grad_u.dtype)
        decay, by_decay = at(row, leaks, u), at(row, grad_leak, u)
        total_u, total_spike = grad_u, grad_spike
        if o.readout != "membrane":
            total_spike = total_spike + handed / o.window
        elif (t + 1) % o.window == 0:
            total_u = total_u + handed
        g, by_threshold = through_spike(after, total_u, total_spike)
        if o.reset == "soft":
            partial = (decay, -threshold, u, -fired)
        elif o.reset == "soft_immediate":
            partial = (decay, -decay * threshold, u - threshold * fired, -decay * fired)
        else:
            partial = (decay * (1 - fired), -decay * u, u * (1 - fired), torch.zeros_like(u))
        mask = alive(t, lengths, u, o.substeps)
        through_reset = torch.zeros_like(g) if o.detach_reset else partial[1] * g
        live = torch.ones_like(u, dtype=torch.bool) if mask is None else mask
        zero = torch.zeros_like(u)
        by_weight = -g * current[row].to(g.dtype) if o.norm_input else zero
        grad_current[row] += torch.where(live, g * (1 - decay) if o.norm_input else g, zero)
        by_decay += torch.where(live, partial[2] * g + by_weight, zero)
        grad_threshold += torch.where(live, by_threshold + partial[3] * g, zero)
        grad_u = torch.where(live, partial[0] * g, grad_u)
        grad_spike = torch.where(live, through_reset, grad_spike)

    grad_u, by_threshold = through_spike(state, grad_u, grad_spike)
    grad_threshold = grad_threshold + by_threshold
    grad_state = torch.cat((grad_u[None], torch.zeros_like(state[1:])))

    return (
        grad_current.to(current.dtype),
        grad_state,
        grad_leak.sum_to_size(leaks.shape).reshape(leak.shape),
        grad_threshold.sum_to_size(threshold.shape).reshape(threshold_shape),
    )
