"""A call of a module that has been seen, and what of its batch is padding."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.energy.operations import Operations


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


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments by name, its output, and the padded batch that it is part of."""

    arguments: dict[str, Any]
    output: Any
    ragged: Ragged | None

    @property
    def input(self) -> Any:
        return next(iter(self.arguments.values()))

    def rows(self, x: Tensor) -> Tensor:
        """x (*, features) without the rows that are padding."""
        mask = None if self.ragged is None or x.dim() != 3 else self.ragged.mask(x)
        return x if mask is None else x[mask]


Rule = Callable[[Any, Call], Operations]
"""From a module and a call of it to what it did."""


def bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    try:
        return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
