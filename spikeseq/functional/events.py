"""A linear map driven by events: one row of weights is read and added for every spike, and nothing else."""

import torch
from torch import Tensor

from ..ops.dispatch import dispatch
from ..ops.events import EVENTS


def add_events(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None = None) -> int:
    """base += x @ weight, for x that holds numbers of spikes; returns how many weights were read.

    For inference: nothing carries gradients. On a CPU the native kernel skips silent neurons; a count of
    spikes is as many additions. Elsewhere a dense product gives the same.

    Args:
        base: (R, O), contiguous; overwritten.
        x: (R, I), whole numbers from 0 to 4096, of the type of base, at most 2^24 in a row, so that no sum
            wraps around. They may be off by 1e-4, as a mean times its count is, and are rounded.
        weight: (I, O), of that type; or int8, where `scale` (O,) takes the sums to values.
    Raises:
        ValueError: shapes that do not fit, values that are no numbers of spikes.
    """
    small = weight.dtype == torch.int8
    if small != (scale is not None):
        raise ValueError("int8 weights go with a scale, others without")
    return dispatch(EVENTS, base, x.detach().contiguous(), weight, scale)  # type: ignore[no-any-return]
