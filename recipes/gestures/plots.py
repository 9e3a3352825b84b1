"""Pictures of gestures: what an event camera sends of each, and how decisions about them form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from spikeseq.models.gesture.frames import SIDE
from spikeseq.recipes.shared.plots import plt, save

BRIGHTER, DARKER = (0.80, 0.12, 0.10), (0.12, 0.25, 0.80)


def plot_events(
    path: Path,
    recordings: Mapping[str, np.ndarray],
    moments: int = 6,
    every_ms: float = 120,
    span_ms: float = 50,
) -> None:
    """A row for each recording: its events within `span_ms`, every `every_ms`; brighter is red, darker blue.

    The default shows 0.65 s, about a round of a gesture; in 50 ms an arm leaves both of its edges.

    Args:
        recordings: their names, and events with fields x, y, p, t in µs.
    """
    size = (1.1 + 1.1 * moments, 1.1 * len(recordings) + 0.3)
    figure, axes = plt.subplots(len(recordings), moments, figsize=size, layout="constrained", squeeze=False)
    for row, (name, events) in zip(axes, recordings.items(), strict=True):
        start = events["t"][0]
        for column, axis in enumerate(row):
            after = (events["t"] - start) / 1000 - column * every_ms
            axis.imshow(picture(events[(after >= 0) & (after < span_ms)]))
            axis.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
    for column, axis in enumerate(axes[-1]):
        axis.set_xlabel(f"{column * every_ms:g} ms", fontsize=8)
    save(figure, path)


def picture(events: np.ndarray) -> np.ndarray:
    """Colours (SIDE, SIDE, 3) from 0 to 1: red where it became brighter, blue where only darker."""
    colours = np.ones((SIDE, SIDE, 3))
    for polarity, colour in ((0, DARKER), (1, BRIGHTER)):
        some = events[events["p"] == polarity]
        colours[some["y"], some["x"]] = colour
    return colours


def plot_decisions(path: Path, tests: Mapping[str, dict[str, Any]]) -> None:
    """How many gestures are told rightly after each frame.

    Args:
        tests: names, and what `metrics.json` holds under "test" of runs that decide frame by frame.
    """
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    for name, test in tests.items():
        at, label = moments_of(len(test["accuracy_by_frame"]), test["frame_ms"])
        axes.plot(at, test["accuracy_by_frame"], marker=".", label=name)
    axes.set(xlabel=label, ylabel="right so far, %", ylim=(0, 102))
    if len(tests) > 1:
        axes.legend(frameon=False)
    save(figure, path)


def plot_scores(path: Path, scores: Tensor, classes: list[str], frame_ms: float | None) -> None:
    """The share of every class after each frame of one recording.

    Args:
        scores: (frames, classes).
    """
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    at, label = moments_of(len(scores), frame_ms)
    shares = scores.softmax(1)
    for number, name in enumerate(classes):
        axes.plot(
            at, shares[:, number].tolist(), marker=".", label=name, linestyle="-" if number < 10 else ":"
        )
    axes.set(xlabel=label, ylabel="share", ylim=(0, 1.02))
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    save(figure, path)


def moments_of(frames: int, frame_ms: float | None) -> tuple[list[float], str]:
    """When frames are complete, and the name of the axis."""
    each = 1 if frame_ms is None else frame_ms
    return [each * number for number in range(1, frames + 1)], "frame" if frame_ms is None else "ms"
