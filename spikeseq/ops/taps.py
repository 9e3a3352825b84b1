"""Convolution over tokens, time first: one matrix product per tap on shifted rows, nothing copied or padded.

On a CPU, an input that is mostly zero (spikes) takes another way: only the weights of neurons that fired are
read and added up, forwards and for the gradient of the weights. Spikes of one value are kept as bits until
then, sums of them as bytes.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from . import library
from .dispatch import Op, no_kernel, not_wide, tell, unlike
from .eager import once_differentiable, traced
from .packed import shrink

library.define("add_taps(Tensor(a!) base, Tensor x, Tensor weight, int before) -> bool")
library.define("taps_weight_gradient(Tensor x, Tensor grad, int taps, int before) -> Tensor")


class _Taps(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, base: Tensor, before: int, by_events: bool
    ) -> tuple[Tensor, Tensor]:
        ctx.mark_dirty(base)
        by_x, by_weight, *_ = ctx.needs_input_grad
        packed = shrink(x.flatten(0, -2)) if by_events and by_weight else None
        given = x if packed is None else packed.bits
        # An output without values: it leads to the inputs where bits are kept, which have no history.
        history = x.new_empty(0)
        ctx.save_for_backward(given if by_weight else None, weight if by_x else None, history)
        # Without the bits: what is saved can be let go or moved only if nothing else holds it.
        ctx.packed = None if packed is None else packed.of(packed.bits.new_empty(0))
        ctx.shape, ctx.dtype, ctx.taps, ctx.before = x.shape, x.dtype, len(weight), before
        ctx.sparse = by_events and torch.ops.spikeseq.add_taps(base, x, weight, before)
        if not ctx.sparse:
            if by_events:
                tell(TAPS, "the input is too dense to gain from events", begun=True)
            for k, (from_rows, made) in enumerate(ranges(len(x), len(base), len(weight), before)):
                _add_product(flat(base, made), flat(x, from_rows), weight[k])
        return base, history

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, saved: Any, *grads: Tensor) -> tuple[Any, ...]:
        given, weight, _ = saved
        grad = grads[0].to(ctx.dtype).contiguous()
        taps = ranges(ctx.shape[0], len(grad), ctx.taps, ctx.before)
        by_x = by_weight = None
        if ctx.needs_input_grad[1]:
            x = given if ctx.packed is None else ctx.packed.of(given).unpack(grad).view(ctx.shape)
            if ctx.sparse:
                by_weight = torch.ops.spikeseq.taps_weight_gradient(x, grad, ctx.taps, ctx.before)
            else:
                by_weight = torch.stack([flat(x, rows).t() @ flat(grad, made) for rows, made in taps])
            del x
        if ctx.needs_input_grad[0]:
            by_x = grad.new_empty(ctx.shape)
            for k, (rows, made) in enumerate(taps):
                if k == 0:  # writes, and leaves to be filled what it does not reach
                    by_x[: rows.start].zero_()
                    by_x[rows.stop :].zero_()
                    torch.mm(flat(grad, made), weight[k].t(), out=flat(by_x, rows))
                else:
                    flat(by_x, rows).addmm_(flat(grad, made), weight[k].t())
        return by_x, by_weight, grads[0], None, None


def fits(base: Tensor, x: Tensor, *_: Any) -> str | None:
    """An input of a wide type on a CPU, of the type of what is added to, not traced or transformed."""
    return (
        traced()
        or (None if x.is_cpu else f"on {x.device.type}")
        or not_wide("input", x)
        or unlike(x, input=x, base=base)
        or no_kernel("cpu")
    )


def _added(base: Tensor, x: Tensor, weight: Tensor, before: int, by_events: bool) -> Tensor:
    if base._is_view() and torch.is_grad_enabled():  # no Function of two outputs may write into a view
        return base.copy_(_Taps.apply(x, weight, base.clone(), before, by_events)[0])  # type: ignore[no-untyped-call]
    return _Taps.apply(x, weight, base, before, by_events)[0]  # type: ignore[no-any-return, no-untyped-call]


def _by_events(base: Tensor, x: Tensor, weight: Tensor, before: int) -> Tensor:
    return _added(base, x, weight, before, True)


def _by_products(base: Tensor, x: Tensor, weight: Tensor, before: int) -> Tensor:
    if traced():  # ordinary operations, which can be traced, transformed and differentiated in any mode
        return composed(base, x, weight, before)
    return _added(base, x, weight, before, False)


TAPS = Op("add_taps", fits, _by_events, _by_products)


def composed(base: Tensor, x: Tensor, weight: Tensor, before: int) -> Tensor:
    """The same without overwriting `base`: the oracle, and what is traced.

    Rows that do not exist are padded: `ranges` compares numbers of rows, and would fix them in a trace.
    """
    made, taps = base.shape[0], weight.shape[0]
    behind = made + taps - 1 - before - x.shape[0]
    padded = pad(x, (*[0, 0] * (x.dim() - 1), before, behind))
    total = base.flatten(0, -2)
    for k in range(taps):
        rows = padded[k : k + made].flatten(0, -2)
        same = total.dtype == rows.dtype
        total = torch.addmm(total, rows, weight[k]) if same else total + rows @ weight[k]
    return total.view_as(base)


def _add_product(to: Tensor, a: Tensor, b: Tensor) -> None:
    """to += a @ b, in one pass where all are of one type."""
    if to.dtype == a.dtype:
        to.addmm_(a, b)
    else:
        to.add_(a @ b)


def ranges(given: int, made: int, taps: int, before: int) -> list[tuple[slice, slice]]:
    """For every tap, the rows of the input that exist and the rows of the output that they go to."""
    pairs = []
    for k in range(taps):
        shift = k - before
        first = max(0, -shift)
        last = max(first, min(made, given - shift))
        pairs.append((slice(first + shift, last + shift), slice(first, last)))
    return pairs


def flat(x: Tensor, part: slice) -> Tensor:
    """Some rows of (L, *, C) as a matrix, without a copy."""
    return x[part].view(-1, x.shape[-1])
