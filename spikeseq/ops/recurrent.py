"""LIF with feedback as one op: I[t] = current[t] + W o[t-1].

Native for float32 and float64, on a CPU and on a GPU; everywhere else, and for surrogates with a memory,
`SpikingLayer` goes one sub-step at a time, which is also the oracle.
"""

from typing import Any

import torch
from torch import Tensor

from . import OPTIONS, _check_values, _no_second_backward, library
from .build import ensure_native
from .eager import forward_of, plain, traced
from .reference import Options

INPUTS = "Tensor weight, Tensor leak, Tensor threshold, Tensor? lengths"
library.define(
    f"lif_recurrent(Tensor current, Tensor state, {INPUTS}, {OPTIONS})"
    " -> (Tensor out, Tensor final_state, Tensor membranes)"
)
library.define(
    f"lif_recurrent_backward(Tensor grad_out, Tensor grad_final, Tensor membranes, {INPUTS}, {OPTIONS})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor)"
)

# Values that a block of CUDA threads keeps of a neuron (`backward_scratch` of feedback_loop.h), and the
# memory that every GPU since 2020 gives it. Wider layers have products that fill a GPU by themselves.
KEPT, BLOCK_MEMORY = 15, 99 * 1024


def fits_block(hidden: int, bytes_of_value: int) -> bool:
    """Whether a sequence of a layer of that width can be followed by one block of CUDA threads."""
    return KEPT * hidden * bytes_of_value <= BLOCK_MEMORY


def serves(
    current: Tensor,
    state: Tensor | None,
    weight: Tensor,
    leak: Tensor,
    threshold: Tensor,
    surrogate_planes: int,
) -> bool:
    """Whether the fused op takes these: of one device and type, no memory, not while traced or transformed.

    What does not fit together it does not take either: the other way says what is wrong.
    """
    hidden = current.shape[-1]
    return (
        not traced()
        and all(plain(t, current) for t in (current, weight, leak, threshold, state) if t is not None)
        and (current.is_cpu or (current.is_cuda and fits_block(hidden, weight.element_size())))
        and current.dtype in (torch.float32, torch.float64)
        and current.dim() == 3
        and (state is None or state.shape == current.shape[1:])
        and weight.shape == (hidden, hidden)
        and all(t.dim() == 1 and len(t) in (1, hidden) for t in (leak, threshold))
        and not surrogate_planes
        and ensure_native(current.device.type)
    )


def lif_recurrent(
    current: Tensor,
    state: Tensor | None,
    weight: Tensor,
    leak: Tensor,
    threshold: Tensor,
    lengths: Tensor | None,
    *options: Any,
) -> tuple[Tensor, Tensor]:
    """The read-out and the final state (B, H) of neurons that hear each other's spikes.

    Args:
        current: (L, B, H). state: (B, H) or None. weight: (H, H), from the neuron in its column to that in
            its row. leak, threshold: (1,) or (H,). lengths: (B,) or None. options: the fields of `Options`.
    """
    _check_values(len(current), leak, threshold, lengths)
    if leak.numel() != threshold.numel():  # one of them per layer, the other per channel
        leak, threshold = leak.expand(current.shape[2]), threshold.expand(current.shape[2])
    state = current.new_zeros(current.shape[1:]) if state is None else state
    out, final, _ = _LifRecurrent.apply(current, state, weight, leak, threshold, lengths, *options)
    return out, final


class _LifRecurrent(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif_recurrent)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _current, _state, *rest = inputs
        out, final, membranes = output
        ctx.mark_non_differentiable(membranes)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(membranes, *rest[:4])
        ctx.options, ctx.out, ctx.final = rest[4:], out.shape, final.shape

    @staticmethod
    def backward(ctx: Any, grad_out: Any, grad_final: Any, _membranes: Any) -> tuple[Any, ...]:
        membranes, *inputs = ctx.saved_tensors
        grad_out = membranes.new_zeros(()).expand(ctx.out) if grad_out is None else grad_out
        grad_final = membranes.new_zeros(()).expand(ctx.final) if grad_final is None else grad_final
        grads = _Backward.apply(grad_out, grad_final, membranes, *inputs, *ctx.options)
        return (*grads, None, *[None] * len(ctx.options))


class _Backward(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif_recurrent_backward)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Any, ...]) -> None:
        pass

    backward = staticmethod(_no_second_backward)


@torch.library.register_fake("spikeseq::lif_recurrent", lib=library)
def _fake(current: Tensor, state: Tensor, weight: Any, leak: Any, threshold: Any, lengths: Any,
          *options: Any) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    o = Options(*options)
    steps = current.shape[0] * o.substeps
    out = current.new_empty((steps // o.window, *current.shape[1:]))
    return out, state.new_empty(state.shape), state.new_empty((steps + 1, *state.shape))
