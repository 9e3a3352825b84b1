"""Fewer synapses and fewer weight values (thesis chapter 2): pure functions of weights (inputs, neurons).

A synapse whose weight is set to zero may grow again; one that `Network.prune` takes away stays at zero.
"""

import torch
from torch import Tensor

from .numbers import probability


def critical(weight: Tensor, threshold: float) -> Tensor:
    """Which synapses the thesis keeps: those with weights above `threshold` (section 2.3.1). A mask."""
    return weight > threshold


def strongest(weight: Tensor, share: float) -> Tensor:
    """Which synapses are the strongest `share` of each neuron's. A mask.

    By neuron and not over all: a percentile of all weights, many of which are equal once they are shared,
    takes whole neurons away.
    """
    probability("share", share)
    kept = max(1, round(share * len(weight)))
    order = weight.argsort(dim=0, descending=True, stable=True)
    return torch.zeros_like(weight, dtype=torch.bool).scatter_(0, order[:kept], True) & (weight > 0)


def at_random(weight: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """As many synapses of each neuron, chosen at random: pruning before training. A mask."""
    probability("share", share)
    noise = torch.rand(weight.shape, generator=generator)
    kept = max(1, round(share * len(weight)))
    return torch.zeros_like(weight, dtype=torch.bool).scatter_(0, noise.argsort(0)[:kept], True)


def shared(weight: Tensor, levels: int) -> Tensor:
    """The weights that are left share few values (thesis section 2.3.2), each neuron its own.

    One value for the weights of all neurons, as in the thesis, gives a neuron with many synapses a larger
    sum than one with few; its own mean keeps its sum.

    Args:
        levels: with zero: 2, all others become their mean; 3, those up to the median of the others become
            their mean, those above it theirs.
    """
    if levels not in (2, 3):
        raise ValueError(f"levels must be 2 or 3, got {levels}")
    left = weight > 0
    if levels == 2:
        return means(weight, left)
    ranks = torch.where(left, weight, torch.inf).argsort(dim=0, stable=True).argsort(dim=0)
    low = left & (ranks < (left.sum(0) + 1) // 2)
    return means(weight, low) + means(weight, left & ~low)


def means(weight: Tensor, chosen: Tensor) -> Tensor:
    """The mean of each neuron's chosen weights in their places, zero elsewhere."""
    return chosen * ((weight * chosen).sum(0) / chosen.sum(0).clamp_min(1))


def connectivity(weight: Tensor) -> float:
    """Share of the synapses whose weight is not zero."""
    return float((weight != 0).double().mean())
