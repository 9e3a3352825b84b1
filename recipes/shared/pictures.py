"""Pictures of what a network has learnt: weights as images, and which classes are taken for which."""

import io
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.files import write_whole
from spikeseq.recipes.recipe import Metrics, Picture

MOST = 100  # neurons in one picture
SCALE = 4  # pixels of a picture, each way, for one of a map


def weight_map(weight: Tensor, width: int) -> Tensor:
    """Weights (height * width, neurons) of at most 100 neurons as one image, as many across as down."""
    shown = weight[:, :MOST].T.reshape(-1, len(weight) // width, width)
    count, high, wide = (n + 1 for n in shown.shape)
    side = math.ceil(math.sqrt(count - 1))
    canvas = torch.zeros(side * side, high, wide)
    canvas[: len(shown), :-1, :-1] = shown
    return canvas.view(side, side, high, wide).transpose(1, 2).reshape(side * high, -1)[:-1, :-1]


def save_weights(path: Path, weight: Tensor, width: int) -> None:
    """A file of the same, black at the largest weight: drawn while a network learns."""
    from PIL import Image

    canvas = weight_map(weight.detach(), width)
    grey = (255 * (1 - canvas / canvas.max().clamp_min(1e-12))).to(torch.uint8)
    image = Image.fromarray(grey.numpy())
    large, content = (SCALE * image.width, SCALE * image.height), io.BytesIO()
    image.resize(large, Image.Resampling.NEAREST).save(content, "png")
    write_whole(path, content.getvalue())


def weights_picture(weight: Tensor, width: int, what: str = "") -> Picture:
    """The first hundred neurons' weights; darker is stronger. what: inputs that are no images, in a word."""
    figure, axes = _figure(5, 5)
    axes.imshow(weight_map(weight.detach(), width).numpy(), cmap="gray_r", vmin=0)
    axes.set_axis_off()
    shown = f"{min(MOST, weight.shape[1])} of {weight.shape[1]} neurons"
    axes.set_title(f"weights of {shown}", fontsize=9)
    left = f"{100 * float((weight != 0).double().mean()):.0f} % of all weights are not zero"
    said = f"Weights of {shown} as images, up to {float(weight.detach().max()):.2f}; {left}."
    name, heading = (f"{what}-weights", f"Weights of {what}") if what else ("weights", "Weights")
    return Picture(name, heading, "What each neuron has learnt; darker is stronger.", said, figure)


def confusion_picture(metrics: Metrics, classes: list[str], unit: str) -> Picture:
    """Rows are right classes, columns those that were answered. metrics: of a run."""
    test = metrics["test"]
    table = test["confusion"]
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
    caption = f"Accuracy {test['accuracy']:.2f} % of the {metrics.get('split', 'test')} split."
    if "spikes" in test:
        caption += f" {test['spikes']:g} spikes of neurons in each {unit}."
    if test.get("repeats"):
        caption += f" Shown again {test['repeats']:g} times on average, as too few neurons fired."
    wrong = [(n, classes[i], classes[j]) for i, row in enumerate(table) for j, n in enumerate(row) if i != j]
    count, right, answered = max(wrong)
    said = f"Classes that were answered beside right ones; most often, {count} times, {answered} for {right}."
    return Picture("confusion", "Who is taken for whom", caption, said, figure)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
