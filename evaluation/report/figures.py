"""The plots of a report. Each is a matplotlib figure; `svg` makes it text that a page can hold."""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
from torch import Tensor

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

COLOURS = ("#0b6e99", "#d9730d", "#448361", "#9065b0", "#c14c8a", "#787774")
WIDE, HIGH = 7.2, 3.0
PIXELS_PER_POINT = 1.2
MOST_NEURONS = 128  # rows of a raster


def svg(figure: Figure) -> str:
    """The figure as an <svg> element; its words stay words."""
    text, width = io.StringIO(), figure.get_figwidth()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "spikeseq"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    whole = text.getvalue()
    least = round(PIXELS_PER_POINT * 72 * width)  # narrower than that, its words could not be read
    style = f'style="min-width: {least}px" '
    return re.sub(r'width="[^"]+" height="[^"]+" ', style, whole[whole.index("<svg") :], count=1)


def learning(
    histories: Mapping[str, Sequence[Mapping[str, Any]]],
    score: str,
    what: str = "epoch",
    lost: str = "training loss",
) -> Figure:
    """What a log has under "loss", `lost` in words, and validation score by `what`, a line per run."""
    figure, axes = plt.subplots(1, 2, figsize=(WIDE, HIGH), layout="constrained")
    for colour, (name, records) in zip(cycle(len(histories)), histories.items(), strict=True):
        epochs = [record["epoch"] for record in records]
        axes[0].plot(epochs, [record["loss"] for record in records], marker=".", color=colour, label=name)
        found = [record["validation"].get(score, record["validation"]["score"]) for record in records]
        axes[1].plot(epochs, found, marker=".", color=colour, label=name)
    axes[0].set(xlabel=what, ylabel=lost)
    axes[1].set(xlabel=what, ylabel=f"validation {score}")
    axes[0].legend(fontsize=8)
    return plain(figure)


def spike_rates(rates: Mapping[str, float], unit: str) -> Figure:
    """Spikes per neuron and token, or another unit, of every spiking layer."""
    figure, axes = plt.subplots(figsize=(WIDE, 1 + 0.28 * len(rates)), layout="constrained")
    names = list(rates)[::-1]
    axes.barh(names, [rates[name] for name in names], color=COLOURS[0])
    for i, name in enumerate(names):
        axes.text(rates[name], i, f" {rates[name]:.2f}", va="center", fontsize=8)
    axes.set(xlabel=f"spikes per neuron and {unit}")
    axes.margins(x=0.1)
    return plain(figure)


def parameters(before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]) -> Figure:
    """Leak and threshold of every layer as they started and as they ended (thesis Fig. 5.2)."""
    height = 1.2 + 0.28 * len(after)
    figure, axes = plt.subplots(1, 2, figsize=(WIDE, height), layout="constrained", sharey=True)
    names = list(after)[::-1]
    for which, (axis, label) in enumerate(zip(axes, ("leak", "threshold"), strict=True)):
        for i, name in enumerate(names):
            if name in before:
                ends = (before[name][which], after[name][which])
                axis.plot(ends, (i, i), color="#bbbbbb", zorder=1)
        for source, colour, what in ((before, "#999999", "start"), (after, COLOURS[1], "trained")):
            points = [(source[name][which], i) for i, name in enumerate(names) if name in source]
            if points:
                axis.scatter(*zip(*points, strict=True), color=colour, label=what, zorder=2)
        axis.set(xlabel=label)
    axes[0].set_yticks(range(len(names)), names, fontsize=8)
    axes[1].legend(fontsize=8)
    return plain(figure)


def raster(layers: Mapping[str, Tensor], tokens: Sequence[str]) -> Figure:
    """Every spike of a text: a row per neuron, the words below; (sub-steps, neurons) by layer."""
    width = min(14.0, 2 + 0.35 * len(tokens))
    figure, axes = plt.subplots(
        len(layers),
        1,
        figsize=(width, 0.6 + 1.5 * len(layers)),
        layout="constrained",
        sharex=True,
        squeeze=False,
    )
    for axis, (name, spikes) in zip(axes[:, 0], layers.items(), strict=True):
        time, neuron = spikes[:, :MOST_NEURONS].nonzero(as_tuple=True)
        steps = len(spikes) / len(tokens)
        axis.scatter((time / steps).tolist(), neuron.tolist(), s=1.2, color="black", linewidths=0)
        axis.set_ylabel(name, fontsize=7, rotation=0, ha="right")
        axis.set_yticks([])
    axes[-1, 0].set_xticks(
        [i + 0.5 for i in range(len(tokens))],
        [word.replace("$", r"\$") for word in tokens],
        rotation=90,
        fontsize=8,
    )
    axes[-1, 0].set_xlim(0, len(tokens))
    return plain(figure)


def energy(rows: Mapping[str, Mapping[str, float]], unit: str) -> Figure:
    """nJ per unit by energy model, a bar per model or variant; logarithmic, as memory outweighs all."""
    models = list(next(iter(rows.values())))
    figure, axes = plt.subplots(figsize=(WIDE, 1.2 + 0.22 * len(rows) * len(models)), layout="constrained")
    step = 0.8 / len(rows)
    for index, (colour, (name, figures)) in enumerate(zip(cycle(len(rows)), rows.items(), strict=True)):
        at = [-i + 0.4 - step * (index + 0.5) for i in range(len(models))]
        values = [figures[one] for one in models]
        axes.barh(at, values, height=step * 0.9, color=colour, label=name)
        for y, value in zip(at, values, strict=True):
            axes.text(
                value, y, f" {value:,.0f}" if value >= 100 else f" {value:,.3g}", va="center", fontsize=7
            )
    axes.set_yticks([-i for i in range(len(models))], models)
    axes.set(xlabel=f"nJ per {unit}", xscale="log")
    axes.margins(x=0.15)
    axes.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    return plain(figure)


def tradeoff(points: Mapping[str, tuple[float, float]], score: str, unit: str) -> Figure:
    """Score against nJ per unit, a point per model or variant."""
    figure, axes = plt.subplots(figsize=(WIDE, 1.5 * HIGH), layout="constrained")
    for i, (colour, (name, point)) in enumerate(zip(cycle(len(points)), points.items(), strict=True)):
        axes.scatter(*point, color=colour, marker="osD^v"[i // len(COLOURS) % 5], label=name, zorder=2)
    axes.set(xlabel=f"nJ per {unit}", ylabel=score, xscale="log")
    axes.grid(color="#eeeeee", zorder=0)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return plain(figure)


def cycle(count: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(count)]


def plain(figure: Figure) -> Figure:
    """Without the upper and right frame."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    return figure
