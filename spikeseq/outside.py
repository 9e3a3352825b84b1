"""Modules that a model keeps outside its registered ones, where nothing that walks `modules()` finds them.

A plain list of layers, a bound method kept as an attribute, a function that closes over a layer: whoever
replaces a layer would leave these calling the old one.
"""

import gc
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import deepcopy
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, TypeVar

from torch import Tensor, nn

from .modules import check_initialised, is_scripted, named

Model = TypeVar("Model", bound=nn.Module)
_NOTHING = (str, bytes, int, float, complex, Tensor, type, ModuleType)
"""What no module is looked for in."""
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def outside(model: nn.Module) -> dict[nn.Module, str]:
    """Every module that some part of `model` holds unregistered, with its parts, and where: "encoder.cells".

    A module that is registered as well is among them: replacing it would leave the other reference behind.
    """
    found: dict[nn.Module, str] = {}
    registered = set(model.modules())
    for path, part in model.named_modules():
        for name, held in unregistered(part):
            place = f"{path}.{name}" if path else name
            for one in (held,) if held in registered else held.modules():
                found.setdefault(one, place)
    return found


def copied(model: Model) -> Model:
    """A deep copy of a model that has nothing in common with it.

    Raises:
        ValueError: it cannot be copied, as one whose weights have no sizes yet (`torch.nn.LazyLinear`),
            or a function or weak reference in it would go on calling the original.
    """
    check_initialised(model)
    memo = {id(tensor): tensor.detach().clone() for tensor in _made_anew(model)}
    try:
        copy = deepcopy(model, dict(memo))
    except RuntimeError as error:  # tensors with a history
        inner_first = list(model.named_modules())[::-1]
        path, part = next((one for one in inner_first if not _can_be_copied(one[1], memo)), ("", model))
        why = str(error).partition(".")[0]
        raise ValueError(
            f"{named(path, part)} cannot be copied ({why}); let it keep no tensors that were computed"
        ) from error
    for old, new in zip(model.parameters(), copy.parameters(), strict=True):  # deepcopy forgets these
        trained = new.requires_grad
        for hook in (old._backward_hooks or {}).values():
            new.requires_grad_(True).register_hook(hook)
        for hook in (getattr(old, "_post_accumulate_grad_hooks", None) or {}).values():
            new.requires_grad_(True).register_post_accumulate_grad_hook(hook)
        new.requires_grad_(trained)
    original = set(model.modules())
    for path, part in copy.named_modules():
        for name, held in unregistered(part):
            if held in original and name not in _HOOKS:
                place = f"{path}.{name}" if path else name
                raise ValueError(
                    f"{place} holds the model's {type(held).__name__} in a function or weak reference, which"
                    " cannot be copied with it; make it a method"
                )
    return copy


def _can_be_copied(module: nn.Module, memo: dict[int, Tensor]) -> bool:
    try:
        deepcopy(module, dict(memo))
    except RuntimeError:
        return False
    return True


def _made_anew(model: nn.Module) -> Iterator[Tensor]:
    """Weights that every call makes from others, as pruning and the old weight_norm have it."""
    for module in model.modules():
        for name in () if is_scripted(module) else module._parameters:
            made = vars(module).get(name.rpartition("_")[0])
            if isinstance(made, Tensor) and made.grad_fn is not None:
                yield made


def unregistered(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Modules that `module` keeps outside its registered ones, with the attribute that holds them.

    At any depth in lists, tuples, sets, dicts and plain objects, with slots or without; behind bound methods,
    partial functions, functions that close over them, iterators, and weak references; in attributes of its
    class, and of those that this one inherits from.
    """
    classes = [vars(kind) for kind in type(module).__mro__ if not f"{kind.__module__}.".startswith("torch.")]
    for attributes in (vars(module), *classes):
        for name, value in attributes.items():
            if name not in ("_modules", "_parameters", "_buffers"):
                for found in _held(value):
                    yield name, found


def _held(value: Any) -> Iterator[nn.Module]:
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if one is None or isinstance(one, _NOTHING) or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            yield next(one.modules())  # itself, also of a weak proxy
        else:
            waiting += _parts(one)


def _parts(value: Any) -> list[Any]:
    match value:
        case Mapping():
            return [*value.keys(), *value.values()]
        case list() | tuple() | set() | frozenset() | deque():
            return list(value)
        case partial():
            return [value.func, *value.args, *value.keywords.values()]
        case MethodType():
            return [value.__self__]
        case FunctionType():
            cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
            defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
            return [*cells, *defaults, *vars(value).values()]
        case weakref.ref():
            return [value()]
        case Iterator():  # one over a list, a generator: what it has still to give cannot be asked for
            return gc.get_referents(value)
    return [*getattr(value, "__dict__", {}).values(), *_slots(value)]


def _slots(value: Any) -> Iterator[Any]:
    """What an object keeps in `__slots__`, as those of data classes may."""
    for kind in type(value).__mro__:
        for member in vars(kind).values():
            if isinstance(member, MemberDescriptorType):
                with suppress(AttributeError):  # nothing is in there yet
                    yield member.__get__(value)


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name that is not bound yet
        return False
    return True
