"""How an op of ours becomes the forward of a torch.autograd.Function."""

import inspect
from collections.abc import Callable
from typing import Any

# A Function that sets its context apart is asked for the signature of its forward at every call; read from
# the code, that takes longer than the kernel of a short sequence.
_ANY = inspect.Signature([inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)])


def forward_of(op: Callable[..., Any]) -> Any:
    """A static method `forward(*args)` that calls `op`, with a signature that is quick to read."""

    def forward(*args: Any) -> Any:
        return op(*args)

    forward.__signature__ = _ANY  # type: ignore[attr-defined]
    return staticmethod(forward)
