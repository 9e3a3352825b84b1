"""Normalised currents and the neurons behind them as one op: schema, shapes without data, gradient.

On a CPU with the native kernel one pass does both and keeps nothing but the currents. Everywhere else the op
is composed of `layer_norm` and `lif`, which is also the oracle that the kernel is tested against.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from ..checks import check_alike, check_values
from ..neuron import Neuron, Run
from . import library
from .dispatch import Op, beyond, no_kernel, not_wide, unlike
from .eager import forward_of, once_differentiable, traced
from .lif import fire

EPSILON = 1e-5  # as nn.LayerNorm
OPTIONS = (
    "int substeps, bool persist, float epsilon, str reset, str surrogate, float height, float width,"
    " bool detach_reset"
)
INPUTS = (
    "Tensor currents, Tensor? state, Tensor gain, Tensor offset, Tensor leak, Tensor threshold,"
    f" Tensor? lengths, {OPTIONS}"
)
library.define(f"norm_lif({INPUTS}) -> (Tensor spikes, Tensor final_state)")
library.define(
    f"norm_lif_backward(Tensor grad_spikes, Tensor? grad_final, {INPUTS})"
    " -> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def fits(currents: Tensor, state: Tensor | None, gain: Tensor, offset: Tensor, neuron: Any,
         *_rest: Any) -> str | None:  # fmt: skip
    """CPU tensors of one wide type, not traced or transformed: while tracing nothing can be built."""
    return (
        traced()
        or beyond(neuron)
        or (None if currents.is_cpu else f"on {currents.device.type}")
        or not_wide("currents", currents)
        or unlike(
            currents, currents=currents, gain=gain, offset=offset, leak=neuron.leak,
            threshold=neuron.threshold, state=state,
        )
        or no_kernel("cpu")
    )  # fmt: skip


def in_one_pass(
    currents: Tensor, state: Tensor | None, gain: Tensor, offset: Tensor, neuron: Neuron,
    lengths: Tensor | None, substeps: int, persist: bool, epsilon: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The fused way: spikes (L, T, B, C) and the final state (B, C), without rows if it does not persist."""
    leak, threshold = neuron.leak, neuron.threshold
    check_values(len(currents), leak, threshold, lengths)
    return _NormLIF.apply(  # type: ignore[no-any-return]
        currents, state, gain, offset, leak, threshold, lengths, substeps, persist, epsilon, *neuron.kind()
    )


def composed(
    currents: Tensor, state: Tensor | None, gain: Tensor, offset: Tensor, neuron: Neuron,
    lengths: Tensor | None, substeps: int, persist: bool, epsilon: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The plain way, of `layer_norm` and `lif`: the oracle, and what runs on a GPU."""
    normal = layer_norm(currents, currents.shape[3:], gain.to(currents), offset.to(currents), epsilon)
    return chains(normal, state, neuron, lengths, substeps, persist)


def chains(
    currents: Tensor,
    state: Tensor | None,
    neuron: Neuron,
    lengths: Tensor | None,
    substeps: int,
    persist: bool,
) -> tuple[Tensor, Tensor]:
    """LIF over currents (L, T or 1, B, C), one membrane per token, or per sequence if it persists."""
    length, repeats, batch, channels = currents.shape
    leak, threshold = neuron.leak, neuron.threshold
    if not torch.compiler.is_compiling():
        check_values(length, leak, threshold, lengths)
    neuron = neuron._replace(leak=leak.expand(channels), threshold=threshold.expand(channels))
    if persist:
        rows = currents.flatten(0, 1)
        counts = None if lengths is None else lengths * repeats
    else:
        rows = currents.transpose(0, 1).flatten(1, 2)
        alive = (
            None if lengths is None else torch.arange(length, device=lengths.device).unsqueeze(1) < lengths
        )
        counts = None if alive is None else alive.flatten().to(torch.int64) * repeats
    spikes, final = fire(rows, state, neuron, Run(int(substeps // repeats), lengths=counts))
    if persist:
        return spikes.unflatten(0, (length, substeps)), final
    return spikes.unflatten(1, (length, batch)).transpose(0, 1), final.new_empty((0, channels))


@torch.library.register_fake("spikeseq::norm_lif", lib=library)
def _fake(currents: Tensor, state: Any, gain: Any, offset: Any, leak: Any, threshold: Any, lengths: Any,
          substeps: int, persist: bool, *rest: Any) -> tuple[Tensor, Tensor]:  # fmt: skip
    parts = {"gain": gain, "offset": offset, "leak": leak, "threshold": threshold, "lengths": lengths}
    check_alike(currents=currents, state=state, **parts)
    length, _, batch, channels = currents.shape
    final = currents.new_empty((batch if persist else 0, channels))
    return currents.new_empty((length, substeps, batch, channels)), final


@torch.library.register_fake("spikeseq::norm_lif_backward", lib=library)
def _backward_fake(grad: Tensor, grad_final: Any, currents: Tensor, state: Any, *rest: Any) -> Any:
    names = ("gain", "offset", "leak", "threshold", "lengths")
    parts = dict(zip(names, rest, strict=False))
    check_alike(currents=currents, grad_spikes=grad, grad_final=grad_final, state=state, **parts)
    _length, _repeats, batch, channels = currents.shape
    grad_state = currents.new_empty((0 if state is None else batch, channels))
    return currents.new_empty(currents.shape), grad_state, *(p.new_empty(p.shape) for p in rest[:4])


def _setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    currents, state, gain, offset, leak, threshold, lengths, *options = inputs
    ctx.save_for_backward(currents, state, gain, offset, leak, threshold, lengths)
    ctx.set_materialize_grads(False)
    ctx.options, ctx.spikes = options, output[0].shape


def _backward(ctx: Any, saved: Any, grad_spikes: Any, grad_final: Any) -> tuple[Any, ...]:
    if grad_spikes is None:
        grad_spikes = saved[0].new_zeros(()).expand(ctx.spikes)
    grad_final = grad_final if ctx.options[1] else None
    found = torch.ops.spikeseq.norm_lif_backward(grad_spikes, grad_final, *saved, *ctx.options)
    by_state = None if saved[1] is None else found[1]
    return (found[0], by_state, *found[2:], None, *[None] * len(ctx.options))


class _NormLIF(torch.autograd.Function):
    forward = forward_of(torch.ops.spikeseq.norm_lif.default)

    setup_context = staticmethod(_setup_context)
    backward = staticmethod(once_differentiable(_backward))  # type: ignore[assignment]


NORM_LIF = Op("norm_lif", fits, in_one_pass, composed)
"""Takes currents, state, gain, offset, `Neuron`, lengths, substeps, persist, epsilon."""
