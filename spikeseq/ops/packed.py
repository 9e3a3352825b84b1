"""Spikes as bits, sums of them as bytes, and products that read only the weights of neurons that fired.

Of CPU kernels alone.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..checks import has_values
from . import library
from .dispatch import no_kernel, not_wide
from .eager import traced

library.define("pack_spikes(Tensor x) -> (Tensor bits, float scale, int fired)")
library.define("unpack_spikes(Tensor bits, int size, Tensor like, float scale) -> Tensor")
library.define("packed_product(Tensor bits, int size, Tensor weight, Tensor? bias) -> Tensor")
library.define("packed_weight_gradient(Tensor bits, Tensor grad, int size) -> Tensor")

# Past about these shares of neurons that fire, dense products are as fast (128 x 128, AVX-512).
DENSEST, DENSEST_GRADIENT = 0.4, 0.25


@dataclass(frozen=True)
class Packed:
    """(R, I) spikes of one value as (R, ceil(I / 8)) bytes.

    Args:
        bits: neuron j is bit j % 8 of byte j / 8.
        size: neurons of a row, I.
        scale: the value of a spike.
        fired: spikes in all.
    """

    bits: Tensor
    size: int
    scale: float
    fired: int

    @property
    def rate(self) -> float:
        """Share of neurons that fired."""
        return self.fired / max(1, len(self.bits) * self.size)

    def of(self, bits: Tensor) -> "Packed":
        """The same spikes, for bits that were kept elsewhere meanwhile."""
        return replace(self, bits=bits)

    def product(self, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(R, O) for weight (O, I) and bias (O,)."""
        by_neuron = (weight.t() * self.scale).contiguous()  # a row for each neuron that may have fired
        return torch.ops.spikeseq.packed_product(self.bits, self.size, by_neuron, bias)  # type: ignore[no-any-return]

    def weight_gradient(self, grad: Tensor) -> Tensor:
        """(O, I) from grad (R, O), contiguous."""
        if self.rate <= DENSEST_GRADIENT:
            by_neuron = torch.ops.spikeseq.packed_weight_gradient(self.bits, grad, self.size)
            return by_neuron.t().contiguous().mul_(self.scale)  # type: ignore[no-any-return]
        return grad.t() @ self.unpack(grad)

    def unpack(self, like: Tensor) -> Tensor:
        """(R, I) of the type of `like`."""
        return torch.ops.spikeseq.unpack_spikes(self.bits, self.size, like, self.scale)  # type: ignore[no-any-return]


def fits(x: Tensor) -> str | None:
    """Matrices of a wide type on a CPU with the native kernel."""
    return (None if x.is_cpu else f"on {x.device.type}") or not_wide("input", x) or no_kernel("cpu")


def pack(x: Tensor) -> Packed | None:
    """(R, I) on a CPU as bits; None where it holds more than one value beside zero, or does not fit, or
    its values cannot be read."""
    if fits(x) or not has_values(x):
        return None
    bits, scale, fired = torch.ops.spikeseq.pack_spikes(x)
    return None if fired < 0 else Packed(bits, x.shape[1], scale, fired)


# --- What is kept of an input for a gradient

LOOK = 4096  # values by which a tensor that holds no sums is found out
MOST = 255  # spikes in a sum, for a byte to hold it


@dataclass(frozen=True)
class Counted:
    """(R, I) sums of spikes of one value, a byte each.

    Args:
        bits: how many spikes. scale: the value of one.
    """

    bits: Tensor
    scale: float

    def of(self, bits: Tensor) -> "Counted":
        """As `Packed.of`."""
        return replace(self, bits=bits)

    def unpack(self, like: Tensor) -> Tensor:
        """(R, I) of the type of `like`."""
        return self.bits.to(like.dtype).mul_(self.scale)


def count(x: Tensor) -> Counted | None:
    """(R, I) on a CPU as bytes; None where not all of it is whole multiples, up to `MOST`, of its smallest
    value above zero, or as `pack`."""
    if fits(x) or not has_values(x) or not x.numel():
        return None
    for part in (x.flatten()[:LOOK], x):
        positive = part[part > 0]
        if not len(positive):
            return None
        scale = positive.min()
        counts = (part / scale).round_()
        whole = counts.min() >= 0 and counts.max() <= MOST
        if not (whole and torch.equal(counts * scale, part)):
            return None
    return Counted(counts.to(torch.uint8), scale.item())


def shrink(x: Tensor) -> Packed | Counted | None:
    """Spikes of one value as bits, their sums as bytes; None for what is neither."""
    return pack(x) or count(x)


# --- A product with a mask of dropout, which is kept as bits for its gradient


class _Masked(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        packed = pack(mask.flatten(0, -2))
        ctx.save_for_backward(mask if packed is None else packed.bits)
        # Without the bits: what is saved can be let go or moved only if nothing else holds it.
        ctx.packed = None if packed is None else packed.of(packed.bits.new_empty(0))
        ctx.shape = mask.shape
        return x * mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        if ctx.packed is not None:
            mask = ctx.packed.of(mask).unpack(grad.detach()).view(ctx.shape)
        return grad * mask, None


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """x * mask, for a mask (*, C) that is broadcast to x and has no gradient of its own."""
    if traced() or not (torch.is_grad_enabled() and x.requires_grad):
        return x * mask
    return _Masked.apply(x, mask)  # type: ignore[no-any-return, no-untyped-call]
