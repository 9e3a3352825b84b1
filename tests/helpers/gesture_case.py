"""Small recordings of gestures, and the section of a configuration that describes them."""

import numpy as np
from omegaconf import OmegaConf

from spikeseq.recipes.gestures.events import EVENT

SMALL = dict(
    train=3, test=3, seconds=0.06
)  # 132 recordings a split, of more than the 100 that tonic asks for


def settings(source, **changed):
    """The section `data` of a configuration."""
    section = dict(
        source=str(source), encoding="frames", frames=4, frame_ms=15.0, frame_events=None, size=32,
        polarity="both", denoise_ms=None, clip=4, drop=0.0, validation_subjects=1, split_seed=1, limit=None,
    )  # fmt: skip
    return OmegaConf.create(section | changed)


def event_list(*rows):
    """Events from rows of x, y, p and t in ms."""
    events = np.zeros(len(rows), EVENT)
    for event, (x, y, p, t) in zip(events, rows, strict=True):
        event["x"], event["y"], event["p"], event["t"] = x, y, p, round(1000 * t)
    return events


def random_events(rng, count, side=128, most_ms=3):
    """Events at random places of a corner of the sensor, with 0 to `most_ms` whole ms between them."""
    events = np.zeros(count, EVENT)
    events["x"], events["y"] = rng.integers(0, side, (2, count))
    events["p"] = rng.integers(0, 2, count)
    events["t"] = 1000 * np.cumsum(rng.integers(0, most_ms + 1, count))
    return events
