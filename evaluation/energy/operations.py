"""What a layer does with an input, as counts, and the spikes that decide which kind of operation it is."""

from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from spikeseq.quantisation import STATE_BITS

FLOAT = 4  # bytes
STATE = STATE_BITS / 8  # bytes of a state beside operands of few bits


@dataclass
class Operations:
    """Counts of one layer, or of many added up. All are totals until `per` divides them.

    Args:
        macs: analog value times weight, added to a sum.
        acs: one spike into one weight, added to a sum. A look-up that is added is none or one per feature.
        int8_macs, int4_macs, int3_macs: multiply-accumulates of values of so many bits.
        int_acs: as acs, into a sum of whole numbers. int_updates: as updates, of membranes of 16 bits.
        int_multiplies, int_adds: as multiplies and adds, of whole numbers of 16 bits.
        updates: of neurons, per sub-step: leak multiply, add, compare.
        multiplies, adds: of single values: normalisation, gates, biases, resets. A function such as exp or
            tanh counts as one multiply, which is too cheap for it.
        weight_bytes: read from weights, once for every use, as where one token comes after the other.
        dense_bytes: what maps would read of weights if each were read for every row, spikes or none: what
            sequences that are computed together share. 0 for look-ups, of which each reads its own rows.
        state_bytes: membranes and other states, read and written.
        activation_bytes: what goes in and comes out: 4 bytes a value; a spike is 4 bytes too, its address.
            Of few bits both are smaller: a value has its bits, a neuron a bit in every sub-step.
        spikes: of neurons, and `neurons` of that layer: eq. 6.6 needs both.
    """

    macs: float = 0.0
    acs: float = 0.0
    int8_macs: float = 0.0
    int4_macs: float = 0.0
    int3_macs: float = 0.0
    int_acs: float = 0.0
    int_updates: float = 0.0
    int_multiplies: float = 0.0
    int_adds: float = 0.0
    updates: float = 0.0
    multiplies: float = 0.0
    adds: float = 0.0
    weight_bytes: float = 0.0
    dense_bytes: float = 0.0
    state_bytes: float = 0.0
    activation_bytes: float = 0.0
    spikes: float = 0.0
    neurons: float = 0

    def __iadd__(self, other: "Operations") -> "Operations":
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.neurons = max(self.neurons, other.neurons)
        return self

    def per(self, tokens: float) -> "Operations":
        """Per token."""
        return Operations(**{name: getattr(self, name) / tokens for name in COUNTS}, neurons=self.neurons)

    def together(self, batch: int) -> "Operations":
        """The same where `batch` sequences are computed together, and a weight is read once for all of them.

        Of a map of spikes only the rows that one of them needs are read, at most each on its own.
        """
        shared = min(self.weight_bytes, self.dense_bytes / batch) if self.dense_bytes else self.weight_bytes
        return replace(self, weight_bytes=shared)

    def as_dict(self) -> dict[str, Any]:
        """What is not zero; `spike_rate` in the place of spikes and neurons."""
        found = self.counts()
        return found | ({"spike_rate": self.spikes / self.neurons} if self.neurons else {})

    def counts(self) -> dict[str, float]:
        """What is not zero of all but the spikes."""
        return {name: getattr(self, name) for name in COUNTS if getattr(self, name) and name != "spikes"}


COUNTS = tuple(field.name for field in fields(Operations) if field.name != "neurons")


LARGEST_SUM = 128  # spikes that one value can stand for; 8-bit pixels reach 255, and are analog
LONGEST_MEAN, PIXELS = 256, 255
LARGEST_PART = 16  # a sum of that many spikes may be the smallest of a tensor
MANY = 8
SAMPLE = 256
CLOSE = 1e-5


def spikes_in(x: Tensor) -> float | None:
    """The number of spikes in `x`, judged by nothing but its values; None if it holds anything else.

    Spikes are 0 and 1, or sums of them, or either times one fixed scale: what comes out of average
    pooling, of dropout, of a mean over sub-steps. So all values must be whole multiples of one unit: 1, if
    all are whole, else the smallest value or a whole part of it. Where no zero is among them, they must be
    means of up to 256 spikes (of 16, if there are only a few values), so at most 1. Whole numbers up to 128
    are taken for sums of spikes; larger ones, and steps of 1/255, are pixels. Negative values are spikes that
    are subtracted, if there are only three values: one, its negative and zero.
    """
    x = x.detach()
    if not x.numel():
        return 0.0
    values = x.double().flatten()
    least, most = float(values.min()), float(values.max())
    if least < 0 and signed(values):
        return float((values != 0).sum())
    if not 0 <= least <= most < float("inf"):
        return None
    if most == 0:
        return 0.0
    if most <= LARGEST_SUM and whole(values):
        return float(values.sum())
    positive = values[values > 0]
    plenty, smallest = len(positive) >= MANY, float(positive.min())
    if most <= 1:
        for n in range(2, LARGEST_PART + 1):
            if whole(positive * n):
                return float((positive * n).round().sum())
        if whole(positive * PIXELS) or not plenty:
            return None
    if plenty and least == 0:
        for part in range(1, LARGEST_PART + 1):
            unit = smallest / part
            if most / unit <= LARGEST_SUM and whole(positive / unit):
                return float((positive / unit).round().sum())
    if plenty and most <= 1:
        for n in range(LARGEST_PART + 1, LONGEST_MEAN + 1):
            if whole(positive * n):
                return float((positive * n).round().sum())
    return None


def signed(values: Tensor) -> bool:
    """Whether all values are u, -u or 0 for one u, and some are 0."""
    sizes = values.abs()
    largest = sizes.max()
    three = ((sizes == 0) | (sizes == largest)).all() and (sizes == 0).any() and (values > 0).any()
    return bool(three and torch.isfinite(largest))


def whole(values: Tensor, close: float = CLOSE) -> bool:
    """Whether all values are whole numbers, but for rounding."""
    for part in (values[:SAMPLE], values):  # analog values show themselves soon
        if not ((part - part.round()).abs() <= close * part.clamp(min=1)).all():
            return False
    return True


def spikes_of_height(x: Tensor, height: float) -> float | None:
    """The number of spikes in `x`, whose values are spikes of that height, or sums of them, or subtracted.

    None if they are not: then something has changed them that was not seen.
    """
    values = x.detach().double().flatten().abs()
    if height == 0:
        return None if values.any() else 0.0
    close = max(CLOSE, 2 * torch.finfo(x.dtype).eps) if x.is_floating_point() else CLOSE
    parts = values / height
    return float(parts.round().sum()) if whole(parts, close) else None


def rows_of(x: Tensor) -> float:
    """Vectors in (*, features)."""
    return float(prod(x.shape[:-1]))


def macs_of_bits(bits: int) -> str:
    """The name of products of operands of so many bits."""
    return f"int{bits}_macs"


def product(x: Tensor, fan_out: int, *, bias: bool, spikes: float | None, size: int = FLOAT) -> Operations:
    """A map of the rows of `x` to `fan_out` values: MACs, or ACs where they are spikes.

    Args:
        spikes: as `spikes_in`. bias: added to each output. size: bytes of a weight.
    """
    outputs = rows_of(x) * fan_out
    values = x.numel() if spikes is None else spikes
    biases = FLOAT * (outputs if bias else 0.0)
    return Operations(
        **{"macs" if spikes is None else "acs": values * fan_out},
        adds=outputs if bias else 0.0,
        weight_bytes=size * values * fan_out + biases,
        dense_bytes=size * x.numel() * fan_out + biases,
        activation_bytes=FLOAT * (values + outputs),
    )
