"""Counting by measurement: a model runs on real inputs, and what every layer does is written down."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from spikeseq.evaluation.energy.call import Call, Ragged, Rule, bound
from spikeseq.evaluation.energy.operations import FLOAT, Operations
from spikeseq.evaluation.energy.rules import rule_of
from spikeseq.evaluation.energy.rules_recurrent import quantised_sizes
from spikeseq.nn import (
    AdditiveAttention,
    NormalisedLIF,
    NormalisedReLU,
    SpikingNetwork,
    SpikingRNN,
    StepBatchNorm,
)


@dataclass
class Account:
    """What a model did, per token.

    Args:
        layers: by the name of the module, those that did something.
        unknown: names and types of modules with arithmetic that no rule knows: their cost is missing.
        parameters: values. size: bytes of all parameters and buffers, 8-bit weights as such.
    """

    layers: dict[str, Operations]
    unknown: list[str]
    parameters: int
    size: int

    @property
    def total(self) -> Operations:
        return added(self.layers.values())

    @property
    def spike_rate(self) -> float | None:
        """Spikes per neuron and token (eq. 6.6), the mean over spiking layers; None without any."""
        rates = [layer.spikes / layer.neurons for layer in self.layers.values() if layer.neurons]
        return sum(rates) / len(rates) if rates else None


def added(parts: Iterable[Operations]) -> Operations:
    total = Operations()
    for part in parts:
        total += part
    return total


@torch.no_grad()
def count_operations(
    model: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    *,
    tokens: float,
    rate_tokens: Mapping[str, int] | None = None,
) -> Account:
    """Counts what happens while `model(*args)` runs for every args in `inputs`.

    Padding is not counted where a module says what is padding: by `lengths` of its first argument, (L, B, *)
    or (B, L, *), or by a PackedSequence. Modules inside then know it; images and
    nn.MultiheadAttention do not. Elsewhere give sequences one by one.

    Products and normalisations that are functions outside any known module (`F.linear`, `@`) are named in
    `unknown`, as modules without a rule are. Single additions and scales between modules are not seen.

    Args:
        model: any module; it is run in evaluation mode.
        tokens: tokens (or images) in all inputs, at least 1; results are per token.
        rate_tokens: tokens that pass the layers whose names begin so, where they are others: an encoder's.
            Their spikes are per token of their own; all else stays per one of `tokens`.
    Raises:
        ValueError: there are no tokens.
    """
    if tokens < 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    counter = Counter(model)
    modes = {module: module.training for module in model.modules()}
    whole = [module for module in model.modules() if isinstance(module, SpikingNetwork)]
    pieces = [module.piece for module in whole]
    try:
        model.eval()
        for network in whole:  # a held input is mapped once, however many sub-steps there are
            network.piece = max(network.substeps, network.piece)
        with counter:
            for args in inputs:
                model(*args)
    finally:
        for module, mode in modes.items():
            module.training = mode
        for network, piece in zip(whole, pieces, strict=True):
            network.piece = piece
        counter.remove()
    layers = {}
    for name, found in counter.layers.items():
        layers[name] = found.per(tokens)
        own = next((n for prefix, n in (rate_tokens or {}).items() if name.startswith(prefix)), tokens)
        layers[name].spikes *= tokens / own
    parameters = list(model.parameters())
    stored = sum(p.numel() * p.element_size() for p in [*parameters, *model.buffers()])
    return Account(
        {name: layer for name, layer in layers.items() if layer.as_dict()},
        counter.unknown,
        sum(p.numel() for p in parameters),
        stored + counter.packed_bytes,
    )


FUNCTIONS = {
    *("linear", "bilinear", "matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "addbmm", "addmv", "einsum"),
    *("tensordot", "__matmul__", "__rmatmul__", "conv1d", "conv2d", "conv3d", "layer_norm", "batch_norm"),
    *("group_norm", "rms_norm", "scaled_dot_product_attention", "embedding_bag"),
}
"""Of torch, that cost something wherever they are called."""


class Counter(TorchFunctionMode):
    """Hooks on every module of a model, and an eye on functions called between them.

    `layers`: totals by name; `unknown`: modules that have run and have no rule, and such functions.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.ruled = 0  # modules with a rule that are running
        self.running, self.leaves = ["model"], [False]
        self.layers: dict[str, Operations] = {}
        self.unknown: list[str] = []
        self.packed_bytes = 0
        self.batches: list[Ragged | None] = [None]
        self.hooks: list[Any] = []
        covered: set[str] = set()  # by the rule of the module that they are parts of
        for name, module in model.named_modules():
            rule = rule_of(module)
            covered |= {f"{name}.{part}" if name else part for part in parts_covered(module)}
            if name in covered:
                continue
            self.packed_bytes += packed_bytes(module)
            self._watch(name, module, rule)

    def _watch(self, name: str, module: nn.Module, rule: Rule | None) -> None:
        shown = f"{name or 'model'} ({type(module).__name__})"

        def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            own = ragged(module, bound(module, args, kwargs)) if rule is None else None
            self.batches.append(own or self.batches[-1])
            self.running.append(shown)
            self.leaves.append(has_arithmetic(module))
            self.ruled += rule is not None

        def after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            batch = self.batches.pop()
            self.running.pop()
            self.leaves.pop()
            if rule is not None:
                total = self.layers.setdefault(name, Operations())
                total += rule(module, Call(bound(module, args, kwargs), output, batch))
                self.ruled -= 1
            elif has_arithmetic(module):
                self._miss(shown)

        self.hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
        self.hooks.append(module.register_forward_hook(after, with_kwargs=True))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = getattr(function, "__name__", "")
        if not self.ruled and called in FUNCTIONS:
            where = self.running[-1]
            self._miss(where if self.leaves[-1] else f"{called} in {where}")
        return function(*args, **(kwargs or {}))

    def _miss(self, what: str) -> None:
        if what not in self.unknown:
            self.unknown.append(what)

    def remove(self) -> None:
        for hook in self.hooks:
            hook.remove()


def parts_covered(module: nn.Module) -> list[str]:
    """Names of the parts that the rule of a module accounts for."""
    if isinstance(module, nn.MultiheadAttention):
        return [name for name, _ in module.named_modules() if name]
    if "quantized.dynamic" in type(module).__module__:
        return [name for name, _ in module.named_modules() if name]
    if isinstance(module, NormalisedLIF | NormalisedReLU):
        return ["batch"]
    if isinstance(module, StepBatchNorm):
        return [name for name, _ in module.named_modules() if name]
    return ["score"] if isinstance(module, AdditiveAttention) else []


def ragged(module: nn.Module, arguments: dict[str, Any]) -> Ragged | None:
    """The padded batch that a module says it has."""
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
    batch_first = first.shape[1] != len(given) or getattr(module, "batch_first", False)
    if first.shape[0 if batch_first else 1] != len(given):
        return None
    # What a module of ours has turned by itself goes on time first.
    turned = batch_first and isinstance(module, SpikingRNN)
    return Ragged(given, first.shape[1 if batch_first else 0], batch_first and not turned)


def has_arithmetic(module: nn.Module) -> bool:
    """Whether a module without a rule does something of its own: it has no parts, or a matrix."""
    leaf = not any(True for _ in module.children())
    return leaf or any(p.dim() > 1 for p in module.parameters(recurse=False))


def packed_bytes(module: Any) -> int:
    """Bytes of 8-bit weights, which torch hides from `parameters`."""
    if "quantized.dynamic" not in type(module).__module__:
        return 0
    if hasattr(module, "out_features"):
        return int(module.in_features * module.out_features + FLOAT * module.out_features)
    if not hasattr(module, "hidden_size"):
        return 0
    _, weights, biases = quantised_sizes(module)
    return weights + FLOAT * biases
