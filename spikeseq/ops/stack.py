"""Inference by layers of LIF neurons as one op, for streams and single sequences: schema and shapes."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..checks import check_alike
from . import library

ARGUMENTS = (
    "Tensor x, Tensor state, Tensor[] weights, Tensor[] biases, Tensor[] leaks,"
    " Tensor[] thresholds, float smallest_threshold, int substeps, str reset, str readout"
)
library.define(f"lif_stack({ARGUMENTS}) -> (Tensor out, Tensor final_state)")
# Also how many spikes reached each layer. Where the first weight is (H, 0), x holds currents (L, B, H).
library.define(f"lif_stack_counted({ARGUMENTS}) -> (Tensor out, Tensor final_state, int[] arrived)")


@torch.library.register_fake("spikeseq::lif_stack", lib=library)
def _fake(x: Tensor, state: Tensor, weights: Any, biases: Any, leaks: Any, thresholds: Any, smallest: float,
          substeps: int, reset: str, readout: str) -> tuple[Tensor, Tensor]:  # fmt: skip
    lists = {"weight": weights, "bias": biases, "leak": leaks, "threshold": thresholds}
    parts = {f"{name} of layer {i}": t for name, all_of in lists.items() for i, t in enumerate(all_of)}
    check_alike(x=x, state=state, **parts)
    rows = x.shape[0] * (substeps if readout == "spikes" else 1)
    return x.new_empty((rows, *state.shape[1:])), torch.empty_like(state)


@cache
def plan_maker() -> Callable[..., Any] | None:
    """What makes plans (csrc/cpu/plan.cpp) of the kernels that are loaded; None if they were built without
    Python's headers."""
    address = torch.ops.spikeseq.plan_maker()
    return ctypes.PYFUNCTYPE(ctypes.py_object)(address)() if address else None
