"""Values rounded to whole multiples of a step that is learnt, and the widths that there are."""

import math

import torch
from torch import Tensor, nn

from ..checks import check_number, only_shapes

BITS = (8, 4, 3)
"""Widths of the operands of a product: 8 is usual, and ceil(log2(T + 1)) = 3 bits hold what T = 5 sub-steps
of spikes do (arXiv 2409.08290)."""
STATE_BITS = 16
"""Of what adds up over time: an LSTM's cell, a GRU's state, a membrane (Li and Alvarez, arXiv 2101.05453)."""
STATE_STEP, STATE_MOST = 2.0**-11, 2**15 - 1  # cells up to 16, to the 2048th


def check_bits(bits: int) -> int:
    """Raises ValueError for a width that operands cannot have here."""
    if bits not in BITS or isinstance(bits, bool):
        raise ValueError(f"bits must be one of {', '.join(map(str, BITS))}, got {bits!r}")
    return bits


def levels(bits: int, signed: bool = True) -> tuple[int, int]:
    """The smallest and largest multiple of the step: as many above zero as below it, or only those above."""
    return (1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


def quantised(x: Tensor, step: Tensor, low: int, high: int) -> Tensor:
    """The multiples of `step`, from `low` to `high` of it, that lie nearest to x.

    Gradients take the rounding for nothing (Esser et al. 2020, LSQ): x has that of the result where it is
    inside, and the step that of each value's rounding, or of the bound.
    """
    scaled = (x / step).clamp(low, high)
    return (scaled.detach().round() + (scaled - scaled.detach())) * step  # exactly whole, times the step


def kept(state: Tensor) -> Tensor:
    """What adds up over time, in the bits that it is kept in."""
    if only_shapes(state):  # torch's function has none
        return state
    return torch.fake_quantize_per_tensor_affine(state, STATE_STEP, 0, -STATE_MOST, STATE_MOST)


class Quantiser(nn.Module):
    """Rounds what comes in to `bits` bits.

    Args:
        bits: 8, 4 or 3.
        signed: values below zero, too; else they become zero, as behind a rectifier.
        mean: mean size of the values to start with; the step starts at 2 * mean / sqrt(largest level), as in
            LSQ. Its logarithm is trained, so that it stays positive and Adam changes it by shares.
        constant: what comes in is a weight, rounded once and for all.
    """

    def __init__(self, bits: int, *, signed: bool = True, mean: float = 0.25, constant: bool = False) -> None:
        super().__init__()
        self.bits, self.signed, self.constant = check_bits(bits), signed, constant
        self.low, self.high = levels(bits, signed)
        self.mean = check_number("mean", mean)
        self.log_step = nn.Parameter(torch.empty(()))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The step that the mean size asks for."""
        nn.init.constant_(self.log_step, math.log(2 * self.mean / math.sqrt(self.high)))

    def suit(self, values: Tensor) -> None:
        """Sets the step to what the mean size of `values` asks for."""
        mean = max(values.detach().abs().mean().item(), 1e-8)
        nn.init.constant_(self.log_step, math.log(2 * mean / math.sqrt(self.high)))

    @property
    def step(self) -> Tensor:
        """The distance of two levels, ()."""
        return self.log_step.exp()

    def forward(self, x: Tensor) -> Tensor:
        """Values of any shape to values of the same shape."""
        return quantised(x, self.step, self.low, self.high)

    def extra_repr(self) -> str:
        return f"{self.bits} bits, {self.low} to {self.high}"
