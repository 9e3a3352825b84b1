"""Convolutions whose kernels an ensemble learns from patches of images, one layer at a time.

A patch is normalised and whitened, as the retina does, and split into ON and OFF inputs; the neurons of an
ensemble compete for it, and each becomes a kernel. Then every kernel is slid over images by neurons of its
own, which integrate their current and fire, and the spikes are counted and pooled.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d, conv2d

from spikeseq.checks import positive_int
from spikeseq.functional import lif

from .numbers import not_negative, positive

CONTRAST = 10.0
"""Added to the variance of a patch of pixels in 0 to 255, so that noise in plain areas is not blown up."""


def patches(images: Tensor, side: int, count: int, generator: torch.Generator) -> Tensor:
    """Square patches from random places of random images.

    Args:
        images: (N, C, H, W), uint8 or floating point. side: of a patch, pixels. count: how many.
    Returns:
        (count, C * side * side) float32, channels first.
    Raises:
        ValueError: no images, or a side that does not fit into them.
    """
    check_images(images, side)
    positive_int("count", count)
    n, _, height, width = images.shape
    row, y, x = (
        torch.randint(high, (count,), generator=generator)
        for high in (n, height - side + 1, width - side + 1)
    )
    reach = torch.arange(side)
    taken = images[row[:, None, None], :, (y[:, None] + reach)[:, :, None], (x[:, None] + reach)[:, None]]
    return taken.permute(0, 3, 1, 2).flatten(1).float()


def normalised(patches: Tensor) -> Tensor:
    """Patches (N, D) without their mean, divided by their contrast: sqrt(variance + `CONTRAST`)."""
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + CONTRAST).sqrt()


class Whitening(NamedTuple):
    """Inputs decorrelated and of equal power: (x - mean) @ matrix, the matrix symmetric (ZCA).

    mean: (D). matrix: (D, D). Float32.

    Source: Bell and Sejnowski (1997); with normalised patches: Coates, Ng and Lee (2011).
    """

    mean: Tensor
    matrix: Tensor

    @staticmethod
    def fit(normalised: Tensor, noise: float = 0.1) -> "Whitening":
        """From normalised patches (N, D); `noise` is added to every variance: faint directions are noise."""
        positive("noise", noise)
        if len(normalised) < 2:
            raise ValueError(f"whitening is measured on at least two patches, got {len(normalised)}")
        x = normalised.double()
        mean = x.mean(0)
        variances, axes = torch.linalg.eigh((x - mean).T @ (x - mean) / len(x))
        scale = (variances.clamp_min(0) + noise).rsqrt()
        return Whitening(mean.float(), ((axes * scale) @ axes.T).float())

    def __call__(self, normalised: Tensor) -> Tensor:
        return (normalised - self.mean) @ self.matrix


def on_off(x: Tensor) -> Tensor:
    """x (N, D) as the inputs of two kinds of cells, (N, 2 D): what is above zero, then what is below it."""
    return torch.cat([x.clamp_min(0), (-x).clamp_min(0)], 1)


def kernels(weight: Tensor) -> Tensor:
    """The kernels (neurons, D), each of length 1, of weights (2 D, neurons) from ON and OFF inputs.

    An OFF input speaks against what its ON input speaks for, so that a kernel is the difference of both
    weights: a neuron is excited by the one and, through a neuron between them, inhibited by the other (push
    and pull). A neuron whose weights do not differ has a kernel of zeros.
    """
    if weight.dim() != 2 or len(weight) % 2:
        raise ValueError(f"weights must be (ON and OFF inputs, neurons), got {tuple(weight.shape)}")
    on, off = weight.chunk(2)
    made = (on - off).T
    made = made - made.mean(1, keepdim=True)
    return made / made.norm(dim=1, keepdim=True).clamp_min(1e-6)


class Convolution(NamedTuple):
    """Kernels slid over images: what a neuron at a place is driven by.

    The current of a kernel k at a patch p is k @ whitened(normalised(p)). Only the division by contrast is
    not linear, so that this is a convolution with `weight`, divided by the contrast, less `offset`.

    weight: (neurons, C, side, side). offset: (neurons). Float32.
    """

    weight: Tensor
    offset: Tensor

    @staticmethod
    def of(kernels: Tensor, whitening: Whitening, channels: int) -> "Convolution":
        """Of kernels (neurons, channels * side * side)."""
        made = kernels @ whitening.matrix
        offset = made @ whitening.mean
        side = round((kernels.shape[1] / channels) ** 0.5)
        if channels * side * side != kernels.shape[1]:
            raise ValueError(f"kernels of {channels} channels must be squares, got {kernels.shape[1]} values")
        return Convolution((made - made.mean(1, keepdim=True)).view(-1, channels, side, side), offset)

    def currents(self, images: Tensor, stride: int = 1) -> Tensor:
        """(N, neurons, H', W') of images (N, C, H, W), at every `stride`-th place of those that fit."""
        side = self.weight.shape[-1]
        check_images(images, side)
        x = images.float()
        mean = avg_pool2d(x.mean(1, keepdim=True), side, stride)
        power = avg_pool2d(x.square().mean(1, keepdim=True), side, stride)
        contrast = ((power - mean.square()).clamp_min(0) + CONTRAST).sqrt()
        return conv2d(x, self.weight, stride=stride) / contrast - self.offset[:, None, None]


def fired(currents: Tensor, cut: float, gain: float, steps: int) -> Tensor:
    """Share of `steps` in which integrate-and-fire neurons fire, each driven by its current throughout.

    A neuron integrates gain * (current - cut) a step, fires above 1 and then loses 1; below the cut
    it stays silent. Any shape.
    """
    not_negative("cut", cut)
    positive("gain", gain)
    drive = ((currents - cut) * gain).clamp(0.0, 1.0)
    rate, _ = lif(drive.flatten()[None, None], leak=1.0, threshold=1.0, substeps=steps, readout="rate")
    return rate.view_as(currents)


def pooled(rates: Tensor, parts: int) -> Tensor:
    """Mean rates of the parts x parts regions of maps (N, neurons, H, W), as (N, neurons * parts ** 2)."""
    return adaptive_avg_pool2d(rates, parts).flatten(1)


def check_images(images: Tensor, side: int) -> None:
    """Raises ValueError naming what does not fit."""
    if images.dim() != 4 or not len(images):
        raise ValueError(f"images must be (N, C, H, W) with at least one, got {tuple(images.shape)}")
    check_side(side, min(images.shape[2:]))


def check_side(side: int, size: int) -> None:
    """Raises ValueError for kernels that do not fit into images."""
    if not 2 <= side <= size:
        raise ValueError(f"side of a kernel must be 2 to {size}, that of the images, got {side}")
