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
    """Weights that are left share few values (thesis section 2.3.2).

    Args:
        levels: with zero: 2, all others become their mean; 3, those up to the median of the others become
            their mean, those above it theirs.
    """
    if levels not in (2, 3):
        raise ValueError(f"levels must be 2 or 3, got {levels}")
    left = weight > 0
    if not left.any():
        return weight.clone()
    values = weight[left]
    if levels == 2:
        return torch.where(left, values.mean(), 0.0)
    low = weight <= values.median()
    made = torch.zeros_like(weight)
    for part in (left & low, left & ~low):
        if part.any():
            made[part] = weight[part].mean()
    return made


def connectivity(weight: Tensor) -> float:
    """Share of the synapses whose weight is not zero."""
    return float((weight != 0).double().mean())
