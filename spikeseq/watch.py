"""`Watcher`: sees the calls of chosen modules, for `monitor`, energy counts, reports and gradient norms.

Nothing is put into the modules, so that their copies and files carry nothing. While a watcher is open, all
calls of modules pass through here, as they do while `torch.fx` traces; what is not watched goes straight on.
(Torch's hooks for all modules would not do: those that run before a call do not get its keyword arguments.)
"""

import inspect
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from threading import RLock, get_ident
from typing import Any

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks


@dataclass(eq=False)
class Call:
    """One call of a watched module.

    Args:
        name: that the watcher knows the module by.
        arguments: by the names of its `forward`, in their order, however they were given; those that were
            not given are missing, those without a name have their place: "2".
        output: None until the call is over.
        note: anything that a watcher wants to remember of the call while it runs.
    """

    name: str
    module: Any  # of the kinds that the watcher has chosen
    arguments: dict[str, Any]
    output: Any = None
    note: Any = None

    @property
    def input(self) -> Any:
        """The first argument."""
        return next(iter(self.arguments.values()))


See = Callable[[Call], None]


class Watcher:
    """Sees calls of `modules` from now on until it is closed: `with Watcher(...) as watcher: model(x)`.

    A call that an error ends is not seen `after`. Not seen is what runs a second time for its gradient
    (`torch.utils.checkpoint`, `run_in_chunks`, `SpikingNetwork` with a chunk). Not seen are copies of these
    modules (by `copy`, `pickle`, `torch.save`, or the replicas of `nn.DataParallel` on several devices), nor
    modules that are put in later. Watchers do not disturb each other. A copy of a watcher is closed.

    Args:
        modules: by name. A module of two names has the first.
        threads: whether calls in all threads are seen, one after the other, or only those in the thread that
            opens it: what others do with the model meanwhile is none of its business then.
        before, after: called as a call begins and ends, with its `Call`. What they compute is no part of
            what a checkpoint computes again.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        *,
        before: See | None = None,
        after: See | None = None,
        threads: bool = False,
    ) -> None:
        self.before, self.after = before, after
        self.thread = None if threads else get_ident()
        self.running: list[Call] = []
        """Calls that have begun and not ended, the innermost last; of one thread only."""
        self._watched: dict[int, _Eye] = {}
        for name, module in modules.items():
            self._watched.setdefault(id(module), _Eye(self, name, module))
        self.closed = False
        if not self._watched:
            return
        # As it is imported, it remembers what a call of a module is that it need not look into. Optimisers
        # import it, so that it is mostly there.
        import_module("torch._dynamo")
        with _changing:
            _install()
            for key, eye in self._watched.items():
                _eyes[key] = (*_eyes.get(key, ()), eye)

    def close(self) -> None:
        """Sees nothing from now on, also of calls that are running."""
        self.closed = True
        with _changing:
            for key, eye in self._watched.items():
                eye.gone.detach()
                left = tuple(other for other in _eyes.get(key, ()) if other is not eye)
                if left:
                    _eyes[key] = left
                else:
                    _forget(key)
        self._watched = {}

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return Watcher, ({},)


def watched(*modules: nn.Module) -> bool:
    """Whether the calls of any of these modules are watched, so that none may be left out."""
    return bool(_eyes) and any(id(module) in _eyes for module in modules)


@lru_cache(maxsize=1024)
def _names(forward: Callable[..., Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The parameters of a function that are given by place, and those that are given by name only."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):  # written in C, or made by torch.jit
        parameters = []
    by_place = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return (
        tuple(one.name for one in parameters if one.kind in by_place),
        tuple(one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY),
    )


def _forward_names(module: nn.Module) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if "forward" in vars(module):
        return _names(module.forward)
    forward = getattr(type(module), "forward", None)  # torch.jit.trace leaves none in the class
    by_place, by_name = ((), ()) if forward is None else _names(forward)
    return by_place[1:], by_name  # without self


class _Eye:
    """What one watcher has on one module; it does not keep the module alive."""

    def __init__(self, watcher: Watcher, name: str, module: nn.Module) -> None:
        self.watcher, self.name = watcher, name
        self.by_place, self.by_name = _forward_names(module)
        self.gone = weakref.finalize(module, _forget, id(module))
        self.gone.atexit = False  # nothing to clean up when Python ends

    def call(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        given = dict(zip(self.by_place, args, strict=False)) | kwargs
        ordered = {name: given[name] for name in (*self.by_place, *self.by_name) if name in given}
        more = {str(place): args[place] for place in range(len(self.by_place), len(args))}
        return Call(self.name, module, ordered | more | given)


def _forget(key: int) -> None:
    with _changing:
        _eyes.pop(key, None)
        _uninstall()


# By identity: modules may define equality, and a copy is another module.
_eyes: dict[int, tuple[_Eye, ...]] = {}
WATCHED = _eyes
"""Changes whenever a module begins or ceases to be watched."""
_plain: Callable[..., Any] = nn.Module.__call__
_changing, SEEING = RLock(), RLock()  # who is watched; what is seen in several threads


def _call(module: nn.Module, /, *args: Any, **kwargs: Any) -> Any:
    """Stands for `nn.Module.__call__` while something is watched."""
    eyes = _eyes.get(id(module))
    if eyes is None or _again():
        return _plain(module, *args, **kwargs)
    return _seen(eyes, module, args, kwargs)


def _seen(eyes: tuple[_Eye, ...], module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if not eyes:
        return _plain(module, *args, **kwargs)
    watcher = eyes[0].watcher
    if watcher.thread is not None and not torch.compiler.is_compiling() and watcher.thread != get_ident():
        return _seen(eyes[1:], module, args, kwargs)
    call = eyes[0].call(module, args, kwargs)
    if watcher.thread is None:
        _show(watcher, watcher.before, call)
        call.output = _seen(eyes[1:], module, args, kwargs)
        _show(watcher, watcher.after, call)
        return call.output
    watcher.running.append(call)
    try:
        _show(watcher, watcher.before, call)
        call.output = _seen(eyes[1:], module, args, kwargs)
        _show(watcher, watcher.after, call)
    finally:
        watcher.running.pop()
    return call.output


def _show(watcher: Watcher, see: See | None, call: Call) -> None:
    if see is None or watcher.closed:
        return
    alone = watcher.thread is not None or torch.compiler.is_compiling()
    with nullcontext() if alone else SEEING, _kept_apart():
        see(call)


def _again() -> bool:
    """Whether the backward pass is running, which calls modules only to compute again what was not kept."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def _kept_apart() -> Any:
    """Tensors that a watcher needs for gradients are kept by themselves: a checkpoint that runs around it
    would look for them when it computes again, where no watcher is."""
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return nullcontext()
    if torch._C._are_functorch_transforms_active():  # type: ignore[attr-defined]
        return nullcontext()  # torch.func.grad takes no such hooks, so that no checkpoint is around
    return saved_tensors_hooks(lambda kept: kept.detach(), lambda kept: kept)


class _Probe(nn.Module):
    def forward(self) -> None:
        return None


def _install() -> None:
    """Lets calls of modules pass through `_call`, unless they do so already."""
    global _plain
    probe, met = _Probe(), list[Call]()
    watcher = Watcher({}, before=met.append)
    eye = _Eye(watcher, "", probe)
    eye.gone.detach()
    _eyes[id(probe)] = (eye,)
    probe()
    del _eyes[id(probe)]
    if not met:
        _plain, nn.Module.__call__ = nn.Module.__call__, _call  # type: ignore[method-assign]


def _uninstall() -> None:
    """Undoes `_install` where nothing is watched, unless others have come on top: then it lies idle."""
    if not _eyes and nn.Module.__call__ is _call:
        nn.Module.__call__ = _plain  # type: ignore[method-assign]
