"""A linear map and the LIF neurons behind it as one op, which keeps little and makes spikes cheap.

An input of spikes is kept as bits, and silent neurons take no part in products (`packed`). The currents
between map and neurons are kept too, or computed again in the backward pass.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from . import memory  # noqa: F401  defines empty_kept
from .build import ensure_native
from .eager import plain, traced
from .packed import DENSEST, Packed, pack


def serves(x: Tensor, weight: Tensor, bias: Tensor | None, state: Any) -> bool:
    """Whether the op takes these: plain CPU tensors of one type, not traced, transformed or under autocast.

    What does not fit together it does not take either: the other way says what is wrong.
    """
    return (
        not traced()
        and x.is_cpu
        and all(plain(t, x) for t in (x, weight, bias, state) if t is not None)
        and x.dtype in (torch.float32, torch.float64)
        and x.dim() == 3
        and weight.dim() == 2
        and x.shape[2] == weight.shape[1] > 0
        and (bias is None or bias.shape == weight.shape[:1])
        and not torch.is_autocast_enabled("cpu")
        and ensure_native("cpu")
    )


def product(rows: Tensor | None, packed: Packed | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(R, I) as they are, or as bits, weight (O, I) and bias (O,): the currents (R, O)."""
    if packed is not None and packed.rate <= DENSEST:
        return packed.product(weight, bias)
    if rows is None:
        assert packed is not None
        rows = packed.unpack(weight)
    current: Tensor = torch.ops.spikeseq.empty_kept([len(rows), len(weight)], rows)
    if bias is None:
        return torch.mm(rows, weight.t(), out=current)
    return torch.addmm(bias, rows, weight.t(), out=current)


class LinearLif(torch.autograd.Function):
    """x (L, B, I), weight (H, I), bias (H,) or None, whether to recompute, then arguments of the LIF op."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, recompute: bool, *neuron: Any
    ) -> tuple[Tensor, Tensor]:
        rows = x.reshape(-1, x.shape[-1]).contiguous()
        packed = pack(rows)
        current = product(rows, packed, weight, bias).view(*x.shape[:-1], len(weight))
        out, final_state, checkpoints = torch.ops.spikeseq.lif(current, *neuron)
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
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        given, current, weight, bias, checkpoints, final_state, leak, threshold, lengths = ctx.saved_tensors
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
        by_current, by_state, by_leak, by_threshold = torch.ops.spikeseq.lif_backward(
            grad_out, grad_final, current, checkpoints, final_state, leak, threshold, lengths, *ctx.options
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
