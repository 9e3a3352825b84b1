"""Dropout whose mask is drawn once per sequence."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checks import check_share
from ..ops.eager import transformed


def dropout_mask(shape: Sequence[int], p: float, like: Tensor) -> Tensor:
    """Zeros with probability p, rounded to a multiple of 1/256, else 1 / (1 - p): one random byte each.

    A processor draws eight bytes at once, where `bernoulli_` draws a number for every entry.
    """
    silent = min(max(round(256 * p), 1), 255)
    if transformed():  # nothing is drawn into what is there already: each sample may have its own
        kept = torch.randint(0, 256, tuple(shape), dtype=torch.uint8, device=like.device) >= silent
        return kept.to(like.dtype) * (256 / (256 - silent))
    count = math.prod(shape)
    words = torch.empty((count + 7) // 8, dtype=torch.int64, device=like.device).random_(-(2**63), None)
    kept = words.view(torch.uint8)[:count].view(*shape) >= silent
    return kept.to(like.dtype) * (256 / (256 - silent))


class SequenceDropout(nn.Module):
    """Dropout with one mask for all (sub-)steps of a sequence, as the thesis trains (5.4, 6.4).

    A mask drawn anew at every sub-step would average out over time. The mask comes out and goes back in,
    so that a sequence handed over in chunks keeps it.

    Args:
        p: share of the neurons that are silenced, in [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check_share(p)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(L, B, *) in; the same shape and the mask (B, *) out. In evaluation mode both as they came in."""
        if not self.training or self.p == 0:
            return x, mask
        if mask is None:
            mask = dropout_mask(x[0].shape, self.p, x)
        elif mask.shape != x.shape[1:]:
            raise ValueError(f"mask must have shape {tuple(x.shape[1:])}, got {tuple(mask.shape)}")
        return x * mask, mask

    def extra_repr(self) -> str:
        return f"p={self.p}"
