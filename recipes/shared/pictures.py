"""Pictures of what a network has learnt: weights as images, and which classes are taken for which."""

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

MOST = 100  # neurons in one picture


def weight_map(weight: Tensor, size: int) -> Tensor:
    """Weights (size * size, neurons) of at most 100 neurons as one image, side by side in a square."""
    shown = weight[:, :MOST].T.reshape(-1, size, size)
    side = math.ceil(math.sqrt(len(shown)))
    canvas = torch.zeros(side * side, size + 1, size + 1)
    canvas[: len(shown), :size, :size] = shown
    return (
        canvas.view(side, side, size + 1, size + 1).transpose(1, 2).reshape(side * (size + 1), -1)[:-1, :-1]
    )


def draw_weights(path: Path, weight: Tensor, size: int) -> None:
    """The first hundred neurons' weights; darker is stronger."""
    figure, axes = _figure(5, 5)
    axes.imshow(weight_map(weight.detach(), size).numpy(), cmap="gray_r", vmin=0)
    axes.set_axis_off()
    axes.set_title(f"weights of {min(MOST, weight.shape[1])} of {weight.shape[1]} neurons", fontsize=9)
    figure.savefig(path, dpi=150)


def draw_confusion(path: Path, table: list[list[int]], classes: list[str]) -> None:
    """Rows are right classes, columns those that were answered."""
    figure, axes = _figure(4.5, 4)
    image = axes.imshow(table, cmap="Blues")
    axes.set_xticks(range(len(classes)), classes, rotation=90 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(range(len(classes)), classes)
    axes.set_xlabel("answered")
    axes.set_ylabel("right")
    most = max(map(max, table))
    for i, row in enumerate(table):
        for j, count in enumerate(row):
            axes.text(
                j, i, count, ha="center", va="center", fontsize=6, color="w" if count > most / 2 else "k"
            )
    figure.colorbar(image)
    figure.savefig(path, dpi=150)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
