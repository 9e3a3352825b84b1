"""The LIF op as PyTorch sees it: schema, shapes without data, gradient, and which code runs.

Importing this module needs no compiler. The first eager call (or `spikeseq.build()`) builds the native
kernels; where that fails, the plain-PyTorch loop of `reference` runs instead, after one warning.
"""

import math
from typing import Any

import torch
from torch import Tensor

from .build import ensure_native
from .eager import forward_of
from .reference import Options, lif_adjoint, lif_reference

OPTIONS = (
    "int substeps, int window, str reset, str readout,"
    " str surrogate, float height, float width, bool detach_reset"
)
library = torch.library.Library("spikeseq", "DEF")
library.define(
    f"lif(Tensor current, Tensor state, Tensor leak, Tensor threshold, Tensor? lengths, {OPTIONS})"
    " -> (Tensor out, Tensor final_state, Tensor checkpoints)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
library.define(
    "lif_backward(Tensor grad_out, Tensor grad_final, Tensor current, Tensor checkpoints, Tensor final_state,"
    f" Tensor leak, Tensor threshold, Tensor? lengths, {OPTIONS}) -> (Tensor, Tensor, Tensor, Tensor)",
    tags=(torch.Tag.pt2_compliant_tag,),
)

INTERVAL = 16  # sub-steps between saved membranes: kInterval of csrc/problem.h


def _check_values(rows: int, leak: Tensor, threshold: Tensor, lengths: Tensor | None) -> None:
    """What the native CPU kernel checks too; CUDA values are not read back."""
    if leak.is_cuda:
        return
    for value in leak.flatten().tolist():
        if not 0 <= value <= 1:
            raise ValueError(f"leak must lie in [0, 1], got {value}")
    for value in threshold.flatten().tolist():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"threshold must be positive and finite, got {value}")
    for value in [] if lengths is None else lengths.tolist():
        if not 0 <= value <= rows:
            raise ValueError(f"lengths must lie in [0, {rows}] (the rows of current), got {value}")


# Registered for every device: a native kernel, once loaded, takes precedence for its own.
def _lif_any_device(
    current: Tensor, state: Tensor, leak: Tensor, threshold: Tensor, lengths: Tensor | None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    if ensure_native(current.device.type):
        return torch.ops.spikeseq.lif(current, state, leak, threshold, lengths, *options)  # type: ignore[no-any-return]
    _check_values(len(current), leak, threshold, lengths)
    out, final_state = lif_reference(current, state, leak, threshold, lengths, *options)
    checkpoints = state.new_zeros((_checkpoints(current, Options(*options)), *state.shape))
    checkpoints[0] = state
    return out, final_state.clone(), checkpoints


def _lif_backward_any_device(
    grad_out: Tensor,
    grad_final: Tensor,
    current: Tensor,
    checkpoints: Tensor,
    final_state: Tensor,
    leak: Tensor,
    threshold: Tensor,
    lengths: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if ensure_native(current.device.type):
        return torch.ops.spikeseq.lif_backward(  # type: ignore[no-any-return]
            grad_out, grad_final, current, checkpoints, final_state, leak, threshold, lengths, *options
        )
    return lif_adjoint(grad_out, grad_final, current, checkpoints[0], leak, threshold, lengths, *options)


library.impl("lif", _lif_any_device, "CompositeExplicitAutograd")
library.impl("lif_backward", _lif_backward_any_device, "CompositeExplicitAutograd")


def _checkpoints(current: Tensor, o: Options) -> Any:
    return (current.shape[0] * o.substeps + INTERVAL - 1) // INTERVAL


@torch.library.register_fake("spikeseq::lif", lib=library)
def _lif_fake(
    current: Tensor, state: Tensor, leak: Tensor, threshold: Tensor, lengths: Tensor | None, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    o = Options(*options)
    out = current.new_empty((current.shape[0] * o.substeps // o.window, *current.shape[1:]))
    return out, state.new_empty(state.shape), state.new_empty((_checkpoints(current, o), *state.shape))


@torch.library.register_fake("spikeseq::lif_backward", lib=library)
def _lif_backward_fake(
    grad_out: Tensor,
    grad_final: Tensor,
    current: Tensor,
    checkpoints: Tensor,
    final_state: Tensor,
    leak: Tensor,
    threshold: Tensor,
    lengths: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return (
        current.new_empty(current.shape),
        final_state.new_empty(final_state.shape),
        leak.new_empty(leak.shape),
        threshold.new_empty(threshold.shape),
    )


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    current, _state, leak, threshold, lengths, *options = inputs
    out, final_state, checkpoints = output
    ctx.save_for_backward(current, checkpoints, final_state, leak, threshold, lengths)
    ctx.set_materialize_grads(False)
    ctx.out_shape, ctx.options = out.shape, options


def _backward(ctx: Any, grad_out: Any, grad_final: Any, _grad_checkpoints: Any) -> tuple[Any, ...]:
    saved = ctx.saved_tensors  # read once: torch.utils.checkpoint allows no second time
    current, _checkpoints, final_state = saved[:3]
    if grad_out is None:
        grad_out = current.new_zeros(()).expand(ctx.out_shape)
    if grad_final is None:
        grad_final = torch.zeros_like(final_state)
    op = torch.ops.spikeseq.lif_backward if torch.compiler.is_compiling() else _LifBackward.apply
    grads = op(grad_out, grad_final, *saved, *ctx.options)
    return (*grads, None, *[None] * len(ctx.options))


def _no_second_backward(ctx: Any, *grads: Tensor) -> None:
    raise NotImplementedError(
        "spikeseq: lif can be differentiated once; its gradient has no gradient of its own"
    )


torch.library.register_autograd("spikeseq::lif", _backward, setup_context=_setup_context, lib=library)
torch.library.register_autograd("spikeseq::lif_backward", _no_second_backward, lib=library)


# The same once more, for eager code: what `register_autograd` makes cannot be called inside torch.func.grad.
class _Lif(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif)

    setup_context = staticmethod(_setup_context)
    backward = staticmethod(_backward)


class _LifBackward(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif_backward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    backward = staticmethod(_no_second_backward)


def lif(*args: Any) -> tuple[Tensor, Tensor, Tensor]:
    """The op, differentiable in every way: torch.compile traces its registration, all else runs `_Lif`."""
    if torch.compiler.is_compiling():
        return torch.ops.spikeseq.lif(*args)  # type: ignore[no-any-return]
    return _Lif.apply(*args)  # type: ignore[no-any-return]
