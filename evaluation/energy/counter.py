"""What watches a model while it is counted: calls of its modules, and the operations between them."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.utils._python_dispatch import TorchDispatchMode

from spikeseq.evaluation.energy import rules
from spikeseq.evaluation.energy.call import Call, Ragged, bound
from spikeseq.evaluation.energy.follow import ANALOG, BINARY, Known, Values, tensors
from spikeseq.evaluation.energy.operations import FLOAT, Operations, spikes_in, spikes_of_height
from spikeseq.evaluation.energy.products import COUNTED, Seen, kind_of
from spikeseq.evaluation.energy.rules_recurrent import quantised_sizes
from spikeseq.modules import class_of
from spikeseq.nn import SpikingRNN


@dataclass
class Frame:
    """A call that is under way.

    ruled: its `forward` runs, and a rule will count it; before and after, hooks run, which no rule knows.
    leaf: the module has no parts. counted, small, missed: what operations have been seen that no rule counts.
    """

    module: nn.Module | None
    name: str
    shown: str
    batch: Ragged | None
    leaf: bool = False
    ruled: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Values | None] = field(default_factory=dict)
    counted: bool = False
    small: bool = False
    missed: list[str] = field(default_factory=list)


class Counter(TorchDispatchMode):
    """Hooks on every module of a model, and an eye on the operations below them.

    `layers`: totals by name; `unknown`, `guessed`: as `counting.Account` has them.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.layers: dict[str, Operations] = {}
        self.unknown: dict[str, None] = {}
        self.guessed: dict[str, None] = {}
        self.known = Known()
        self.frames = [Frame(None, "", "model", None)]
        self.packed_bytes = 0
        self.busy = False
        self.hooks: list[Any] = []
        self.readers = readers(model)
        done: set[str] = set()  # by the rule of the module that they are parts of
        for name, module in model.named_modules():
            if name in done:
                continue
            known = rules.known(module)
            if known is not None:
                prefix = f"{name}." if name else ""
                done |= {prefix + part for part, _ in rules.covered(module, known)}
            self.packed_bytes += packed_bytes(module)
            self._watch(name, module, known)
        for x in [*model.parameters(), *model.buffers()]:
            self.known.set(x, Values(weight=True))

    def run(self, model: nn.Module, args: tuple[Any, ...], kind: str) -> None:
        """One pass; `kind` of its inputs as `count_operations`."""
        for x in tensors(args):
            if x.is_floating_point():
                self.known.set(x, {"analog": ANALOG, "spikes": BINARY}.get(kind))
        model(*args)

    def _watch(self, name: str, module: nn.Module, known: rules.Known | None) -> None:
        shown = f"{name or 'model'} ({type(module).__name__})"

        # Hooks of others run between `opens` and `enters`, and between `leaves` and `closes`.
        def opens(module: nn.Module, args: Any, kwargs: Any) -> None:
            leaf = not any(True for _ in module.children())
            self.frames.append(Frame(module, name, shown, self.frames[-1].batch, leaf))

        def enters(module: nn.Module, args: Any, kwargs: Any) -> None:
            frame = self.frames[-1]
            arguments = bound(module, args, kwargs)
            if known is None:
                frame.batch = self._ragged(module, arguments, shown) or frame.batch
                return
            frame.ruled, frame.arguments = True, arguments
            frame.values = {key: self.known.get(tensor_of(x)) for key, x in arguments.items()}

        def leaves(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            frame = self._frame_of(module)
            if known is None or not frame.ruled or output is None:  # None: it has raised
                frame.ruled = False
                return
            self.busy = True
            call = Call(frame.arguments, output, frame.batch, frame.values, self._judge(name, shown))
            self._add(name, known.rule(module, call))
            self.busy = frame.ruled = False
            frame.counted = True
            self._declare(module, known, frame.arguments, output)

        def closes(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            frame = self._frame_of(module)
            self.frames.pop()
            silent = frame.leaf and not frame.counted
            if silent and (frame.small or frame.missed):
                self.unknown[shown] = None
            elif not silent:
                self.unknown.update(dict.fromkeys(frame.missed))

        add, after = module.register_forward_pre_hook, module.register_forward_hook
        self.hooks += [
            add(opens, with_kwargs=True, prepend=True),
            add(enters, with_kwargs=True),
            after(leaves, with_kwargs=True, prepend=True, always_call=True),
            after(closes, with_kwargs=True, always_call=True),
        ]

    def _frame_of(self, module: nn.Module) -> Frame:
        """The frame of a module that is left; those of calls inside that have raised are dropped."""
        while self.frames[-1].module is not module:
            self.frames.pop()
        return self.frames[-1]

    def _add(self, name: str, found: Operations) -> None:
        total = self.layers.setdefault(name, Operations())
        total += found

    def _declare(self, module: Any, known: rules.Known, arguments: dict[str, Any], output: Any) -> None:
        """Writes down what a module says that it emits."""
        outputs = list(tensors(output))
        emits = getattr(module, "emits", None)
        if emits is not None and class_of(module).__module__.startswith("spikeseq."):
            self.known.set(outputs[0], Values(emits(arguments)))
            outputs = outputs[1:]
        elif known.passes:
            return
        for x in outputs:
            if self.known.get(x) is None and x.is_floating_point():
                self.known.set(x, ANALOG)

    def _judge(self, name: str, shown: str) -> Any:
        def judge(x: Tensor, values: Values | None) -> float | None:
            if values is not None and values.height is None:
                return None
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
        frame = self.frames[-1]
        if not frame.ruled and kind != "free":
            if kind == "counted" and all(x.layout == torch.strided for x in tensors((args, kwargs))):
                judge = self._judge(frame.name, frame.shown)
                rows = (lambda x: x) if frame.batch is None else frame.batch.rows
                seen = Seen(
                    args, kwargs, out, self.known, lambda x, part: judge(part, self.known.get(x)), rows
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
            self.known.pass_on(name, args, kwargs, out, changed)

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.unknown.update(dict.fromkeys(self.frames[0].missed))


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


def readers(model: nn.Module) -> set[str]:
    """Names of the maps whose input is spikes, as the layers that they are parts of say."""
    found = set()
    for name, module in model.named_modules():
        if hasattr(module, "spiking_maps"):
            found |= {f"{name}.{part}" if name else part for part in module.spiking_maps()}
    return found


class Ambiguous(Exception):
    """Tokens and batch cannot be told apart."""


def ragged(module: nn.Module, arguments: dict[str, Any]) -> Ragged | None:
    """The padded batch that a module says it has.

    Raises:
        Ambiguous: the batch may be either of the first two dimensions, and the module does not say which.
    """
    first = next((value for value in arguments.values() if isinstance(value, Tensor | PackedSequence)), None)
    if isinstance(first, PackedSequence):
        steps = first.batch_sizes
        lengths = (steps.unsqueeze(1) > torch.arange(int(steps[0]))).sum(0)
        if first.unsorted_indices is not None:
            lengths = lengths[first.unsorted_indices.cpu()]
        return Ragged(lengths, len(steps))
    given = arguments.get("lengths")
    if not isinstance(given, Tensor) or first is None or first.dim() < 2 or given.dim() != 1:
        return None
    told = getattr(module, "batch_first", None)
    if told is None and first.shape[0] == first.shape[1] == len(given):
        raise Ambiguous
    batch_first = first.shape[1] != len(given) or bool(told)
    if first.shape[0 if batch_first else 1] != len(given):
        return None
    # What a module of ours has turned by itself goes on time first.
    turned = batch_first and issubclass(class_of(module), SpikingRNN)
    return Ragged(given, first.shape[1 if batch_first else 0], batch_first and not turned)


def packed_bytes(module: Any) -> int:
    """Bytes of 8-bit weights, which torch hides from `parameters`."""
    if "quantized.dynamic" not in class_of(module).__module__:
        return 0
    if hasattr(module, "out_features"):
        return int(module.in_features * module.out_features + FLOAT * module.out_features)
    if not hasattr(module, "hidden_size"):
        return 0
    _, weights, biases = quantised_sizes(module)
    return weights + FLOAT * biases
