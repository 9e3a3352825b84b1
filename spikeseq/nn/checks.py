"""Checks of what is handed to SpikingRNN and its cell: an error names the value and what is accepted."""

from typing import Any

import torch
from torch import Tensor

from ..checks import check_tensor
from .layer import SpikingLayer


def add_batch(hx: Tensor | None) -> Tensor | None:
    if hx is None or check_tensor("hx", hx).dim() == 0:
        return hx  # its shape is refused later
    return hx.unsqueeze(-2)


def check_input(x: Tensor, layer: SpikingLayer) -> None:
    features, own = layer.input_map.in_features, layer.lif.leak
    if x.shape[-1] != features:
        raise ValueError(f"input must have {features} features, got {tuple(x.shape)}")
    if x.device != own.device:
        raise ValueError(f"input is on {x.device}, the layer on {own.device}")
    if x.dtype != own.dtype:
        converted = x.dtype in (
            torch.float32,
            torch.bfloat16,
            torch.float16,
        )  # by the linear map, under autocast
        if not (converted and torch.is_autocast_enabled(x.device.type)):
            raise TypeError(f"input must be {own.dtype} as the layer is, got {x.dtype}")


def check_hx(hx: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(check_tensor("hx", hx).shape) != expected:
        raise ValueError(f"hx must have shape {expected}, got {tuple(hx.shape)}")


def check_lengths(lengths: Any, x: Tensor) -> Tensor | None:
    if lengths is None:
        return None
    wanted = f"lengths must be {x.shape[1]} integers in [0, {len(x)}], one per sequence"
    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.as_tensor(lengths)
        except (RuntimeError, TypeError, ValueError):
            raise TypeError(f"{wanted}, got {lengths!r}") from None
    if lengths.dtype not in (torch.int64, torch.int32) or lengths.shape != (x.shape[1],):
        raise ValueError(f"{wanted}, got shape {tuple(lengths.shape)} of {lengths.dtype}")
    # The feedback loop of `recurrent=True` hides the values from the op's own check.
    if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
        for value in lengths.tolist():
            if not 0 <= value <= len(x):
                raise ValueError(f"{wanted}, got {value}")
    return lengths.to(x.device, torch.int64)
