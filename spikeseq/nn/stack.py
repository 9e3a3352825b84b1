"""The layers of a SpikingRNN in one call of the kernel, where nothing has to be kept for a gradient.

A token of a stream costs a few microseconds of arithmetic; going through modules costs many times that.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..ops import stack as _stack  # noqa: F401  defines the op
from ..ops.build import ensure_native
from .layer import SpikingLayer, unseen
from .lif import LIF, SMALLEST_THRESHOLD


def serves(layers: Iterable[Any], x: Tensor) -> bool:
    """Whether the op can stand in for `layers`: inference on a CPU, plain layers, no hooks."""
    if (
        torch.is_grad_enabled()
        or x.device.type != "cpu"
        or x.dtype not in (torch.float32, torch.float64)
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    return all(plain(layer, x.dtype) for layer in layers) and ensure_native("cpu")


def plain(layer: SpikingLayer, dtype: torch.dtype) -> bool:
    parts = layer._modules
    linear, lif = parts["input_map"], parts["lif"]
    return (
        type(layer) is SpikingLayer
        and type(linear) is nn.Linear
        and type(lif) is LIF
        and parts.get("feedback") is None
        and parts.get("norm") is None
        and not lif.surrogate.memory_planes
        and linear.weight.dtype == lif.leak.dtype == dtype
        and unseen(layer, linear, lif)
    )


def run(
    layers: Iterable[Any], x: Tensor, hx: Tensor | None, *, substeps: int, readout: str
) -> tuple[Tensor, Tensor]:
    """(L, B, I) and membranes (layers, B, H), default zeros, to the read-out and the membranes after it."""
    maps = [layer._modules["input_map"] for layer in layers]
    neurons = [layer._modules["lif"] for layer in layers]
    if hx is None:
        hx = x.new_zeros((len(maps), x.shape[1], maps[0].out_features))
    weights, biases = [m.weight for m in maps], [m.bias for m in maps if m.bias is not None]
    leaks, thresholds = [n.leak for n in neurons], [n.threshold for n in neurons]
    reset = neurons[0].reset
    return torch.ops.spikeseq.lif_stack(  # type: ignore[no-any-return]
        x, hx, weights, biases, leaks, thresholds, SMALLEST_THRESHOLD, substeps, reset, readout
    )
