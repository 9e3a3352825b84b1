"""Padded batches: which tokens count, and what is behind a sequence's end taken out."""

import torch
from torch import Tensor

from ..checks import has_values
from ..ops.eager import traced


def inside(lengths: Tensor, longest: int) -> Tensor:
    """(longest, B) bool: which tokens of a padded batch count."""
    return torch.arange(longest, device=lengths.device).unsqueeze(1) < lengths


def all_count(lengths: Tensor, longest: int) -> bool:
    """Whether nothing is padding, where that is known without waiting for a device or fixing a trace."""
    known = lengths.device.type == "cpu" and traced() is None and has_values(lengths)
    return known and lengths.numel() > 0 and int(lengths.min()) >= longest


def whole(lengths: object, x: Tensor) -> bool:
    """Whether `lengths` say of sequences x (L, B, *), in the form that a layer takes, that none is padded."""
    return (
        isinstance(lengths, Tensor)
        and lengths.dtype == torch.int64
        and lengths.shape == x.shape[1:2]
        and all_count(lengths, x.shape[0])
        and int(lengths.max()) == x.shape[0]
    )


def cut(x: Tensor, lengths: Tensor | None, batch: int = 1) -> Tensor:
    """x (L, *) with zeros behind each sequence's end, whatever stood there; `batch` is its dimension.

    A product with zero does not do that: what is not finite would reach every gradient.
    """
    if lengths is None or all_count(lengths, x.shape[0]):
        return x
    shape = [1] * x.dim()
    shape[0], shape[batch] = x.shape[0], x.shape[batch]
    return x.masked_fill(~inside(lengths, x.shape[0]).view(shape), 0)
