"""A linear map driven by events: one row of weights is read and added for every spike, and nothing else."""

from typing import Any

import torch
from torch import Tensor

from ..checks import has_values
from . import library
from .dispatch import Op, no_kernel, not_wide

library.define("add_events(Tensor(a!) base, Tensor x, Tensor weight, Tensor scale) -> int")


ROUNDING = 1e-4
# What csrc/cpu/events.cpp counts up to: of one neuron, and of a row, whose 8-bit weights it sums in 32 bits.
MOST_SPIKES, MOST_OF_ROW = 4096, 2**24
NO_SPIKES = (
    f"events are numbers of spikes, 0 to {MOST_SPIKES} of a neuron and at most {MOST_OF_ROW} of a row;"
    " got other values"
)


def fits(_base: Tensor, x: Tensor, *_: Any) -> str | None:
    """An input of a wide type on a CPU."""
    return (None if x.is_cpu else f"on {x.device.type}") or not_wide("input", x) or no_kernel("cpu")


def _one_by_one(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None) -> int:
    none = base.new_empty(0)
    return int(torch.ops.spikeseq.add_events(base, x, weight, none if scale is None else scale))


def dense_events(base: Tensor, x: Tensor, weight: Tensor, scale: Tensor | None = None) -> int:
    """The oracle: the same by a dense product."""
    if not has_values(x):  # shapes alone, and none of them changes
        return 0
    counts = x.round()
    whole = bool(((x - counts).abs() <= ROUNDING).all()) and bool(
        ((counts >= 0) & (counts <= MOST_SPIKES)).all()
    )
    if not whole or bool((counts.sum(1, dtype=torch.float64) > MOST_OF_ROW).any()):
        raise ValueError(NO_SPIKES)
    product = counts.double() @ weight.double()
    base += (product if scale is None else product * scale.double()).to(base.dtype)
    return int(counts.sum(dtype=torch.float64)) * weight.shape[1]


EVENTS = Op("add_events", fits, _one_by_one, dense_events)
