"""Pictures of a run: learning curves, and the verdict word by word."""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from torch import Tensor

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

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


def plot_frontier(
    panels: Mapping[str, Mapping[str, tuple[float, float]]], score: str, unit: str, path: Path,
    *, lower_is_better: bool = False,
) -> None:  # fmt: skip
    """Score against nJ, a panel for each level of memory, and a line through the models that none dominates.

    Args:
        panels: nJ and score of each model, by level and name.
    """
    from spikeseq.evaluation.frontier import frontier

    figure, axes = plt.subplots(
        1, len(panels), figsize=(6 * len(panels), 5), layout="constrained", squeeze=False, sharey=True
    )
    for axis, (level, points) in zip(axes[0], panels.items(), strict=True):
        best = frontier(points, lower_is_better=lower_is_better)
        axis.plot(*zip(*(points[name] for name in best), strict=True), color="tab:blue", zorder=1)
        for name, point in points.items():
            colour = "tab:blue" if name in best else "#999999"
            axis.scatter(*point, color=colour, s=18 if name in best else 10, zorder=2)
            axis.annotate(
                name, point, xytext=(3, -3), textcoords="offset points", fontsize=6, color=colour, va="top"
            )
        axis.set(xscale="log", xlabel=f"nJ per {unit}, all operations and memory at {level}")
        axis.grid(color="#eeeeee", zorder=0)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.2)
    axes[0][0].set_ylabel(score)
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


LINE = 72  # characters of text in a line of a picture
MOST_BITS = 8  # of a token, from which on no shade is darker


def surprise_figure(tokens: Sequence[str], bits: Sequence[float], held: Mapping[str, Tensor]) -> Figure:
    """A text whose tokens are the darker the less a model expected them; below each line, some neurons.

    Args:
        bits: -log2 p of each token.
        held: what neurons hold after each token, (tokens,), by name; each is drawn between its own least and
            largest value.
    """
    places, line, column = [], 0, 0
    words = [token.replace("\n", "\u21b5").replace("\t", "\u2192") or " " for token in tokens]
    for word in words:
        if column and column + len(word) > LINE:
            line, column = line + 1, 0
        places.append((line, column))
        column += len(word)
    height = 1.2 + (1.6 if held else 0.3)  # of a line, in those of a letter
    width = max(LINE, *(column + len(word) for (_, column), word in zip(places, words, strict=True)))
    size = (0.11 * width + 1, 0.2 * height * (line + 1) + 0.6)
    figure, axes = plt.subplots(figsize=size, layout="constrained")
    shades = plt.get_cmap("YlOrRd")
    for (row, start), word, surprise in zip(places, words, bits, strict=True):
        shade = shades(min(1.0, surprise / MOST_BITS) * 0.8)
        axes.add_patch(Rectangle((start, row * height), len(word), 1, color=shade, linewidth=0))
        for i, letter in enumerate(word):
            if not letter.isspace():
                letter = letter.replace("$", r"\$")
                axes.text(start + i + 0.5, row * height + 0.55, letter, ha="center", va="center",
                          fontsize=8, family="monospace")  # fmt: skip
    for number, (name, values) in enumerate(held.items()):
        colour = f"C{number}"  # of the usual cycle
        low, high = float(values.min()), float(values.max())
        up = ((values - low) / max(high - low, 1e-12)).tolist()
        for row in range(line + 1):
            inside = [i for i, place in enumerate(places) if place[0] == row]
            across = [places[i][1] + len(words[i]) / 2 for i in inside]
            along = [row * height + 2.6 - 1.4 * up[i] for i in inside]
            axes.plot(across, along, color=colour, linewidth=0.9, label=None if row else name)
    axes.set(xlim=(0, width), ylim=(height * (line + 1), 0))
    axes.axis("off")
    scale = plt.cm.ScalarMappable(plt.Normalize(0, MOST_BITS), shades.resampled(256))
    scale.set_cmap(LinearSegmentedColormap.from_list("bits", [shades(0.8 * i / 8) for i in range(9)]))
    figure.colorbar(scale, ax=axes, label="bits", fraction=0.03, pad=0.01, aspect=12)
    if held:
        figure.legend(loc="outside lower left", ncols=len(held), fontsize=8, frameon=False)
    return figure
