"""LIF with feedback as one op: I[t] = current[t] + W o[t-1].

Native for float32 and float64, on a CPU and on a GPU; everywhere else, and for surrogates with a memory,
`SpikingLayer` goes one sub-step at a time, which is also the oracle.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor

from ..checks import check_alike, check_values
from ..neuron import Neuron, Run
from . import library
from .dispatch import NO_FIT, beyond, no_kernel, not_wide, unlike
from .eager import forward_of, once_differentiable, traced
from .lif import OPTIONS
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


def fits(current: Tensor, state: Tensor | None, weight: Tensor, neuron: Any, *_rest: Any) -> str | None:
    """Tensors of one device and wide type, no memory, not while traced or transformed."""
    return traced() or tensors_fit(current, state, weight, neuron)


def tensors_fit(current: Tensor, state: Tensor | None, weight: Tensor, neuron: Any) -> str | None:
    """The same of a call that is not traced.

    What does not fit together it does not take either: the plain way says what is wrong. Args: as
    `lif_recurrent`; the neuron may be an `nn.LIF` as well, which has leak, threshold and surrogate too.
    """
    leak, threshold = neuron.leak, neuron.threshold
    return (
        beyond(neuron)
        or not_wide("currents", current)
        or unlike(current, currents=current, weight=weight, leak=leak, threshold=threshold, state=state)
        or (None if current.is_cpu or current.is_cuda else f"on {current.device.type}")
        or (None if _fit_together(current, state, weight, leak, threshold) else NO_FIT)
        or too_wide(current)
        or (f"surrogate {neuron.surrogate.name} remembers" if neuron.planes else None)
        or no_kernel(current.device.type)
    )


def too_wide(current: Tensor) -> str | None:
    hidden = current.shape[-1]
    if current.is_cuda and not fits_block(hidden, current.element_size()):
        return f"{hidden} neurons are more than a block of CUDA threads follows"
    return None


def _fit_together(
    current: Tensor, state: Tensor | None, weight: Tensor, leak: Tensor, threshold: Tensor
) -> bool:
    hidden = current.shape[-1]
    return (
        current.dim() == 3
        and (state is None or state.shape == current.shape[1:])
        and weight.shape == (hidden, hidden)
        and all(t.dim() == 1 and len(t) in (1, hidden) for t in (leak, threshold))
    )


def lif_recurrent(
    current: Tensor, state: Tensor | None, weight: Tensor, neuron: Neuron, run: Run
) -> tuple[Tensor, Tensor]:
    """The read-out and the final state (B, H) of neurons that hear each other's spikes.

    Args:
        current: (L, B, H). state: (B, H) or None. weight: (H, H), from the neuron in its column to that in
            its row. The neuron's leak and threshold: (1,) or (H,).
    """
    full, leak, threshold, lengths, *options, _norm_input = neuron.arguments(current, state, run)
    check_values(current.shape[0], leak, threshold, lengths)
    out, final, _ = _LifRecurrent.apply(current, full[0], weight, leak, threshold, lengths, *options)
    return out, final


_kept: ContextVar[bool] = ContextVar("spikeseq_feedback_as_one_op", default=False)


@contextlib.contextmanager
def as_one_op() -> Iterator[None]:
    """Layers with feedback stay one op while they are traced, without a gradient, for every length."""
    token = _kept.set(True)
    try:
        yield
    finally:
        _kept.reset(token)


def stays_one_op() -> bool:
    """Whether a layer with feedback is traced inside `as_one_op`."""
    if torch.compiler.is_dynamo_compiling():  # which cannot read a ContextVar, and compiles for one length
        return False
    return _kept.get() and traced() is not None


def traced_recurrent(
    current: Tensor, state: Tensor | None, weight: Tensor, neuron: Neuron, run: Run
) -> tuple[Tensor, Tensor]:
    """As `lif_recurrent`, of a trace."""
    full, leak, threshold, lengths, *options, _norm_input = neuron.arguments(current, state, run)
    op = torch.ops.spikeseq.lif_recurrent
    out, final, _ = op(current, full[0], weight, leak, threshold, lengths, *options)
    return out, final


class _LifRecurrent(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.lif_recurrent.default)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
        _current, _state, *rest = inputs
        out, final, membranes = output
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(membranes, *rest[:4])
        ctx.options, ctx.out, ctx.final = rest[4:], out.shape, final.shape

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, saved: Any, grad_out: Any, grad_final: Any, _membranes: Any) -> tuple[Any, ...]:
        membranes, *inputs = saved
        grad_out = membranes.new_zeros(()).expand(ctx.out) if grad_out is None else grad_out
        grad_final = membranes.new_zeros(()).expand(ctx.final) if grad_final is None else grad_final
        op = torch.ops.spikeseq.lif_recurrent_backward
        grads = op(grad_out, grad_final, membranes, *inputs, *ctx.options)
        return (*grads, None, *[None] * len(ctx.options))


@torch.library.register_fake("spikeseq::lif_recurrent", lib=library)
def _fake(current: Tensor, state: Tensor, weight: Any, leak: Any, threshold: Any, lengths: Any,
          *options: Any) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    check_alike(current=current, state=state, weight=weight, leak=leak, threshold=threshold, lengths=lengths)
    o = Options(*options)
    steps = current.shape[0] * o.substeps
    out = current.new_empty((steps // o.window, *current.shape[1:]))
    return out, state.new_empty(state.shape), state.new_empty((steps + 1, *state.shape))
