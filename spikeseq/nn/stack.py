"""The layers of a SpikingRNN in one call of the kernel, where nothing has to be kept for a gradient.

A token of a stream costs a few microseconds of arithmetic; going through modules costs many times that.
"""

from collections.abc import Iterable
from itertools import chain
from operator import attrgetter, is_, itemgetter
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from ..modules import EVERYWHERE
from ..ops import stack as _stack  # noqa: F401  defines the op
from ..ops.dispatch import NO_FIT, no_kernel, not_wide, under_autocast, unlike
from ..ops.eager import traced
from ..watch import watched
from .dropout import SequenceDropout
from .layer import SpikingLayer, unread
from .lif import LIF, SMALLEST_THRESHOLD

# What modules keep their parts and hooks in.
_HELD = itemgetter("_parameters", "_buffers", "_modules")
_HOOKS = itemgetter("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_NEURON = itemgetter("reset", "surrogate")
_DROPOUT = itemgetter("training", "p")
_FORWARD = attrgetter("forward")
_DTYPE = attrgetter("dtype")
_ON_CPU = attrgetter("is_cpu")
_END = object()


class Parts(NamedTuple):
    """What the op needs of the layers, in their order; `biases` of all or of none."""

    weights: list[Tensor]
    biases: list[Tensor]
    leaks: list[Tensor]
    thresholds: list[Tensor]
    reset: str


class Plan:
    """Parts that were read, for as long as `holds` says that nothing has happened to the modules they are of.

    Everything that `oddity` and `_read` look at is compared with what was there: classes and their forwards,
    which parameters, buffers and parts there are, hooks, attributes put in beside them, dropout, neurons.
    Values may change, as tensors are kept and not copied. It takes a fraction of reading anew.
    """

    def __init__(self, layers: nn.ModuleList, between: nn.Module, parts: Parts) -> None:
        self.parts = parts
        inside: list[Any] = [part for layer in layers for part in (layer, layer.input_map, layer.lif)]
        self.modules = [layers, between, *inside]
        self.kinds = list(dict.fromkeys(map(type, self.modules)))
        self.instances = [vars(module) for module in self.modules]
        self.sizes = list(map(len, self.instances))
        self.neurons = [vars(layer.lif) for layer in inside[::3]]
        self.dropout = _DROPOUT(vars(between))
        self.tensors = [*parts.weights, *parts.biases, *parts.leaks, *parts.thresholds]
        self.seen = list(self._look(layers, between))

    def _look(self, layers: Any, between: Any) -> Iterable[Any]:
        """All that must be the very same objects, in one flat run; an end shows that there are not more."""
        held = chain.from_iterable(map(_HELD, self.instances))
        return chain(
            (layers, between),
            chain.from_iterable(map(dict.values, held)),
            map(type, self.modules),
            map(_FORWARD, self.kinds),
            chain.from_iterable(map(_NEURON, self.neurons)),
            (_END,),
        )

    def holds(self, layers: Any, between: Any, dtype: torch.dtype) -> bool:
        """Whether `layers` and `between` are what was read, and all tensors of `dtype` on a CPU."""
        return (
            not any(chain.from_iterable(map(_HOOKS, self.instances)))
            and not any(EVERYWHERE)
            and not watched(*self.modules)
            and list(map(len, self.instances)) == self.sizes
            and all(map(is_, self._look(layers, between), self.seen))
            and _DROPOUT(self.instances[1]) == self.dropout
            and set(map(_DTYPE, self.tensors)) == {dtype}
            and all(map(_ON_CPU, self.tensors))
        )


# By SpikingRNN; beside them and not in them, so that nothing of it is copied or saved.
_plans: WeakKeyDictionary[nn.Module, Plan] = WeakKeyDictionary()


def parts_of(rnn: Any, x: Any, hx: Any, lengths: Any) -> Parts | str:
    """The parts of a SpikingRNN's layers if the op can stand in for them, or the reason why it cannot.

    It can for inference on a CPU by plain layers of one direction, without lengths. It cannot for input or
    state that does not fit: the other way says what is wrong. The op itself says which shapes of parameters
    are wrong. Modules keep their parts in dictionaries, which are read here, because looking up an attribute
    takes several times as long.
    """
    if torch.is_grad_enabled():
        return "gradients may be wanted (no torch.no_grad())"
    if lengths is not None:
        return "sequences have lengths"
    reason = traced()
    if reason is not None:
        return reason
    if type(x) is not Tensor or not x.is_cpu:
        return f"on {x.device.type}" if type(x) is Tensor else f"the input is a {type(x).__name__}"
    reason = not_wide("input", x) or under_autocast("cpu") or no_kernel("cpu")
    if reason is not None:
        return reason
    if rnn.bidirectional:
        return "it reads in both directions"
    layers, between = rnn._modules["layers"], rnn._modules["between"]
    plan = _plans.get(rnn)
    if plan is None or not plan.holds(layers, between, x.dtype):
        _plans.pop(rnn, None)
        parts = _read(layers, between, x)
        if isinstance(parts, str):
            return parts
        plan = _plans[rnn] = Plan(layers, between, parts)
    weights = plan.parts.weights
    width, features = weights[0].shape if weights[0].dim() == 2 else (0, 0)
    tokens, batch, given = x.shape
    if not tokens or given != features:
        return NO_FIT
    if hx is not None and (unlike(x, state=hx) is not None or hx.shape != (len(weights), batch, width)):
        return NO_FIT
    return plan.parts


def _read(layers: Any, between: Any, x: Tensor) -> Parts | str:
    reason = unread("between", between, SequenceDropout)
    if reason is not None:
        return reason
    if between.training and between.p:
        return "dropout acts between the layers"
    parts = Parts([], [], [], [], "")
    reset = None
    layer: Any
    for name, layer in layers._modules.items():
        reason = unread(f"layers.{name}", layer, SpikingLayer)
        if reason is not None:
            return reason
        inner = layer._modules
        linear, lif = inner["input_map"], inner["lif"]
        reason = unread("input_map", linear, nn.Linear) or unread("lif", lif, LIF)
        if reason is not None:
            return f".layers.{name}{reason}"
        if lif.surrogate.memory_planes:
            return f"surrogate {lif.surrogate.name} remembers"
        if inner.get("feedback") is not None:
            return "layers have feedback"
        if inner.get("norm") is not None:
            return f"a norm ({type(inner['norm']).__name__}) stands between map and neurons"
        maps: dict[str, Any] = linear._parameters
        neuron: dict[str, Any] = lif._buffers | lif._parameters
        parts.weights.append(maps["weight"])
        if maps["bias"] is not None:
            parts.biases.append(maps["bias"])
        parts.leaks.append(neuron["leak"])
        parts.thresholds.append(neuron["threshold"])
        if reset not in (None, lif.reset):
            return "layers reset in different ways"
        reset = lif.reset
    count = len(parts.weights)
    if reset is None or len(parts.biases) not in (0, count):
        return "some layers have a bias and some have none"
    for t in (x, *parts.weights, *parts.biases, *parts.leaks, *parts.thresholds):
        reason = unlike(x, parameter=t)
        if reason is not None:
            return reason
    return parts._replace(reset=reset)


def run(rnn: Any, x: Tensor, hx: Tensor | None, _lengths: None, parts: Parts) -> tuple[Tensor, Tensor]:
    """(L, B, I) and membranes (layers, B, H), default zeros, to the read-out and the membranes after it."""
    weights, biases, leaks, thresholds, reset = parts
    if hx is None:
        hx = x.new_zeros((len(weights), x.shape[1], len(weights[0])))
    return torch.ops.spikeseq.lif_stack.default(  # type: ignore[no-any-return]
        x, hx, weights, biases, leaks, thresholds, SMALLEST_THRESHOLD, rnn.substeps, reset, rnn.readout
    )


def fits(_rnn: Any, _x: Any, _hx: Any, _lengths: Any, parts: Parts | str) -> str | None:
    """What `parts_of` has found."""
    return parts if isinstance(parts, str) else None
