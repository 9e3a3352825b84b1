"""Every way in which a call can be something else than the class makes of its weights, one function each.

Each takes a plain module and gives one that is odd: the same, changed in place, or another in its place.
"""

import copy
import functools
from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune


def subclass(**members: object) -> Callable[[nn.Module], nn.Module]:
    """Puts a subclass with `members` in the place of the class."""

    def change(module: nn.Module) -> nn.Module:
        module.__class__ = type("Mine", (type(module),), members)
        return module

    return change


def doubled(value: object) -> object:
    if isinstance(value, Tensor):
        return value * 2 if value.is_floating_point() else value
    return tuple(map(doubled, value)) if isinstance(value, tuple) else value


def own_forward(module: nn.Module) -> nn.Module:
    inherited = type(module).forward
    return subclass(forward=lambda self, *args, **kwargs: doubled(inherited(self, *args, **kwargs)))(module)


def own_call(module: nn.Module) -> nn.Module:
    return subclass(
        __call__=lambda self, *args, **kwargs: doubled(nn.Module.__call__(self, *args, **kwargs))
    )(module)


def mixed_in(module: nn.Module) -> nn.Module:
    class Doubling(nn.Module):
        def __call__(self, *args, **kwargs):
            return doubled(super().__call__(*args, **kwargs))

    module.__class__ = type("Mine", (type(module), Doubling), {})
    return module


def put_in_forward(module: nn.Module) -> nn.Module:
    inherited = module.forward
    module.forward = functools.wraps(inherited)(lambda *args, **kwargs: doubled(inherited(*args, **kwargs)))
    return module


class Wrapper(nn.Module):
    """As adapters have it: the real module inside, something added to what it gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *args, **kwargs):
        return doubled(self.inner(*args, **kwargs))


def forward_hook(module: nn.Module) -> nn.Module:
    module.register_forward_hook(lambda module, args, output: doubled(output))
    return module


def silent_hook(module: nn.Module) -> nn.Module:
    module.register_forward_hook(
        lambda module, args, kwargs, output: None, with_kwargs=True, always_call=True
    )
    return module


def pre_hook(module: nn.Module) -> nn.Module:
    module.register_forward_pre_hook(lambda module, args: doubled(args))
    return module


def pre_hook_with_kwargs(module: nn.Module) -> nn.Module:
    module.register_forward_pre_hook(lambda module, args, kwargs: None, with_kwargs=True)
    return module


def full_backward_hook(module: nn.Module) -> nn.Module:
    module.register_full_backward_hook(lambda module, given, wanted: None)
    return module


def full_backward_pre_hook(module: nn.Module) -> nn.Module:
    module.register_full_backward_pre_hook(lambda module, given: None)
    return module


def backward_hook(module: nn.Module) -> nn.Module:
    module.register_backward_hook(lambda module, given, wanted: None)
    return module


EVERY_MODULE: dict[str, Callable[[nn.Module], nn.Module]] = {
    "own forward": own_forward,
    "own __call__": own_call,
    "own __getattr__": subclass(__getattr__=lambda self, name: nn.Module.__getattr__(self, name)),
    "mixed in": mixed_in,
    "put in forward": put_in_forward,
    "wrapper": Wrapper,
    "forward hook": forward_hook,
    "silent hook": silent_hook,
    "forward pre hook": pre_hook,
    "forward pre hook with kwargs": pre_hook_with_kwargs,
    "full backward hook": full_backward_hook,
    "full backward pre hook": full_backward_pre_hook,
    "backward hook": backward_hook,
}


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def weight_name(module: nn.Module) -> str:
    return next(name for name, p in module.named_parameters() if p.dim() > 1 or name == "leak")


def tensor_hook(module: nn.Module) -> nn.Module:
    getattr(module, weight_name(module)).register_hook(lambda grad: grad * 2)
    return module


def accumulate_hook(module: nn.Module) -> nn.Module:
    getattr(module, weight_name(module)).register_post_accumulate_grad_hook(lambda parameter: None)
    return module


def parametrized(module: nn.Module) -> nn.Module:
    parametrize.register_parametrization(module, weight_name(module), Doubled())
    return module


def weight_normed(module: nn.Module) -> nn.Module:
    return parametrizations.weight_norm(module, weight_name(module))


def old_weight_norm(module: nn.Module) -> nn.Module:
    return nn.utils.weight_norm(module, weight_name(module))


def old_spectral_norm(module: nn.Module) -> nn.Module:
    return nn.utils.spectral_norm(module, weight_name(module))


def pruned(module: nn.Module) -> nn.Module:
    prune.l1_unstructured(module, weight_name(module), 0.5)
    return module


def from_elsewhere(module: nn.Module) -> nn.Module:
    """As hypernetworks have it: the weight is an ordinary tensor."""
    name = weight_name(module)
    weight = module._parameters.pop(name)
    setattr(module, name, 2 * weight.detach())
    return module


class Marked(Tensor):
    """A Tensor of somebody's own class."""


def own_tensor(module: nn.Module) -> nn.Module:
    name = weight_name(module)
    module._parameters[name] = nn.Parameter(getattr(module, name).detach().as_subclass(Marked))
    return module


EVERY_WEIGHT: dict[str, Callable[[nn.Module], nn.Module]] = {
    "weight hook": tensor_hook,
    "post-accumulate hook": accumulate_hook,
    "parametrized": parametrized,
    "weight_norm": weight_normed,
    "old weight_norm": old_weight_norm,
    "old spectral_norm": old_spectral_norm,
    "pruned": pruned,
    "from elsewhere": from_elsewhere,
    "own tensor": own_tensor,
}
ODDITIES = EVERY_MODULE | EVERY_WEIGHT


def made_odd(name: str, module: nn.Module) -> nn.Module:
    return ODDITIES[name](copy.deepcopy(module))
