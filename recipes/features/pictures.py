"""A picture of kernels."""

import math

import torch
from torch import Tensor

from spikeseq.recipes.features.model import ConvClassifier
from spikeseq.recipes.recipe import Picture

MOST = 100  # kernels in one picture


def kernel_map(kernels: Tensor, channels: int) -> Tensor:
    """Kernels (neurons, channels * side * side) side by side in a square: (H, W, channels) in 0 to 1."""
    shown = kernels[:MOST]
    side = round((kernels.shape[1] / channels) ** 0.5)
    most = shown.abs().amax(1, keepdim=True).clamp_min(1e-12)
    images = ((shown / most + 1) / 2).view(-1, channels, side, side)
    across = math.ceil(math.sqrt(len(images)))
    canvas = torch.ones(across * across, channels, side + 1, side + 1)
    canvas[: len(images), :, :side, :side] = images
    rows = canvas.view(across, across, channels, side + 1, side + 1).permute(0, 3, 1, 4, 2)
    return rows.reshape(across * (side + 1), across * (side + 1), channels)[:-1, :-1]


def kernels_picture(model: ConvClassifier) -> Picture:
    """The first hundred kernels on whitened pixels; grey is zero."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    image = kernel_map(model.kernel.detach(), model.channels)
    axes.imshow(image.squeeze(2).numpy(), cmap="gray", vmin=0, vmax=1)
    axes.set_axis_off()
    shown = min(MOST, len(model.kernel))
    title = f"{shown} of {len(model.kernel)} kernels"
    axes.set_title(title, fontsize=9)
    said = f"{title} of {model.settings.side} x {model.settings.side} whitened pixels."
    return Picture(
        "kernels", "Kernels", "On whitened pixels, each on a scale of its own; grey is zero.", said, figure
    )
