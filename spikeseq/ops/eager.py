"""What ops called eagerly share: the forward of a torch.autograd.Function, and whether a call is eager."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

# A Function that sets its context apart is asked for the signature of its forward at every call; read from
# the code, that takes longer than the kernel of a short sequence.
_ANY = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])
PLAIN = (Tensor, nn.Parameter)


def forward_of(op: Callable[..., Any]) -> Any:
    """A static method `forward(*args)` that calls `op`, with a signature that is quick to read."""

    def forward(*args: Any) -> Any:
        return op(*args)

    forward.__signature__ = _ANY  # type: ignore[attr-defined]
    return staticmethod(forward)


def traced() -> str | None:
    """By what calls are recorded or transformed, None if they are not: kernels cannot be called then."""
    if torch.compiler.is_compiling():
        return "traced by torch.compile"
    if torch._C._is_tracing():
        return "traced by torch.jit"
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return "inside a transform of torch.func"
    if forward_ad._current_level >= 0:
        return "under forward-mode differentiation"
    return None
