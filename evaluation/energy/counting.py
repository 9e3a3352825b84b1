"""Counting by measurement: a model runs on real inputs, and what every layer does is written down."""

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from spikeseq.checks import check_module, check_number, choice
from spikeseq.evaluation.energy.counter import Counter
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.explain import uncompiled
from spikeseq.modules import class_of
from spikeseq.nn import SpikingNetwork

INPUTS = ("unknown", "analog", "spikes")


@dataclass
class Account:
    """What a model did, per token.

    Args:
        layers: by the name of the module, those that did something.
        unknown: names and types of modules whose cost is missing, and operations with the module they run in.
        guessed: modules whose input was taken for spikes because of its values, and whose padding could not
            be told.
        parameters: values. size: bytes of all parameters and buffers, 8-bit weights as such.
    """

    layers: dict[str, Operations]
    unknown: list[str]
    guessed: list[str]
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


def to_evaluation(model: nn.Module) -> None:
    """As `model.eval()`; what has one mode for good (frozen by torch.jit, exported) keeps it."""
    if hasattr(model, "training"):
        with suppress(NotImplementedError):
            model.eval()


@torch.no_grad()
def count_operations(
    model: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    *,
    tokens: float,
    rate_tokens: Mapping[str, int] | None = None,
    input_kind: str = "unknown",
) -> Account:
    """Counts what happens while `model(*args)` runs for every args in `inputs`.

    A module that is exactly of a known class is counted by the rule of its class. What any other does, its
    hooks and those of known ones, is counted or named operation by operation: plain products,
    normalisations, softmax and look-ups are counted; views, copies, single values (pointwise) and reductions
    are not seen; all else is named in `unknown`.

    Whether a map reads spikes follows from what emitted them: layers of this library say so, and what is
    compared with a threshold is 0 and 1. Only where nothing is known does an input's own look decide
    (`operations.spikes_in`), and where that takes it for spikes the module is named in `guessed`.

    Padding is not counted where a module says what is padding: by `lengths` of its first argument, (L, B, *)
    or (B, L, *) if `module.batch_first`, or by a PackedSequence. Modules inside then know it; images and
    attention of torch do not. Where L equals B and the module has no `batch_first`, padding is counted
    and the module named in `guessed`. Elsewhere give sequences one by one.

    Args:
        model: any module; it is run in evaluation mode, uncompiled. What other threads do with it meanwhile
            is not counted.
        tokens: tokens (or images) in all inputs, at least 1; results are per token.
        rate_tokens: tokens that pass the layers whose names begin so, where they are others: an encoder's.
            Their spikes are per token of their own; all else stays per one of `tokens`.
        input_kind: what floating-point inputs are: "analog" (pixels, vectors), "spikes" (0, 1 and sums of
            them, such as counts of events), or "unknown": their values decide.
    Raises:
        ValueError: there are no tokens, or no such kind.
    """
    check_module("model", model)
    if not check_number("tokens", tokens) >= 1:
        raise ValueError(f"tokens must be at least 1, got {tokens}")
    counter = Counter(model)
    choice("input_kind", input_kind, INPUTS)
    modes = [(module, module.training) for module in model.modules() if hasattr(module, "training")]
    whole: list[Any] = [module for module in model.modules() if issubclass(class_of(module), SpikingNetwork)]
    pieces = [module.piece for module in whole]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        to_evaluation(model)
        torch.backends.mha.set_fastpath_enabled(False)  # it passes modules by
        for network in whole:  # a held input is mapped once, however many sub-steps there are
            network.piece = max(network.substeps, network.piece)
        with counter, uncompiled():
            for args in inputs:
                if not isinstance(args, tuple | list):
                    kind = type(args).__name__
                    raise TypeError(f"inputs must be tuples of a call's arguments, such as (x,), got {kind}")
                counter.run(model, args, input_kind)
    finally:
        for module, mode in modes:
            module.training = mode
        for network, piece in zip(whole, pieces, strict=True):
            network.piece = piece
        torch.backends.mha.set_fastpath_enabled(fast)
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
        list(counter.unknown),
        list(counter.guessed),
        sum(p.numel() for p in parameters),
        math.ceil(stored + counter.packed_bytes),
    )
