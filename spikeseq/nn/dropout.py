"""Dropout whose mask is drawn once per sequence."""

import torch
from torch import Tensor, nn


class SequenceDropout(nn.Module):
    """Dropout with one mask for all (sub-)steps of a sequence, as the thesis trains (5.4, 6.4).

    A mask drawn anew at every sub-step would average out over time. The mask comes out and goes back in,
    so that a sequence handed over in chunks keeps it.

    Args:
        p: share of the neurons that are silenced, in [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if isinstance(p, bool) or not isinstance(p, int | float):
            raise TypeError(f"p must be a number, got {p!r}")
        if not 0 <= p < 1:
            raise ValueError(f"p must lie in [0, 1), got {p}")
        self.p = p

    def forward(self, x: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(L, B, *) in; the same shape and the mask (B, *) out. In evaluation mode both as they came in."""
        if not self.training or self.p == 0:
            return x, mask
        if mask is None:
            mask = torch.empty_like(x[0]).bernoulli_(1 - self.p).div_(1 - self.p)
        elif mask.shape != x.shape[1:]:
            raise ValueError(f"mask must have shape {tuple(x.shape[1:])}, got {tuple(mask.shape)}")
        return x * mask, mask

    def extra_repr(self) -> str:
        return f"p={self.p}"
