"""Which way an op runs: fused where it fits, plain where it does not. `spikeseq.explain` asks why."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .build import ensure_native, is_loaded, missing
from .eager import PLAIN

FUSED, SLOW = "fused", "plain"


class Op(NamedTuple):
    """Something that can be done in two ways, which give the same, convolutions of images but for rounding.

    Args:
        name: that of the op's schema.
        fits: from the arguments to the reason why the fused way cannot take them, None if it can. A reason
            that begins with a dot is about a part of the layer: ".input_map (Linear) has forward hooks".
        fused, plain: the two ways; they take the same arguments.
        slow: what the plain way is called.
        traced: whether the fused way is also what torch.compile traces.
    """

    name: str
    fits: Callable[..., str | None]
    fused: Callable[..., Any]
    plain: Callable[..., Any]
    slow: str = SLOW
    traced: bool = False


def dispatch(op: Op, *arguments: Any) -> Any:
    """Runs `op` in the way that its `fits` says."""
    reason = tell(op, op.fits(*arguments))
    return (op.fused if reason is None else op.plain)(*arguments)


Note = Callable[..., str | None]
listening: ContextVar[Note | None] = ContextVar("spikeseq_explain", default=None)
"""Set by `explain` only: told of every op and the reason, and gives the reason to go by."""


def tell(op: Op, reason: str | None, *, begun: bool = False) -> str | None:
    """Says which way `op` takes to whoever asks; returns the reason to go by.

    Args:
        begun: the fused way has begun already, and found values that it does not gain from.
    """
    note = None if torch.compiler.is_compiling() else listening.get()
    return reason if note is None else note(op, reason, begun)


# --- Reasons that several ops have

NO_FIT = "shapes that do not fit together"
"""The plain way then says which."""
WEIGHTED = "norm_input weights the currents"


def no_kernel(device: str) -> str | None:
    """Builds and loads the native kernels of a device, once."""
    if is_loaded(device) or ensure_native(device):
        return None
    return f"no native kernel ({missing(device)})"


def unlike(like: Tensor, **others: Tensor | None) -> str | None:
    """A kernel reads its tensors beside each other: of one type and device, dense, of no other class."""
    dtype, device = like.dtype, like.device
    for name, t in others.items():
        if t is None:
            continue
        if type(t) not in PLAIN:
            return f"the {name} is a {type(t).__name__}"
        if t.layout != torch.strided:
            return f"the {name} is sparse"
        if t.device != device:
            return f"the {name} is on {t.device}, the input on {device}"
        if t.dtype != dtype:
            return f"{short(t.dtype)} {name}, {short(dtype)} input"
    return None


def beyond(neuron: Any) -> str | None:
    """What neurons do that only `lif` can, and what calls it."""
    if neuron.norm_input:
        return WEIGHTED
    return "a leak for every token" if isinstance(neuron.leak, Tensor) and neuron.leak.dim() > 1 else None


def not_wide(name: str, x: Tensor) -> str | None:
    """Kernels of layers are made for float32 and float64."""
    return None if x.dtype in (torch.float32, torch.float64) else f"{short(x.dtype)} {name}"


def under_autocast(device: str) -> str | None:
    return "under autocast" if torch.is_autocast_enabled(device) else None


def short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
