"""A linear map driven by events: one row of weights is read and added for every spike, and nothing else."""

from typing import Any

import torch
from torch import Tensor

from ..ops import library
from ..ops.dispatch import Op, dispatch, no_kernel, not_wide

library.define("add_events(Tensor(a!) base, Tensor x, Tensor weight, Tensor scale) -> int")


ROUNDING = 1e-4


def add_events(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None = None) -> int:
    """base += x @ weight, for x that holds numbers of spikes; returns how many weights were read.

    For inference: nothing carries gradients. On a CPU the native kernel skips silent neurons; a count of
    spikes is as many additions. Elsewhere a dense product gives the same.

    Args:
        base: (R, O), contiguous; overwritten.
        x: (R, I), whole numbers from 0 on, of the type of base. They may be off by 1e-4, as a mean times its
            count is, and are rounded.
        weight: (I, O), of that type; or int8, where `scale` (O,) takes the sums to values.
    Raises:
        ValueError: shapes that do not fit, values that are no numbers of spikes.
    """
    small = weight.dtype == torch.int8
    if small != (scale is not None):
        raise ValueError("int8 weights go with a scale, others without")
    return dispatch(EVENTS, base, x.detach().contiguous(), weight, scale)  # type: ignore[no-any-return]


def _fits(_base: Tensor, x: Tensor, *_: Any) -> str | None:
    return (None if x.is_cpu else f"on {x.device.type}") or not_wide("input", x) or no_kernel("cpu")


def _one_by_one(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None) -> int:
    none = base.new_empty(0)
    return int(torch.ops.spikeseq.add_events(base, x, weight, none if scale is None else scale))


def dense_events(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None = None) -> int:
    """The oracle: the same by a dense product."""
    counts = x.round()
    if not bool(((x - counts).abs() <= ROUNDING).all()) or bool((counts < 0).any()):
        raise ValueError("events are numbers of spikes (0, 1, ...), got other values")
    product = counts.double() @ weight.double()
    base += (product if scale is None else product * scale.double()).to(base.dtype)
    return int(counts.sum(dtype=torch.float64)) * weight.shape[1]


EVENTS = Op("add_events", _fits, _one_by_one, dense_events)
