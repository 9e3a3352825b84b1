"""What ops called eagerly share: the forward of a torch.autograd.Function, and whether a call is eager."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, NoReturn

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
        return straight(op, *args) if traced() is None else op(*args)

    forward.__signature__ = _ANY  # type: ignore[attr-defined]
    return staticmethod(forward)


def no_second_backward(ctx: Any, *grads: Tensor) -> NoReturn:
    raise NotImplementedError(
        "spikeseq: spiking layers can be differentiated once; their gradient has no gradient of its own"
    )


class _Once(torch.autograd.Function):
    """The first of some tensors, the gradients, with a history that leads to all of them and refuses."""

    @staticmethod
    def forward(ctx: Any, count: int, *tensors: Tensor | None) -> tuple[Tensor | None, ...]:
        return tuple(None if one is None else one.view_as(one) for one in tensors[:count])

    backward = staticmethod(no_second_backward)


def once_differentiable(backward: Callable[..., tuple[Any, ...]]) -> Callable[..., tuple[Any, ...]]:
    """For the backward of a torch.autograd.Function, which is handed what was saved: `(ctx, saved, *grads)`.

    Where its gradients are to be differentiated (`create_graph=True`), that raises. Torch's own decorator
    looks at the incoming gradients only, and lets gradients that depend on what was saved pass as constants.
    What is saved must hold an input or an output of the Function, which leads to its inputs.
    """

    @wraps(backward)
    def checked(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        saved = ctx.saved_tensors  # read once: torch.utils.checkpoint allows no second time
        with torch.no_grad():
            found = backward(ctx, saved, *grads)
        return _Once.apply(len(found), *found, *grads, *saved) if torch.is_grad_enabled() else found  # type: ignore[no-any-return]

    return checked


def straight(op: Callable[..., Any], *args: Any) -> Any:
    """The kernel of `op` without the gradient that is registered for it, in an eager call: because none is
    wanted, or a Function has it. What torch does for that gradient takes 0.1 ms, in Python."""
    with torch._C._AutoDispatchBelowAutograd():
        return op(*args)


def ungraded() -> bool:
    """Whether a call is eager and no gradient can be wanted of it."""
    return not torch.is_grad_enabled() and traced() is None


def traced() -> str | None:
    """By what calls are recorded or transformed, None if they are not: kernels cannot be called then."""
    if torch.compiler.is_compiling():
        return "traced by torch.compile"
    if torch._C._is_tracing():
        return "traced by torch.jit"
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return "inside a transform of torch.func"
    return forward_mode()


def transformed() -> bool:
    """Whether tensors may be those of torch.func, whose memory cannot be looked at or drawn into."""
    return not torch.compiler.is_compiling() and torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined]


def forward_mode() -> str | None:
    """Whether derivatives go forward (torch.func.jvp, torch.autograd.forward_ad), which no kernel has."""
    return "under forward-mode differentiation" if forward_ad._current_level >= 0 else None
