"""Padded batches: which tokens count, and what is behind a sequence's end taken out."""

import torch
from torch import Tensor


def inside(lengths: Tensor, longest: int) -> Tensor:
    """(longest, B) bool: which tokens of a padded batch count."""
    return torch.arange(longest, device=lengths.device).unsqueeze(1) < lengths


def cut(x: Tensor, lengths: Tensor | None, batch: int = 1) -> Tensor:
    """x (L, *) with zeros behind each sequence's end, whatever stood there; `batch` is its dimension.

    A product with zero does not do that: what is not finite would reach every gradient.
    """
    if lengths is None:
        return x
    shape = [1] * x.dim()
    shape[0], shape[batch] = x.shape[0], x.shape[batch]
    return x.masked_fill(~inside(lengths, x.shape[0]).view(shape), 0)
