"""A picture of events: what an event camera sends of each gesture."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from spikeseq.models.gesture.frames import SIDE
from spikeseq.recipes.plots import plt, save

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
