"""What watches a model while it is counted: calls of its modules, and the operations between them."""

from dataclasses import dataclass, field
from functools import lru_cache
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode

from spikeseq import watch
from spikeseq.checks import has_values
from spikeseq.evaluation.energy import rules
from spikeseq.evaluation.energy.call import Ambiguous, Call, Ragged, bound, ragged
from spikeseq.evaluation.energy.follow import ANALOG, BINARY, Known, Values, tensors
from spikeseq.evaluation.energy.operations import FLOAT, Operations, spikes_in, spikes_of_height
from spikeseq.evaluation.energy.products import COUNTED, Seen, kind_of
from spikeseq.evaluation.energy.rules_recurrent import quantised_sizes
from spikeseq.modules import check_initialised, class_of, oddity, spiking_maps
from spikeseq.watch import Watcher

VALUELESS = (
    "works on tensors without values (meta or fake), in which no spikes can be counted; run the model on a"
    " device that has values"
)


@dataclass
class Frame:
    """A call that is under way, as the counter sees it.

    ruled: its `forward` runs, which a rule counts. values: what was known of its arguments. leaf: the module
    has no parts. counted, small, missed: operations that have been seen, which no rule counts.
    """

    name: str
    shown: str
    batch: Ragged | None = None
    leaf: bool = False
    ruled: bool = False
    counted: bool = False
    small: bool = False
    values: dict[str, Values | None] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


class Apart:
    """Stands for the forward of a module while its forward pre-hooks run, and is gone when it is called.

    Copies of the module have their own forward in its place.
    """

    def __init__(self, module: nn.Module, run: Any) -> None:
        self.module, self.run, self.thread = module, run, get_ident()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.thread != get_ident():  # another thread calls the module; what waits here is not for it
            return type(self.module).forward(self.module, *args, **kwargs)
        vars(self.module).pop("forward", None)
        return self.run(self.module, args, kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.module, "forward")


class Counter(TorchDispatchMode):
    """Watches every module of a model, and the operations below them.

    `layers`: totals by name; `unknown`, `guessed`: as `counting.Account` has them.
    """

    def __init__(self, model: nn.Module) -> None:
        check_initialised(model)
        super().__init__()
        self.layers: dict[str, Operations] = {}
        self.unknown: dict[str, None] = {}
        self.guessed: dict[str, None] = {}
        self.values = Known()
        self.outside = Frame("", "model")
        self.packed_bytes = 0.0
        self.busy = False
        self.rules: dict[int, rules.Known] = {}  # by identity: modules may define equality
        self.open: list[nn.Module] = []  # those whose forward is seen apart from their hooks
        self.readers: set[str] = set()  # maps whose input is spikes, as the layers that they are parts of say
        watched, done = {}, set[str]()  # by the rule of the module that they are parts of
        for name, module in model.named_modules():
            prefix = f"{name}." if name else ""
            self.readers |= {prefix + part for part in spiking_maps(module)}
            if name in done and not oddity(module):
                continue
            watched[name] = module
            self.packed_bytes += packed_bytes(module)
            if known := rules.free if name in done else rules.known(module):
                done |= {prefix + part for part, _ in rules.covered(module, known)}
                self.rules[id(module)] = known
                if oddity(module):
                    self.open.append(module)
        for x in [*model.parameters(), *model.buffers()]:
            self.values.set(x, Values(weight=True))
        self.watcher = Watcher(watched, before=self._begins, after=self._ends)

    def run(self, model: nn.Module, args: tuple[Any, ...], kind: str) -> None:
        """One pass; `kind` of its inputs as `count_operations`."""
        for x in tensors(args):
            if x.is_floating_point():
                self.values.set(x, {"analog": ANALOG, "spikes": BINARY}.get(kind))
        model(*args)

    @property
    def frame(self) -> Frame:
        """Of the innermost call."""
        running = self.watcher.running
        return running[-1].note if running else self.outside

    def _begins(self, call: watch.Call) -> None:
        module, (*around, _) = call.module, self.watcher.running
        batch = around[-1].note.batch if around else None
        frame = Frame(call.name, f"{call.name or 'model'} ({type(module).__name__})", batch)
        frame.leaf = not any(True for _ in module.children())
        call.note = frame
        if id(module) not in self.rules or transformed():
            frame.batch = self._ragged(module, call.arguments, frame.shown) or frame.batch
        elif any(module is one for one in self.open):
            vars(module)["forward"] = Apart(module, self._seen)
        else:
            frame.ruled = True
            frame.values = self._known(call.arguments)

    def _ends(self, call: watch.Call) -> None:
        frame, module = call.note, call.module
        if frame.ruled:
            self._count(module, frame, call.arguments, frame.values, call.output)
        silent = frame.leaf and not frame.counted
        if silent and (frame.small or frame.missed):
            self.unknown[frame.shown] = None
        elif not silent:
            self.unknown.update(dict.fromkeys(frame.missed))

    def _seen(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Runs the `forward` of a module apart from its hooks, which no rule knows."""
        running = self.watcher.running
        if get_ident() != self.watcher.thread or not running or running[-1].module is not module:
            return module.forward(*args, **kwargs)  # a call in another thread, or after a hook that failed
        frame = self.frame
        arguments = bound(module.forward, args, kwargs)
        values = self._known(arguments)
        frame.ruled = True
        output = module.forward(*args, **kwargs)
        self._count(module, frame, arguments, values, output)
        return output

    def _known(self, arguments: dict[str, Any]) -> dict[str, Values | None]:
        return {name: self.values.get(tensor_of(x)) for name, x in arguments.items()}

    def _count(self, module: Any, frame: Frame, arguments: Any, values: Any, output: Any) -> None:
        """By the rule of a module, whose call is over."""
        known = self.rules[id(module)]
        if hasattr(module, "emits") and not all(map(has_values, tensors(output))):
            raise ValueError(f"{frame.shown} {VALUELESS}")
        self.busy = True
        call = Call(arguments, output, frame.batch, values, self._judge(frame.name, frame.shown))
        self._add(frame.name, known.rule(module, call))
        self.busy = frame.ruled = False
        frame.counted = True
        self._declare(module, known, arguments, output)

    def _add(self, name: str, found: Operations) -> None:
        total = self.layers.setdefault(name, Operations())
        total += found

    def _declare(self, module: Any, known: rules.Known, arguments: dict[str, Any], output: Any) -> None:
        """Writes down what a module says that it emits."""
        outputs = list(tensors(output))
        emits = getattr(module, "emits", None)
        if emits is not None and class_of(module).__module__.startswith("spikeseq."):
            self.values.set(outputs[0], Values(emits(arguments)))
            outputs = outputs[1:]
        elif known.passes:
            return
        for x in outputs:
            if self.values.get(x) is None and x.is_floating_point():
                self.values.set(x, ANALOG)

    def _judge(self, name: str, shown: str) -> Any:
        def judge(x: Tensor, values: Values | None) -> float | None:
            if values is not None and values.height is None:
                return None
            if not has_values(x):
                raise ValueError(f"{shown} {VALUELESS}")
            found = None if values is None else spikes_of_height(x, values.height or 0.0)
            if found is None:
                found = spikes_in(x)
                if found is not None and name not in self.readers:
                    self.guessed[shown] = None
            return found

        return judge

    def _ragged(self, module: nn.Module, arguments: dict[str, Any], shown: str) -> Ragged | None:
        try:
            return ragged(module, arguments)
        except Ambiguous:
            self.guessed[f"padding in {shown}"] = None
            return None

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not self.busy and torch.is_inference_mode_enabled():  # operations arrive whole there
            with self:
                parts = function.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        out = function(*args, **kwargs)
        if not self.busy:
            self.busy = True
            try:
                self._see(function, args, kwargs, out)
            finally:
                self.busy = False
        return out

    def _see(self, function: Any, args: Any, kwargs: Any, out: Any) -> None:
        kind, name, written = traits(function)
        frame = self.frame
        if not frame.ruled and kind != "free":
            if kind == "counted" and all(x.layout == torch.strided for x in tensors((args, kwargs))):
                judge = self._judge(frame.name, frame.shown)
                rows = (lambda x: x) if frame.batch is None else frame.batch.rows
                seen = Seen(
                    args, kwargs, out, self.values, lambda x, part: judge(part, self.values.get(x)), rows
                )
                found = COUNTED[name](seen)
                if found == Operations():
                    frame.small = True
                else:
                    frame.counted = True
                    self._add(frame.name, found)
            elif kind == "small":
                frame.small = True
            else:
                frame.missed.append(f"{name} in {frame.shown}")
        if function._schema.name.startswith("aten::"):
            changed = [x for place in written for x in tensors(argument(place, args, kwargs))]
            self.values.pass_on(name, args, kwargs, out, changed, mixes=kind in ("counted", "unknown"))

    def remove(self) -> None:
        self.watcher.close()
        for module in self.open:
            vars(module).pop("forward", None)
        self.unknown.update(dict.fromkeys(self.outside.missed))


@lru_cache(maxsize=4096)
def traits(function: Any) -> tuple[str, str, tuple[tuple[int, str], ...]]:
    """The kind of an operation, its name, and which arguments it writes into, by place and name."""
    schema = function._schema
    space, name = schema.name.split("::")
    written = tuple(
        (i, one.name) for i, one in enumerate(schema.arguments) if one.alias_info and one.alias_info.is_write
    )
    return kind_of(function), name.removesuffix("_") if space == "aten" else schema.name, written


def argument(place: tuple[int, str], args: Any, kwargs: Any) -> Any:
    return args[place[0]] if place[0] < len(args) else kwargs.get(place[1])


def tensor_of(x: Any) -> Any:
    return x.data if isinstance(x, PackedSequence) else x


def transformed() -> bool:
    """Whether a transform of torch.func is running: its tensors have no values that a rule could read."""
    return torch._C._are_functorch_transforms_active()  # type: ignore[attr-defined,no-any-return]


def packed_bytes(module: Any) -> float:
    """Bytes of 8-bit weights, which torch hides from `parameters`; less those that few bits do without."""
    if class_of(module).__module__.startswith("spikeseq.quantisation."):
        return -float(getattr(module, "spare_bytes", 0.0))
    if "quantized.dynamic" not in class_of(module).__module__:
        return 0
    if hasattr(module, "out_features"):
        return int(module.in_features * module.out_features + FLOAT * module.out_features)
    if not hasattr(module, "hidden_size"):
        return 0
    _, weights, biases = quantised_sizes(module)
    return weights + FLOAT * biases
