"""The layers of a SpikingRNN in one call of the kernel, where nothing has to be kept for a gradient.

A token of a stream costs a few microseconds of arithmetic; going through modules costs many times that.
"""

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..modules import EVERYWHERE, class_of
from ..ops.dispatch import NO_FIT, WEIGHTED, listening, no_kernel, not_wide, under_autocast, unlike
from ..ops.eager import traced
from ..ops.stack import plan_maker
from ..watch import WATCHED
from .dropout import SequenceDropout
from .event_maps import EventLinear
from .layer import Passed, SpikingLayer, unread
from .lengths import whole
from .lif import LIF, SMALLEST_THRESHOLD

# What modules keep their parts and hooks in.
_HELD = (
    *("_parameters", "_buffers", "_modules"),
    *("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"),
)


class Parts(NamedTuple):
    """What the op needs of the layers, in their order; `biases` of all or of none.

    Where the first map is passed, as currents come in, its weight has no columns. `maps` are the layers'
    maps if any is driven by events, which are told what they read.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    leaks: list[Tensor]
    thresholds: list[Tensor]
    reset: str
    maps: list[Any]


class Plan(NamedTuple):
    """Parts that were read, called with the next tokens for as long as they are the right ones.

    `call` (csrc/cpu/plan.cpp) compares everything that `oddity` and `_read` look at with what was there:
    classes and their forwards, which parameters, buffers and parts there are, hooks, attributes, whether
    anything is watched. It gives None where something is another object now, or where the op would not go
    straight to its kernel (gradients, autocast, tracing, transforms, modes, a profiler); else what the op
    gives. Values may change, as tensors are kept and not copied.
    """

    rnn: weakref.ref[Any]
    call: Callable[..., tuple[Tensor, Tensor] | None]


# By identity of the SpikingRNN; beside them and not in them, so that nothing of it is copied or saved.
_plans: dict[int, Plan] = {}


def _plan(rnn: Any, parts: Parts) -> None:
    """Keeps `parts` for the calls to come, where this can be done."""
    _plans.pop(id(rnn), None)
    make = plan_maker()
    if make is None or WATCHED or parts.maps or not parts.weights[0].shape[1]:
        return
    key, *tensors, reset = id(rnn), *parts[:5]
    layers = rnn._modules["layers"]
    inside = [part for layer in layers for part in (layer, layer.input_map, layer.lif)]
    modules = [layers, rnn._modules["between"], *inside]
    states = list(map(vars, modules))
    held = [state[name] for state in states for name in _HELD]
    call = make(
        modules, [rnn._modules, *states, *held, *EVERYWHERE, WATCHED], tensors, SMALLEST_THRESHOLD, reset
    )
    if WATCHED:  # since then, by another thread: what the plan compares with must be that nothing is
        return
    forget = partial(_plans.pop, key, None)
    _plans[key] = Plan(weakref.ref(rnn, lambda _: forget()), call)


def again(rnn: Any, x: Any, hx: Any) -> tuple[Tensor, Tensor] | None:
    """Read-out and membranes, if a call before has found that the op can stand in for the layers, and nothing
    has happened since; None where that has to be asked again."""
    plan = _plans.get(id(rnn))
    if plan is None or listening.get() is not None or rnn.bidirectional:
        return None
    return plan.call(rnn._modules, x, hx, rnn.substeps, rnn.readout)


def parts_of(rnn: Any, x: Any, hx: Any, lengths: Any) -> Parts | str:
    """The parts of a SpikingRNN's layers if the op can stand in for them, or the reason why it cannot.

    It can for inference on a CPU by plain layers of one direction, without padding. It cannot for input or
    state that does not fit: the other way says what is wrong. The op itself says which shapes of parameters
    are wrong. Modules keep their parts in dictionaries, which are read here, because looking up an attribute
    takes several times as long.
    """
    if torch.is_grad_enabled():
        return "gradients may be wanted (no torch.no_grad())"
    reason = traced()
    if reason is not None:
        return reason
    if type(x) is not Tensor or not x.is_cpu:
        return f"on {x.device.type}" if type(x) is Tensor else f"the input is a {type(x).__name__}"
    if lengths is not None and not whole(lengths, x):
        return "texts padded, or lengths not int64"
    reason = not_wide("input", x) or under_autocast("cpu") or no_kernel("cpu")
    if reason is not None:
        return reason
    if rnn.bidirectional:
        return "it reads in both directions"
    layers, between = rnn._modules["layers"], rnn._modules["between"]
    parts = _read(layers, between, x)
    if isinstance(parts, str):
        return parts
    weights = parts.weights
    width, features = weights[0].shape if weights[0].dim() == 2 else (0, 0)
    tokens, batch, given = x.shape
    if not tokens or given != (features or width):
        return NO_FIT
    if hx is not None and (unlike(x, state=hx) is not None or hx.shape != (len(weights), batch, width)):
        return NO_FIT
    _plan(rnn, parts)
    return parts


def _read(layers: Any, between: Any, x: Tensor) -> Parts | str:
    reason = unread("between", between, SequenceDropout)
    if reason is not None:
        return reason
    if between.training and between.p:
        return "dropout acts between the layers"
    parts = Parts([], [], [], [], "", [])
    reset, passed = None, False
    layer: Any
    for name, layer in layers._modules.items():
        reason = unread(f"layers.{name}", layer, SpikingLayer)
        if reason is not None:
            return reason
        inner = layer._modules
        linear, lif = inner["input_map"], inner["lif"]
        other: type[nn.Module] = EventLinear if parts.leaks else Passed
        kind = other if class_of(linear) is other else nn.Linear
        reason = unread("input_map", linear, kind) or unread("lif", lif, LIF)
        if reason is not None:
            return f".layers.{name}{reason}"
        if lif.planes:
            return f"surrogate {lif.surrogate.name} remembers"
        if lif.norm_input:
            return WEIGHTED
        if inner.get("feedback") is not None:
            return "layers have feedback"
        if inner.get("norm") is not None:
            return f"a norm ({type(inner['norm']).__name__}) stands between map and neurons"
        maps: dict[str, Any] = linear._parameters | linear._buffers
        neuron: dict[str, Any] = lif._buffers | lif._parameters
        if kind is Passed:
            passed = True
            maps = {"weight": x.new_empty((linear.out_features, 0)), "bias": x.new_zeros(linear.out_features)}
        elif kind is EventLinear:
            if maps["scale"] is not None:
                return "weights of 8 bits are summed in whole numbers"
            maps["weight"] = maps["weight"][0].t()
        parts.weights.append(maps["weight"])
        parts.maps.append(linear if kind is EventLinear else None)
        if maps["bias"] is not None:
            parts.biases.append(maps["bias"])
        parts.leaks.append(neuron["leak"])
        parts.thresholds.append(neuron["threshold"])
        if reset not in (None, lif.reset):
            return "layers reset in different ways"
        reset = lif.reset
    count = len(parts.weights)
    if passed and len(parts.biases) == 1 < count:  # the one that stands for none
        parts.biases.clear()
    if reset is None or len(parts.biases) not in (0, count):
        return "some layers have a bias and some have none"
    for t in (x, *parts.weights, *parts.biases, *parts.leaks, *parts.thresholds):
        reason = unlike(x, parameter=t)
        if reason is not None:
            return reason
    return parts._replace(reset=reset, maps=parts.maps if any(parts.maps) else [])


def run(rnn: Any, x: Tensor, hx: Tensor | None, _lengths: Any, parts: Parts) -> tuple[Tensor, Tensor]:
    """(L, B, I) and membranes (layers, B, H), default zeros, to the read-out and the membranes after it."""
    weights, biases, leaks, thresholds, reset, maps = parts
    if hx is None:
        hx = x.new_zeros((len(weights), x.shape[1], len(weights[0])))
    given = x, hx, weights, biases, leaks, thresholds, SMALLEST_THRESHOLD, rnn.substeps, reset, rnn.readout
    if not maps:
        return torch.ops.spikeseq.lif_stack.default(*given)  # type: ignore[no-any-return]
    out, state, arrived = torch.ops.spikeseq.lif_stack_counted.default(*given)
    for one, spikes in zip(maps, arrived, strict=True):
        if one is not None:
            one.count(spikes * one.out_features)
    return out, state


def fits(_rnn: Any, _x: Any, _hx: Any, _lengths: Any, parts: Parts | str) -> str | None:
    """What `parts_of` has found."""
    return parts if isinstance(parts, str) else None
