"""Noisy images, after the noisy MNIST that the thesis is tested with (section 3.6.3)."""

import torch
from torch import Tensor

CONTRAST = 0.5
"""What is left of the contrast where it is reduced."""


def noisy(pixels: Tensor, kind: str, deviation: float, seed: int) -> Tensor:
    """uint8 images with noise added that no two of them share; the same for a seed.

    Args:
        kind: none; white, Gaussian noise; contrast, the same to images of half the contrast.
        deviation: standard deviation of the noise, grey levels of 255.
    """
    if kind == "none":
        return pixels
    draws = torch.Generator().manual_seed(seed)
    made = torch.empty_like(pixels)
    for to, part in zip(made.split(5000), pixels.split(5000), strict=True):
        values = part.float() * (CONTRAST if kind == "contrast" else 1.0)
        noise = torch.randn(part.shape, generator=draws) * deviation
        to.copy_((values + noise).round_().clamp_(0, 255))
    return made
