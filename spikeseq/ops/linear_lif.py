"""A linear map and the LIF neurons behind it as one op, which keeps little and makes spikes cheap.

An input of spikes is kept as bits, and silent neurons take no part in products (`packed`). The currents
between map and neurons are kept too, or computed again in the backward pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear

from ..neuron import Neuron, Run
from . import memory  # noqa: F401  defines empty_kept
from .dispatch import NO_FIT, Op, dispatch, no_kernel, not_wide, under_autocast, unlike
from .eager import once_differentiable, straight, traced, ungraded
from .lif import fire
from .packed import DENSEST, Packed, pack


def fits(x: Tensor, weight: Tensor, bias: Tensor | None, state: Any, *_rest: Any) -> str | None:
    """CPU tensors of one wide type, not traced, transformed or under autocast.

    What does not fit together it does not take either: the plain way says what is wrong.
    """
    return traced() or tensors_fit(x, weight, bias, state)


def tensors_fit(x: Tensor, weight: Tensor, bias: Tensor | None, state: Any) -> str | None:
    """The same of a call that is not traced."""
    return (
        (None if x.is_cpu else f"on {x.device.type}")
        or under_autocast("cpu")
        or not_wide("input", x)
        or unlike(x, input=x, weight=weight, bias=bias, state=state)
        or (None if _fit_together(x, weight, bias) else NO_FIT)
        or no_kernel("cpu")
    )


def _fit_together(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    matrices = x.dim() == 3 and weight.dim() == 2 and x.shape[2] == weight.shape[1] > 0
    return matrices and (bias is None or bias.shape == weight.shape[:1])


def product(rows: Tensor | None, packed: Packed | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(R, I) as they are, or as bits, weight (O, I) and bias (O,): the currents (R, O)."""
    return dispatch(PRODUCT, rows, packed, weight, bias)  # type: ignore[no-any-return]


def _fits_product(_rows: Tensor | None, packed: Packed | None, *_: Any) -> str | None:
    if packed is None:
        return "the input is not spikes of one value"
    if packed.rate > DENSEST:
        return f"more than {DENSEST:.0%} of the input's neurons fired"
    return None


def _of_those_that_fired(_rows: Any, packed: Packed, weight: Tensor, bias: Tensor | None) -> Tensor:
    return packed.product(weight, bias)


def _dense(rows: Tensor | None, packed: Packed | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    if rows is None:
        assert packed is not None
        rows = packed.unpack(weight)
    current: Tensor = torch.ops.spikeseq.empty_kept([len(rows), len(weight)], rows)
    if bias is None:
        return torch.mm(rows, weight.t(), out=current)
    return torch.addmm(bias, rows, weight.t(), out=current)


PRODUCT = Op("packed_product", _fits_product, _of_those_that_fired, _dense)


def _currents(x: Tensor, weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Packed | None, Tensor]:
    """The rows of x (L, B, I), the same as bits if they are spikes, and the currents (L, B, O)."""
    rows = x.reshape(-1, x.shape[-1]).contiguous()
    packed = pack(rows)
    return rows, packed, product(rows, packed, weight, bias).view(*x.shape[:-1], len(weight))


class LinearLif(torch.autograd.Function):
    """x (L, B, I), weight (H, I), bias (H,) or None, whether to recompute, then arguments of the LIF op."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, recompute: bool, *neuron: Any
    ) -> tuple[Tensor, Tensor]:
        rows, packed, current = _currents(x, weight, bias)
        out, final_state, checkpoints = straight(torch.ops.spikeseq.lif.default, current, *neuron)
        _state, leak, threshold, lengths, *options = neuron
        by_x, by_weight, *_ = ctx.needs_input_grad
        given = rows if packed is None else packed.bits
        ctx.save_for_backward(
            given if recompute or by_weight else None,
            None if recompute else current,
            weight if recompute or by_x else None,
            bias if recompute else None,
            *(checkpoints, final_state, leak, threshold, lengths),
        )
        # Without the bits: what is saved can be let go or moved only if nothing else holds it.
        ctx.packed = None if packed is None else packed.of(packed.bits.new_empty(0))
        ctx.options, ctx.shape, ctx.width, ctx.out_shape = options, x.shape, len(weight), out.shape
        ctx.set_materialize_grads(False)
        return out, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, saved: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        given, current, weight, bias, checkpoints, final_state, leak, threshold, lengths = saved
        rows = packed = None
        if ctx.packed is None:
            rows = given
        elif given is not None:
            packed = ctx.packed.of(given)
        if current is None:
            current = product(rows, packed, weight, bias).view(*ctx.shape[:-1], ctx.width)
        grad_out, grad_final = grads
        if grad_out is None:
            grad_out = current.new_zeros(()).expand(ctx.out_shape)
        if grad_final is None:
            grad_final = torch.zeros_like(final_state)
        by_current, by_state, by_leak, by_threshold = straight(
            *(torch.ops.spikeseq.lif_backward.default, grad_out, grad_final, current, checkpoints),
            *(final_state, leak, threshold, lengths, *ctx.options),
        )
        del current, grad_out
        grad = by_current.flatten(0, 1)
        by_x = by_weight = by_bias = None
        if ctx.needs_input_grad[0]:
            by_x = torch.ops.spikeseq.empty_kept([len(grad), weight.shape[1]], grad)
            by_x = torch.mm(grad, weight, out=by_x).view(ctx.shape)
        if ctx.needs_input_grad[1]:
            by_weight = grad.t() @ rows if packed is None else packed.weight_gradient(grad)
        if ctx.needs_input_grad[2]:
            by_bias = grad.sum(0)
        return (
            by_x, by_weight, by_bias, None, by_state, by_leak, by_threshold, None, *[None] * len(ctx.options)
        )  # fmt: skip


def in_one_pass(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor | None, neuron: Neuron, run: Run,
    recompute: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The fused way."""
    form = x.new_empty(()).expand(*x.shape[:-1], len(weight))  # of the currents, without their memory
    arguments = neuron.arguments(form, state, run)
    if ungraded():
        _rows, _packed, current = _currents(x, weight, bias)
        out, final, _ = straight(torch.ops.spikeseq.lif.default, current, *arguments)
    else:
        out, final = LinearLif.apply(x, weight, bias, recompute, *arguments)  # type: ignore[no-untyped-call]
    return out, final if neuron.planes else final[0]


def one_after_the_other(
    x: Tensor, weight: Tensor, bias: Tensor | None, state: Tensor | None, neuron: Neuron, run: Run,
    _recompute: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The plain way."""
    return fire(linear(x, weight, bias), state, neuron, run)


LINEAR_LIF = Op("linear_lif", fits, in_one_pass, one_after_the_other)
"""Takes input, weight, bias, state, `Neuron`, `Run`, and whether to compute currents again."""
