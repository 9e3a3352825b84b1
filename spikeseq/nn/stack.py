"""The layers of a SpikingRNN in one call of the kernel, where nothing has to be kept for a gradient.

A token of a stream costs a few microseconds of arithmetic; going through modules costs many times that.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..ops import stack as _stack  # noqa: F401  defines the op
from ..ops.build import ensure_native
from ..ops.eager import plain, traced
from .dropout import SequenceDropout
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


def parts_of(layers: nn.ModuleList, between: Any, x: Any, hx: Any) -> Parts | None:
    """The parts of `layers` if the op can stand in for them: inference on a CPU, plain layers, no hooks.

    `between` is the dropout from layer to layer, which must be idle. None otherwise, also for input or state
    that does not fit: the other way says what is wrong. The op itself says which shapes of parameters are
    wrong. Modules keep their parts in dictionaries, which are read here, because looking up an attribute
    takes several times as long.
    """
    if (
        torch.is_grad_enabled()
        or type(x) is not Tensor
        or not x.is_cpu
        or x.dtype not in DTYPES
        or traced()
        or torch.is_autocast_enabled("cpu")
        or type(between) is not SequenceDropout
        or (between.training and between.p)
        or not ensure_native("cpu")
    ):
        return None
    parts = Parts([], [], [], [], "")
    modules: list[nn.Module] = [between]
    resets = set()
    layer: Any
    for layer in layers._modules.values():
        if type(layer) is not SpikingLayer:
            return None
        inner = layer._modules
        linear, lif = inner["input_map"], inner["lif"]
        if type(linear) is not nn.Linear or type(lif) is not LIF or lif.surrogate.memory_planes:
            return None
        if inner.get("feedback") is not None or inner.get("norm") is not None:
            return None
        maps: dict[str, Any] = linear._parameters
        neuron: dict[str, Any] = lif._buffers | lif._parameters
        if not ("weight" in maps and "bias" in maps and "leak" in neuron and "threshold" in neuron):
            return None  # made anew at every call, as by pruning
        parts.weights.append(maps["weight"])
        if maps["bias"] is not None:
            parts.biases.append(maps["bias"])
        parts.leaks.append(neuron["leak"])
        parts.thresholds.append(neuron["threshold"])
        resets.add(lif.reset)
        modules += (layer, linear, lif)
    count = len(parts.weights)
    if len(resets) != 1 or len(parts.biases) not in (0, count) or not unseen(*modules):
        return None
    if not all(plain(t, x) for t in (x, *parts.weights, *parts.biases, *parts.leaks, *parts.thresholds)):
        return None
    width, features = parts.weights[0].shape if parts.weights[0].dim() == 2 else (0, 0)
    tokens, batch, given = x.shape
    if not tokens or given != features:
        return None
    if hx is not None and not (plain(hx, x) and hx.shape == (count, batch, width)):
        return None
    return parts._replace(reset=resets.pop())


def run(parts: Parts, x: Tensor, hx: Tensor | None, *, substeps: int, readout: str) -> tuple[Tensor, Tensor]:
    """(L, B, I) and membranes (layers, B, H), default zeros, to the read-out and the membranes after it."""
    weights, biases, leaks, thresholds, reset = parts
    if hx is None:
        hx = x.new_zeros((len(weights), x.shape[1], len(weights[0])))
    return torch.ops.spikeseq.lif_stack.default(  # type: ignore[no-any-return]
        x, hx, weights, biases, leaks, thresholds, SMALLEST_THRESHOLD, substeps, reset, readout
    )
