"""`explain`: which way every layer ran, and the reason where it is not the fast one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from types import FrameType
from typing import Any

import torch
from torch import nn

from .checks import check_module
from .modules import check_initialised, is_compiled, is_scripted
from .ops.dispatch import FUSED, Op, listening

TRACED = "traced by torch.compile"


@dataclass
class Record:
    """What one op of one layer did, all calls alike together.

    Args:
        path: where the layer stands in the model; "" is the model itself, or none of its modules.
        kind: the layer's class.
        op: name of the op.
        way: "fused", "plain", or "python loop" where there is no native kernel.
        reason: why it was not fused; None where it was.
        calls: how often.
    """

    path: str
    kind: str
    op: str
    way: str
    reason: str | None
    calls: int = 1

    def __str__(self) -> str:
        times = f" ({self.calls} times)" if self.calls > 1 else ""
        why = "" if self.reason is None else f", because {self.reason}"
        return f"{self.path or 'the model'} ({self.kind}): {self.op} {self.way}{times}{why}"


@dataclass
class Explanation:
    """The records of one call of a model, in the order in which its layers came to run."""

    records: list[Record] = field(default_factory=list)

    @property
    def slow(self) -> list[Record]:
        """The records that were not fused."""
        return [record for record in self.records if record.way != FUSED]

    def of(self, path: str, op: str | None = None) -> list[Record]:
        """The records of one layer, and of one op if it is given."""
        return [r for r in self.records if r.path == path and op in (None, r.op)]

    def __str__(self) -> str:
        if not self.records:
            return "the model ran no op of spikeseq"
        return "\n".join(map(str, self.records))


def explain(model: nn.Module, *inputs: Any, **kwargs: Any) -> Explanation:
    """Runs `model(*inputs, **kwargs)` once and says, layer by layer, which way ran: `print(explain(...))`.

    An op has a fused way, a native kernel, and a plain way of ordinary PyTorch, which give the same; which
    one runs is decided at every call. This shows the decisions of one call, and why a slow way was taken:
    hooks on a part of a layer, autocast, half precision, a gradient that may be wanted. Call it as the model
    is to be called: in its mode, and under `torch.no_grad()` or not. A layer that falls back shows the ops
    that it falls back to as well. A compiled model runs uncompiled, in the ways that would be traced.

    The model is afterwards as it was: its buffers, the attributes of its modules, gradients, and random
    numbers (torch's own, and generators among the arguments). A monitor that is open counts the call. Other
    threads may call it meanwhile; what they change in it is put back, too.

    Returns:
        The records, whose `str` is a line for each.
    Raises:
        TypeError: model is not an nn.Module.
        ValueError: its weights have no sizes yet (`torch.nn.LazyLinear`). What the call raises.
    """
    check_module("model", model)
    check_initialised(model)
    listener = _Listener(model)
    with _unchanged(model, (*inputs, *kwargs.values())), uncompiled():
        token = listening.set(listener)
        try:
            model(*inputs, **kwargs)
        finally:
            listening.reset(token)
    return Explanation(listener.records)


class _Listener:
    """Is told of every op. Which module runs it is read off the call stack: a hook would change the way."""

    def __init__(self, model: nn.Module) -> None:
        self.records: list[Record] = []
        self.paths: dict[int, str] = {}
        self.compiled: set[int] = set()
        for path, module in model.named_modules():
            parts = [part for part in path.split(".") if part != "_orig_mod"]  # torch.compile's wrapper
            self.paths[id(module)] = ".".join(parts)
            if is_compiled(module):
                self.compiled |= {id(part) for part in module.modules()}

    def __call__(self, op: Op, reason: str | None, begun: bool = False) -> str | None:
        module = self._running(sys._getframe(1))
        path, kind = "", "no module"
        if module is not None:
            path, kind = self.paths[id(module)], type(module).__name__
            if reason is None and id(module) in self.compiled and not op.traced:
                reason = TRACED
            if reason is not None and reason.startswith("."):
                reason = f"{path}{reason}" if path else reason[1:]
        if begun:
            self._count(Record(path, kind, op.name, FUSED, None), -1)
        self._count(Record(path, kind, op.name, FUSED if reason is None else op.slow, reason), 1)
        return reason

    def _running(self, frame: FrameType | None) -> nn.Module | None:
        """The innermost module whose method is running."""
        while frame is not None:
            code = frame.f_code
            first = frame.f_locals.get(code.co_varnames[0]) if code.co_argcount else None
            if isinstance(first, nn.Module) and id(first) in self.paths:
                return first
            frame = frame.f_back
        return None

    def _count(self, new: Record, calls: int) -> None:
        for record in self.records:
            if replace(record, calls=1) == new:
                record.calls += calls
                break
        else:
            self.records.append(new)
        self.records = [record for record in self.records if record.calls]


def uncompiled() -> Any:
    """While it is open, what torch.compile has made runs as it was written."""
    if "torch._dynamo" in sys.modules:
        return torch.compiler.set_stance("force_eager")
    return nullcontext()


@contextmanager
def _unchanged(model: nn.Module, inputs: tuple[Any, ...]) -> Iterator[None]:
    """What a call of `model` changes is put back: attributes, buffers, random numbers."""
    attributes = [(held, dict(held)) for module in model.modules() for held in _held_by(module)]
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    generators = [(one, one.get_state()) for one in inputs if isinstance(one, torch.Generator)]
    cuda = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    try:
        with torch.random.fork_rng(devices=list(cuda)):
            yield
    finally:
        for held, before in attributes:
            # One by one: another thread may be calling the model.
            for key in held.keys() - before.keys():
                del held[key]
            held.update({key: value for key, value in before.items() if held.get(key, held) is not value})
            if list(held) != list(before):  # in another order
                held.clear()
                held.update(before)
        with torch.no_grad():
            for buffer, values in buffers:
                if not buffer.is_meta and not torch.equal(buffer, values):
                    buffer.copy_(values)
        for generator, state in generators:
            generator.set_state(state)


def _held_by(module: nn.Module) -> list[dict[str, Any]]:
    if is_scripted(module):  # its attributes are in C++
        return []
    own = vars(module)
    return [own, *(own[name] for name in ("_parameters", "_buffers", "_modules") if name in own)]
