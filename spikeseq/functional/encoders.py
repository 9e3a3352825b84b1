"""From analog values to what a spiking network is shown at each sub-step."""

import torch
from torch import Tensor

from ..checks import check_number, check_tensor, positive_int


def direct(x: Tensor, substeps: int) -> Tensor:
    """Direct coding (thesis 5.3.1): x (*) itself at every sub-step, (substeps, *), without a copy.

    Layers take `substeps` instead, so that the first map is computed once.

    Raises:
        TypeError, ValueError: x is not a Tensor; substeps is not an integer of at least 1.
    """
    return check_tensor("x", x).expand(positive_int("substeps", substeps), *x.shape)


def poisson(
    x: Tensor,
    substeps: int,
    *,
    rate: float = 1.0,
    generator: torch.Generator | None = None,
    alike: bool = False,
) -> Tensor:
    """Poisson rate coding (thesis 4.5): spikes (substeps, *) that fire with probability rate * |x|.

    Where x is negative, as a normalised pixel can be, its spikes count -1. Where |x| is above 1 / rate it is
    clipped, as in the thesis: it fires at every sub-step, and cannot more often.

    Args:
        x: (*), floating point.
        substeps: how many spikes a value can have at most.
        rate: probability of a spike where |x| is 1, in (0, 1]. Default 1: the most that can be told in the
            sub-steps there are.
        generator: random numbers, so that the same spikes come again.
        alike: the same random numbers for all of dimension 0, so that none depends on what it is drawn with.
    Returns:
        -1, 0 and 1 in the dtype of x. No gradient passes.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """
    if not check_tensor("x", x).is_floating_point():
        raise TypeError(f"x must be floating point, got {x.dtype}; pixels are divided by 255")
    positive_int("substeps", substeps)
    if not 0 < check_number("rate", rate) <= 1:
        raise ValueError(f"rate must lie in (0, 1], got {rate}")
    x = x.detach()
    shape = (1, *x.shape[1:]) if alike else x.shape
    drawn = torch.rand((substeps, *shape), generator=generator, device=x.device, dtype=torch.float32)
    return (drawn < rate * x.abs()).to(x.dtype) * x.sign()
