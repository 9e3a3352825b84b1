"""What a module is: exactly what its class says, or something that only a call can tell.

Whoever reads a module's weights in the place of calling it (`swap`, `to_spiking`, `fold_embeddings`,
`compile_events`, energy rules, fused ways) asks here first, and nowhere else. Hooks, subclasses, wrappers,
parametrizations and pruning all change what a call does without changing what stands in `weight`.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from typing import Any, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere
from torch.nn.utils.parametrize import is_parametrized

KNOWN = ("torch.nn.", "torch.ao.nn.", "spikeseq.")
"""Where classes are defined of which we know what they compute."""

# What a subclass may define anew without computing anything else.
_HARMLESS = {
    *("__init__", "__doc__", "__module__", "__qualname__", "__annotations__", "__annotate__", "__dict__"),
    *(
        "__weakref__",
        "__firstlineno__",
        "__static_attributes__",
        "__annotate_func__",
        "__annotations_cache__",
    ),
    *("__constants__", "__parameters__", "__orig_bases__", "__repr__", "extra_repr", "reset_parameters"),
    *("__annotations_cache__", "_version", "__abstractmethods__", "_abc_impl"),
}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_EVERYWHERE = tuple(getattr(everywhere, f"_global{name}") for name in _HOOKS)
_PLAIN = (Tensor, nn.Parameter)


def class_of(module: nn.Module) -> type[nn.Module]:
    """The class that says what `module` computes: the first base that torch or this library defines."""
    return _known(type(module))


@lru_cache(maxsize=1024)
def _known(kind: type) -> type[nn.Module]:
    return next((base for base in kind.__mro__ if _of_ours_or_torch(base)), nn.Module)


def _of_ours_or_torch(kind: type) -> bool:
    # Classes that torch.nn.utils.parametrize makes on the fly say nothing of their own.
    where = f"{kind.__module__}."
    return where.startswith(KNOWN) and not where.startswith("torch.nn.utils.")


@lru_cache(maxsize=1024)
def _changed(kind: type) -> tuple[str, ...]:
    """What a subclass of a known class defines anew that the known class works with."""
    known = _known(kind)
    own = kind.__mro__[: kind.__mro__.index(known)]
    return tuple(sorted({name for base in own for name in vars(base)} & set(dir(known)) - _HARMLESS))


def is_a(module: Any, *kinds: type[nn.Module]) -> bool:
    """Whether `module` computes what one of `kinds` computes, and nothing else: see `oddity`."""
    return isinstance(module, kinds) and class_of(module) in kinds and oddity(module) is None


def oddity(module: nn.Module) -> str | None:
    """Why a call of `module` may be something else than its class makes of its weights; None if it is not.

    The reason reads on behind the module's name: "has forward hooks". Parts of the module are not looked at.
    """
    known = class_of(module)
    if is_parametrized(module):
        return "has parametrizations of its weights"
    if known is nn.Module:
        return "is of a class of its own"
    if changed := _changed(type(module)):
        return f"is a {known.__name__} with {_listed(changed)} of its own"
    instance = module.__dict__
    if "forward" in instance:
        return "has a forward that was put in by hand"
    for name in ("weight", "bias", "leak", "threshold"):
        if isinstance(instance.get(name), Tensor):  # beside the parameters: pruning, weight_norm
            return f"has a {name} that is made anew at every call, as by pruning"
    for name in _HOOKS:
        if instance[name]:
            return f"has {name.strip('_').replace('_', ' ')}"
    if any(_EVERYWHERE):
        return "is seen by hooks that are registered for all modules"
    for name, tensor in instance["_parameters"].items():
        if tensor is not None and (odd := _odd_tensor(tensor)):
            return f"has {odd} {name}"
    return None


def _odd_tensor(tensor: Tensor) -> str | None:
    if type(tensor) not in _PLAIN:
        return f"a {type(tensor).__name__} for its"
    if tensor.layout != torch.strided:
        return "a sparse"
    if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
        return "a hook on its"
    return None


def refuse(path: str, module: nn.Module, reason: str, way_out: str) -> NoReturn:
    """The one error of everything that would have to read what can only be called.

    Raises:
        ValueError: naming path, class and reason, and what to do.
    """
    raise ValueError(f"{named(path, module)} {reason}, which would be lost; {way_out}")


def named(path: str, module: nn.Module) -> str:
    """A module as errors name it: where it stands, and its class."""
    return f"{path or 'the model'} ({type(module).__name__})"


def check_plain(path: str, module: nn.Module, way_out: str) -> None:
    """Refuses a module that is not exactly what its class says."""
    if reason := oddity(module):
        refuse(path, module, reason, way_out)


def unregistered(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that `module` keeps outside its registered ones, with the attribute that holds them.

    In lists, tuples, sets and dicts at any depth, as bound methods, and in partial functions.
    """
    for name, value in vars(module).items():
        if name not in ("_modules", "_parameters", "_buffers"):
            for found in _held(value, set()):
                yield name, found


def _held(value: Any, seen: set[int]) -> Iterator[nn.Module]:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        yield value
        return
    parts: Any = ()
    if isinstance(value, Mapping):
        parts = (*value.keys(), *value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = value
    elif isinstance(value, partial):
        parts = (value.func, *value.args, *value.keywords.values())
    elif isinstance(getattr(value, "__self__", None), nn.Module):  # a bound method
        parts = (value.__self__,)
    for part in parts:
        yield from _held(part, seen)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and more" if len(names) > 3 else shown
