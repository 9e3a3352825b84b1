"""What ops called eagerly share: the forward of a torch.autograd.Function, and what they can take."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

# A Function that sets its context apart is asked for the signature of its forward at every call; read from
# the code, that takes longer than the kernel of a short sequence.
_ANY = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])
_PLAIN = (Tensor, nn.Parameter)


def forward_of(op: Callable[..., Any]) -> Any:
    """A static method `forward(*args)` that calls `op`, with a signature that is quick to read."""

    def forward(*args: Any) -> Any:
        return op(*args)

    forward.__signature__ = _ANY  # type: ignore[attr-defined]
    return staticmethod(forward)


def plain(t: Any, like: Tensor) -> bool:
    """Whether a kernel can read `t` beside `like`: of its type and device, dense, of no other class."""
    return (
        type(t) in _PLAIN and t.dtype == like.dtype and t.device == like.device and t.layout == torch.strided
    )


def traced() -> bool:
    """Whether calls are recorded or transformed: by torch.compile, torch.jit, torch.func, or dual numbers."""
    return (
        torch.compiler.is_compiling()
        or torch._C._is_tracing()
        or torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]
        or forward_ad._current_level >= 0
    )
