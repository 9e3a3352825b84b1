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
from .packed import DENSEST, Packed, pack


def serves(x: Tensor, *others: Tensor | None) -> bool:
    """Whether the op takes these: on a CPU, of one type, not while traced, transformed or under autocast."""
    return (
        x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.layout == torch.strided
        and all(t is None or (t.dtype == x.dtype and t.device == x.device) for t in others)
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
        and ensure_native("cpu")
    )


def product(rows: Tensor, packed: Packed | None, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(R, I) or the same as bits, weight (O, I) and bias (O,): the currents (R, O)."""
    if packed is not None and packed.rate <= DENSEST:
        return packed.product(weight, bias)
    if packed is not None and not rows.numel():  # only the bits were kept
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
        ctx.packed, ctx.options, ctx.shape, ctx.out_shape = packed, options, x.shape, out.shape
        ctx.save_for_backward(
            rows if packed is None else packed.bits,
            None if recompute else current,
            *(weight, bias, checkpoints, final_state, leak, threshold, lengths),
        )
        ctx.set_materialize_grads(False)
        return out, final_state

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        given, current, weight, bias, checkpoints, final_state, leak, threshold, lengths = ctx.saved_tensors
        packed: Packed | None = ctx.packed and ctx.packed.of(given)
        rows = given if packed is None else weight.new_empty((len(given), 0))
        if current is None:
            current = product(rows, packed, weight, bias).view(*ctx.shape[:-1], len(weight))
        grad_out, grad_final = grads
        if grad_out is None:
            grad_out = current.new_zeros(()).expand(ctx.out_shape)
        if grad_final is None:
            grad_final = torch.zeros_like(final_state)
        by_current, by_state, by_leak, by_threshold = torch.ops.spikeseq.lif_backward(
            grad_out, grad_final, current, checkpoints, final_state, leak, threshold, lengths, *ctx.options
        )
        del current, grad_out
        grad = by_current.view(-1, len(weight))
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
