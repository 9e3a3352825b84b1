"""Pictures of a run: learning curves, and the verdict word by word."""

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from torch import Tensor

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from spikeseq.files import write_whole
from spikeseq.recipes.runs import read_log


def plot_history(folder: Path) -> Path | None:
    """`learning.png` in a run folder: training loss and validation score by epoch."""
    records = read_log(folder)
    if not records:
        return None
    epochs = [record["epoch"] for record in records]
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    left.plot(epochs, [record["loss"] for record in records], marker="o")
    left.set(xlabel=records[0].get("what", "epoch"), ylabel=records[0].get("loss_is", "training loss"))
    right.plot(epochs, [record["validation"]["score"] for record in records], marker="o", color="tab:green")
    right.set(xlabel=records[0].get("what", "epoch"), ylabel="validation score")
    figure.suptitle(folder.name)
    path = folder / "learning.png"
    save(figure, path)
    return path


def plot_growth(benchmarks: Sequence[dict[str, Any]], path: Path) -> None:
    """Milliseconds of a training step against what `spikeseq bench growth` changed, a panel each."""
    timed = [one for one in benchmarks if "at" in one]
    names = list(dict.fromkeys(one["at"][0] for one in timed))
    figure, axes = plt.subplots(
        1, len(names), figsize=(3.2 * len(names), 3.2), layout="constrained", squeeze=False
    )
    for axis, name in zip(axes[0], names, strict=True):
        chosen = [one for one in timed if one["at"][0] == name]
        for peer in chosen[0]["contenders"]:
            times = [one["contenders"][peer]["milliseconds"]["total"] for one in chosen]
            axis.loglog([one["at"][1] for one in chosen], times, marker="o", label=peer)
        axis.set_xlabel(name)
        axis.set_xticks([one["at"][1] for one in chosen], [str(one["at"][1]) for one in chosen])
        axis.minorticks_off()
    axes[0][0].set_ylabel("ms a training step")
    axes[0][0].legend(frameon=False)
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Writes the picture in one piece, in the format of the path's suffix."""
    picture = io.BytesIO()
    with warnings.catch_warnings():
        # A character that the font does not have is drawn as a box.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(picture, dpi=120, format=path.suffix[1:].lower())
    plt.close(figure)
    write_whole(path, picture.getvalue())


def plot_trace(path: Path, tokens: list[str], logits: Tensor, classes: list[str]) -> None:
    """`trace_figure` in a file."""
    save(trace_figure(tokens, logits, classes), path)


def trace_figure(tokens: list[str], logits: Tensor, classes: list[str]) -> Figure:
    """The read-out after every word (thesis Fig. 6.4), the words on the axis.

    Two classes give one line, the second's logit less the first's: above zero speaks for the second.

    Args:
        logits: (len(tokens), classes).
    """
    figure, axes = plt.subplots(figsize=(min(40.0, 2 + 0.28 * len(tokens)), 4), layout="constrained")
    at = range(len(tokens))
    if len(classes) == 2:
        axes.plot(at, (logits[:, 1] - logits[:, 0]).tolist(), marker=".")
        axes.axhline(0, color="gray", linewidth=0.8)
        axes.set_ylabel(f"← {classes[0]}    {classes[1]} →")
    else:
        for index, name in enumerate(classes):
            axes.plot(at, logits[:, index].tolist(), marker=".", label=name)
        axes.legend()
        axes.set_ylabel("logit")
    # A dollar sign would start matplotlib's mathematics.
    axes.set_xticks(list(at), [token.replace("$", r"\$") for token in tokens], rotation=90, fontsize=8)
    axes.margins(x=0.01)
    return figure


def plot_attention(path: Path, source: list[str], target: list[str], weights: Tensor) -> None:
    """`attention_figure` in a file."""
    save(attention_figure(source, target, weights), path)


def attention_figure(source: list[str], target: list[str], weights: Tensor) -> Figure:
    """Which source words each target word looks at; darker is more.

    Args:
        weights: (len(target), len(source)), rows sum to one.
    """
    width, height = 1.5 + 0.4 * len(source), 1.5 + 0.35 * len(target)
    figure, axes = plt.subplots(figsize=(min(40.0, width), min(40.0, height)), layout="constrained")
    axes.imshow(weights.tolist(), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for ticks, tokens, angle in ((axes.set_xticks, source, 90), (axes.set_yticks, target, 0)):
        shown = [token.replace("$", r"\$") for token in tokens]
        ticks(range(len(tokens)), shown, rotation=angle, fontsize=9)
    axes.xaxis.tick_top()
    return figure
