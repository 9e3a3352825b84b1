"""A call of a module that has been seen, and what of its batch is padding."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from spikeseq.evaluation.energy.follow import Values, joined
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.modules import class_of
from spikeseq.nn import SpikingRNN


@dataclass(frozen=True)
class Ragged:
    """A padded batch: (L, B, ...), or (B, L, ...) if `batch_first`; `lengths` (B,) tokens count."""

    lengths: Tensor
    longest: int
    batch_first: bool = False

    def mask(self, x: Tensor, batch: int = 1) -> Tensor | None:
        """True for the rows of x that count, (L', B), L' a multiple of L; (B, L) if `batch_first`.

        None if x is no such batch.
        """
        lengths = self.lengths.to(x.device)
        if self.batch_first:
            if x.shape[:2] != (len(lengths), self.longest):
                return None
            return torch.arange(self.longest, device=x.device) < lengths.unsqueeze(1)
        steps, left = divmod(len(x), self.longest) if self.longest else (0, 1)
        if left or x.dim() <= batch or x.shape[batch] != len(lengths):
            return None
        return torch.arange(len(x), device=x.device).unsqueeze(1) < lengths * steps

    def rows(self, x: Tensor) -> Tensor:
        """x (*, features) without the rows that are padding, if they stand one behind the other or in 3-D."""
        batch = len(self.lengths)
        if x.dim() == 2 and batch and len(x) % batch == 0:
            size = (batch, -1) if self.batch_first else (-1, batch)
            mask = self.mask(x.unflatten(0, size))
            return x if mask is None else x[mask.flatten()]
        mask = self.mask(x) if x.dim() == 3 else None
        return x if mask is None else x[mask]


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
        lengths = (steps.unsqueeze(1) > torch.arange(int(steps[0]), device=steps.device)).sum(0)
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


Judge = Callable[[Tensor, Values | None], float | None]
"""The number of spikes in a tensor of which something, or nothing, is known; None where it is analog."""


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments by name, its output, and the padded batch that it is part of.

    values: what was known of the arguments. judge: see there.
    """

    arguments: dict[str, Any]
    output: Any
    ragged: Ragged | None
    values: Mapping[str, Values | None]
    judge: Judge

    @property
    def input(self) -> Any:
        return next(iter(self.arguments.values()))

    def spikes(self, x: Tensor, *others: str) -> float | None:
        """The number of spikes in `x`, made of the first argument (and of `others`, by name); or None."""
        names = [next(iter(self.arguments)), *others]
        return self.judge(x, joined([self.values.get(name) for name in names if self.present(name)]))

    def present(self, name: str) -> bool:
        return isinstance(self.arguments.get(name), Tensor | PackedSequence)

    def rows(self, x: Tensor) -> Tensor:
        """x (L, B, features), or (B, L, features), without the rows that are padding."""
        return x if self.ragged is None or x.dim() != 3 else self.ragged.rows(x)


Rule = Callable[[Any, Call], Operations]
"""From a module and a call of it to what it did."""


def bound(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
