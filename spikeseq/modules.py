"""What a module is: exactly what its class says, or something that only a call can tell.

Whoever reads a module's weights in the place of calling it (`swap`, `to_spiking`, `fold_embeddings`,
`compile_events`, energy rules, fused ways) asks here first, and nowhere else. Hooks, subclasses, wrappers,
parametrizations and pruning all change what a call does without changing what stands in `weight`.
"""

import sys
from collections.abc import Iterator
from inspect import get_annotations
from types import FunctionType
from typing import Any, NamedTuple, NoReturn, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules import module as everywhere
from torch.nn.modules.lazy import LazyModuleMixin

Kind = TypeVar("Kind", bound=nn.Module)

KNOWN = ("torch.nn.", "torch.ao.nn.", "spikeseq.")
"""Where classes are defined of which we know what they compute."""

# What a subclass may define anew without computing anything else: construction, copies, text.
_HARMLESS = {
    *("__init__", "__new__", "__init_subclass__", "__class_getitem__", "__del__", "reset_parameters"),
    *("__deepcopy__", "__copy__", "__getstate__", "__setstate__", "__reduce__", "__reduce_ex__"),
    *("__repr__", "__str__", "extra_repr", "_get_name", "__doc__", "__module__", "__qualname__", "_version"),
    *("__dict__", "__weakref__", "__constants__", "__hash__", "__eq__", "__dir__", "__sizeof__"),
    *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__"),
    *("__firstlineno__", "__static_attributes__", "T_destination", "dump_patches", "call_super_init"),
}
_WEIGHTS = ("weight", "bias", "leak", "threshold")
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_STATE_HOOKS = (
    *("_state_dict_hooks", "_state_dict_pre_hooks"),
    *("_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"),
)
EVERYWHERE = tuple(getattr(everywhere, f"_global{name}") for name in _HOOKS)
_PLAIN = (nn.Parameter, Tensor, nn.Buffer)


class _Look(NamedTuple):
    """What is known of a class: the first base that we know, what is changed of it, and the names of its
    methods and weights, which an attribute of an instance would hide."""

    known: type[nn.Module]
    forward: Any
    changed: tuple[str, ...]
    methods: frozenset[str]
    weights: frozenset[str]


_LOOKS: dict[type, _Look] = {}
_MOST_LOOKS = 1024  # torch makes a class for every parametrized module


def class_of(module: nn.Module) -> type[nn.Module]:
    """The class that says what `module` computes: the first base that torch or this library defines."""
    return _look(type(module)).known


def is_a(module: Any, *kinds: type[nn.Module]) -> bool:
    """Whether a call of `module` is what one of `kinds` makes of its weights, and nothing else."""
    return isinstance(module, kinds) and oddity(module, *kinds) is None


def of_kind(model: nn.Module, *kinds: type[Kind]) -> dict[str, Kind]:
    """Every module of these classes in `model`, itself included as "", by its path."""
    return {path: module for path, module in model.named_modules() if isinstance(module, kinds)}


def oddity(module: nn.Module, *kinds: type[nn.Module]) -> str | None:
    """Why a call of `module` may be something else than its class makes of its weights; None if it is not.

    The reason reads on behind the module's name: "has forward hooks". Parts of the module are not looked at.

    Args:
        kinds: if any are given, it must compute what one of them computes. A subclass that changes nothing
            but its construction does.
    """
    if reason := rewritten(module):
        return reason
    instance = module.__dict__
    parameters, buffers = instance["_parameters"], instance["_buffers"]
    if "parametrizations" in instance["_modules"]:
        return "has parametrizations of its weights"
    weights = _look(type(module)).weights
    if not weights.isdisjoint(instance):  # beside the registered ones
        for name in weights.intersection(instance):
            if isinstance(instance[name], Tensor):
                return f"has a {name} that is made from others, as by pruning"
    for name in instance.get("_flat_weights_names", ()):  # of an nn.LSTM
        if name not in parameters:
            return f"has a {name} that is made from others, as by pruning"
    if (
        instance["_forward_hooks"]
        or instance["_forward_pre_hooks"]
        or instance["_backward_hooks"]
        or instance["_backward_pre_hooks"]
    ):
        return next(_hooks(instance, _HOOKS))
    if _seen_with_all(module):
        return "is seen by hooks that are registered for all modules"
    if instance.get("_compiled_call_impl") is not None:
        return "was compiled in place"
    for tensors in (parameters, buffers) if buffers else (parameters,):
        for name, tensor in tensors.items():
            if tensor is not None and (odd := _odd_tensor(tensor)):
                return f"has {odd} {name}"
    kind = type(module)
    if kinds and kind not in kinds and all(_changed(kind, one) for one in kinds if issubclass(kind, one)):
        return f"is not {_a(' or '.join(one.__name__ for one in kinds))}"
    return None


def check_time_first(module: nn.Module) -> None:
    """Refuses the hooks of Opacus, which take the first dimension of what comes in for the batch.

    In a layer over time that dimension is time: gradients would be of tokens, and not of samples.
    """
    for hook in module._forward_hooks.values():
        owner = type(getattr(hook, "__self__", None))
        if any(kind.__module__.startswith("opacus.") for kind in owner.__mro__):
            raise ValueError(
                f"{type(module).__name__} has hooks of Opacus, which take its first dimension for the batch,"
                ' where it is time; use grad_sample_mode="no_op" with per-sample gradients of torch.func'
                " (docs/pytorch.md)"
            )


def rewritten(module: nn.Module) -> str | None:
    """Why a call runs other code than that of a class of torch's or ours; None if it does not.

    It is what matters of a module that is called all the same, but whose parts are to be replaced.
    """
    known, _, changed, methods, _ = _look(type(module))
    if known is nn.Module:
        return "was made by torch.jit" if is_scripted(module) else "is of a class of its own"
    if changed:
        return f"is {_a(known.__name__)} with {_listed(changed)} of its own"
    if not methods.isdisjoint(module.__dict__):
        return f"has a {min(methods.intersection(module.__dict__))} that was put in by hand"
    return None


def dense(module: nn.Module) -> bool:
    """Whether all weights of `module` itself are ordinary dense tensors, whatever hangs on them."""
    instance = module.__dict__
    tensors = (*instance["_parameters"].values(), *instance["_buffers"].values())
    return all(
        type(one) in _PLAIN and one.layout == torch.strided and not one.is_quantized
        for one in tensors
        if one is not None
    )


def is_scripted(module: nn.Module) -> bool:
    """Whether torch.jit made it: nothing of what it computes can be seen."""
    return isinstance(module, torch.jit.ScriptModule)


def is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile traces the calls of `module`, without importing what compiles."""
    return module._compiled_call_impl is not None or is_compiled_around(module)


def is_compiled_around(module: nn.Module) -> bool:
    """Whether `module` is what `torch.compile(other)` gave: the other stands inside."""
    made = sys.modules.get("torch._dynamo.eval_frame")
    return made is not None and isinstance(module, made.OptimizedModule)


def is_quantised(module: nn.Module) -> bool:
    """Whether it is one of torch's modules with weights of 8 bits, which are not among its parameters."""
    return ".quantized." in f"{class_of(module).__module__}."


def check_initialised(model: nn.Module) -> None:
    """Refuses a model of which weights get their sizes only from its first call, as of an nn.LazyLinear.

    Raises:
        ValueError: naming the first such module.
    """
    module: Any
    for path, module in model.named_modules():
        lazy = isinstance(module, LazyModuleMixin)
        if lazy and module.has_uninitialized_params():
            refuse(path, module, "has weights without sizes yet", "call the model once before")


def check_plain(path: str, module: nn.Module, way_out: str, *kinds: type[nn.Module]) -> None:
    """Refuses a module that is not exactly what its class says, before it is replaced or read.

    Hooks of its state dict count too: they would go with it.
    """
    if reason := oddity(module, *kinds) or next(_hooks(vars(module), _STATE_HOOKS), None):
        refuse(path, module, f"{reason}, which would be lost", way_out)


def refuse(path: str, module: nn.Module, reason: str, way_out: str) -> NoReturn:
    """The one error of everything that would have to read what can only be called.

    Args:
        path: where the module stands; "" is the model itself.
        reason: reads on behind the module's name, as `oddity` gives it.
        way_out: what to do, in the imperative.
    Raises:
        ValueError: naming path, class and reason, and what to do.
    """
    raise ValueError(f"{named(path, module)} {reason}; {way_out}")


def named(path: str, module: nn.Module) -> str:
    """A module as errors name it: where it stands, and its class."""
    return f"{path or 'the model'} ({type(module).__name__})"


def spiking_maps(module: nn.Module) -> tuple[str, ...]:
    """Dotted names of the parts of `module` whose input is spikes, or sums of spikes, and nothing else.

    A class says so by a method `spiking_maps`. None of a class that does not.
    """
    declare = getattr(type(module), "spiking_maps", None)
    return () if declare is None else declare(module)


def _look(kind: type[nn.Module]) -> _Look:
    found = _LOOKS.get(kind)
    forward = getattr(kind, "forward", None)
    if found is None or found.forward is not forward:  # a forward may be put into a class later
        known = next((base for base in kind.__mro__ if _is_known(base)), nn.Module)
        methods = {name for name in dir(known) if callable(getattr(known, name, None))} - _HARMLESS
        tensors = {
            name
            for base in known.__mro__
            for name, said in get_annotations(base).items()
            if "Tensor" in str(said) or "Parameter" in str(said)
        }
        weights = frozenset(tensors | set(_WEIGHTS))
        found = _Look(known, forward, _changed(kind, known), frozenset(methods), weights)
        if len(_LOOKS) >= _MOST_LOOKS:
            _LOOKS.clear()
        _LOOKS[kind] = found
    return found


def _is_known(kind: type) -> bool:
    return f"{kind.__module__}.".startswith(KNOWN) and not _of_a_parametrization(kind)


def _of_a_parametrization(kind: type) -> bool:
    """Whether torch made the class on the fly; it says nothing of its own."""
    return kind.__module__ == "torch.nn.utils.parametrize"


def _changed(kind: type[nn.Module], base: type[nn.Module]) -> tuple[str, ...]:
    """What a subclass of `base` changes of what `base` works with."""
    own = [one for one in kind.__mro__ if one not in base.__mro__ and not _of_a_parametrization(one)]
    names = {name for one in own for name in vars(one)} - _HARMLESS
    found = [
        name
        for name in names
        if (hasattr(base, name) or name.startswith(_WEIGHTS))
        and _static(kind, name) is not _static(base, name)
    ]
    code = base.forward
    if not (isinstance(code, FunctionType) and f"{code.__globals__.get('__name__')}.".startswith(KNOWN)):
        found.append("forward")  # put into a class of torch's or ours by somebody else
    return tuple(sorted(set(found)))


def _static(kind: type, name: str) -> Any:
    return next((vars(one)[name] for one in kind.__mro__ if name in vars(one)), None)


def _seen_with_all(module: nn.Module) -> bool:
    """Whether hooks that are registered for all modules look at this one."""
    return any(EVERYWHERE)


def _hooks(instance: dict[str, Any], kinds: tuple[str, ...]) -> Iterator[str]:
    return (f"has {name.strip('_').replace('_', ' ')}" for name in kinds if instance[name])


def _odd_tensor(tensor: Tensor) -> str | None:
    kind = type(tensor)
    if kind not in _PLAIN and not kind.__module__.startswith("torch._subclasses."):  # those that trace
        return f"{_a(kind.__name__)} for its"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return "a sparse or quantised"
    if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
        return "a hook on its"
    return None


def _a(name: str) -> str:
    spelt = name[:2].isupper() and name[0] in "FHLMNRSX"  # an LSTM
    return f"{'an' if spelt or name[0] in 'AEIO' else 'a'} {name}"


def _listed(names: Any) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and more" if len(names) > 3 else shown
