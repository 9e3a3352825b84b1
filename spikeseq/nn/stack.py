"""The layers of a SpikingRNN in one call of the kernel, where nothing has to be kept for a gradient.

A token of a stream costs a few microseconds of arithmetic; going through modules costs many times that.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..ops import stack as _stack  # noqa: F401  defines the op
from ..ops.build import ensure_native
from .layer import SpikingLayer, unseen
from .lif import LIF, SMALLEST_THRESHOLD

DTYPES = (torch.float32, torch.float64)


class Parts(NamedTuple):
    """What the op needs of the layers, in their order; `biases` of all or of none."""

    weights: list[Tensor]
    biases: list[Tensor]
    leaks: list[Tensor]
    thresholds: list[Tensor]
    reset: str


def parts_of(layers: nn.ModuleList, x: Any, hx: Any) -> Parts | None:
    """The parts of `layers` if the op can stand in for them: inference on a CPU, plain layers, no hooks.

    None otherwise, also for input or state that does not fit: the other way says what is wrong. Modules keep
    their parts in dictionaries, which are read here, because looking up an attribute takes several times as
    long.
    """
    if (
        torch.is_grad_enabled()
        or type(x) is not Tensor
        or not x.is_cpu
        or x.dtype not in DTYPES
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
        or not ensure_native("cpu")
    ):
        return None
    dtype = x.dtype
    parts = Parts([], [], [], [], "")
    modules: list[nn.Module] = []
    layer: Any
    for layer in layers._modules.values():
        inner = layer._modules
        linear, lif = inner["input_map"], inner["lif"]
        if type(layer) is not SpikingLayer or type(linear) is not nn.Linear or type(lif) is not LIF:
            return None
        if inner.get("feedback") is not None or inner.get("norm") is not None:
            return None
        maps: dict[str, Any] = linear._parameters
        neuron: dict[str, Any] = lif._buffers | lif._parameters
        weight, bias, leak = maps["weight"], maps["bias"], neuron["leak"]
        if not (weight.is_cpu and weight.dtype == leak.dtype == dtype) or lif.surrogate.memory_planes:
            return None
        parts.weights.append(weight)
        if bias is not None:
            parts.biases.append(bias)
        parts.leaks.append(leak)
        parts.thresholds.append(neuron["threshold"])
        modules += (layer, linear, lif)
    width, features = parts.weights[0].shape
    tokens, batch, given = x.shape
    if not tokens or given != features or not unseen(*modules):
        return None
    if hx is not None and not (
        type(hx) is Tensor
        and hx.is_cpu
        and hx.dtype == dtype
        and hx.shape == (len(parts.weights), batch, width)
    ):
        return None
    return parts._replace(reset=lif.reset)


def run(parts: Parts, x: Tensor, hx: Tensor | None, *, substeps: int, readout: str) -> tuple[Tensor, Tensor]:
    """(L, B, I) and membranes (layers, B, H), default zeros, to the read-out and the membranes after it."""
    weights, biases, leaks, thresholds, reset = parts
    if hx is None:
        hx = x.new_zeros((len(weights), x.shape[1], len(weights[0])))
    return torch.ops.spikeseq.lif_stack.default(  # type: ignore[no-any-return]
        x, hx, weights, biases, leaks, thresholds, SMALLEST_THRESHOLD, substeps, reset, readout
    )
