"""Events as frames: the thesis's image of blocks, or a sequence; all at once or as events arrive."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeseq.recipes.gesture_files import NO_TONIC, SIDE, check_columns
from spikeseq.recipes.text_files import DataError, listed

ENCODINGS = ("blocks", "frames")
POLARITIES = ("both", "merge")
SIZES = (128, 64, 32)
MOST_FRAMES = 10_000  # more at once are damage: a clock that jumped
NEIGHBOURS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@dataclass(frozen=True)
class Encoding:
    """How a recording becomes an array of uint8.

    encoding: "blocks" (thesis, 6.3): the events are spread evenly over `frames` blocks, each a binary image
        of where there were events of either polarity; one image (frames, size, size). "frames": a sequence
        (frames, 1 or 2, size, size) of counts.
    frames: how many. Of a longer recording the rest is left out; a shorter one ends in empty frames.
    frame_ms, frame_events: what a frame spans, one of both. A block has `frame_events`, or where that is
        null its share of the whole recording.
    size: side of a frame; a pixel of a smaller one has the events of a square of the sensor's.
    polarity: "both", darker and brighter as two channels, or "merge", one. Blocks have one.
    denoise_ms: events with no other on a neighbouring pixel within this time before are left out; or null.
    clip: largest count; 1 makes frames binary. More than the default 4 have hot pixels, and in 50 ms one in
        seven of the pixels of size 64 that have events.

    Raises:
        DataError: a setting that cannot be used.
    """

    encoding: str = "blocks"
    frames: int = 20
    frame_ms: float | None = None
    frame_events: int | None = None
    size: int = SIDE
    polarity: str = "both"
    denoise_ms: float | None = None
    clip: int = 4

    def __post_init__(self) -> None:
        for name, accepted in (("encoding", ENCODINGS), ("polarity", POLARITIES), ("size", SIZES)):
            if getattr(self, name) not in accepted:
                wrong = f"data.{name}={getattr(self, name)!r}"
                raise DataError(f"{wrong}: expected one of {listed(map(str, accepted))}")
        for name, least, most in (("frames", 1, MOST_FRAMES), ("frame_events", 1, 10**9), ("clip", 1, 255)):
            value = getattr(self, name)
            if (value is not None or name != "frame_events") and not (
                type(value) is int and least <= value <= most
            ):
                raise DataError(f"data.{name}={value!r}: expected a number from {least} to {most}")
        for name in ("frame_ms", "denoise_ms"):
            value = getattr(self, name)
            if value is not None and not value >= 0.001:
                raise DataError(f"data.{name}={value!r}: expected milliseconds, 0.001 or more, or null")
        if self.encoding == "blocks" and self.frame_ms is not None:
            raise DataError(f"data.frame_ms={self.frame_ms}: blocks are of events; expected null")
        if self.encoding == "frames" and (self.frame_ms is None) == (self.frame_events is None):
            both = f"data.frame_ms={self.frame_ms} and data.frame_events={self.frame_events}"
            raise DataError(f"{both}: expected one of them, and null for the other")

    @property
    def channels(self) -> int:
        return 2 if self.encoding == "frames" and self.polarity == "both" else 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Of an encoded recording."""
        channels = () if self.encoding == "blocks" else (self.channels,)
        return (self.frames, *channels, self.size, self.size)

    @property
    def most(self) -> int:
        """The largest value."""
        return 1 if self.encoding == "blocks" else self.clip


def encode(events: np.ndarray, encoding: Encoding, origin: str) -> np.ndarray:
    """A recording, uint8 of `encoding.shape`, by tonic's transforms.

    Args:
        events: fields x, y, p, t in µs, as tonic's datasets give them.
        origin: what an error names.

    Raises:
        DataError: too few events for one in every block, or for one frame.
    """
    try:
        from tonic import transforms
    except ImportError as error:
        raise DataError(f"tonic is missing ({error}); {NO_TONIC}") from None
    if encoding.denoise_ms is not None:
        events = transforms.Denoise(filter_time=1000 * encoding.denoise_ms)(events)
    each, blocks = encoding.frame_events, encoding.encoding == "blocks"
    least = encoding.frames * (each or 1) if blocks else each or 1
    if len(events) < least:
        raise DataError(f"{origin}: {len(events)} events to encode; expected {least} or more")
    sensor = (encoding.size, encoding.size, encoding.channels)
    if encoding.frame_ms is not None:
        window, start = round(1000 * encoding.frame_ms), events["t"][0]
        cut = dict(time_window=window, start_time=start, end_time=start + encoding.frames * window)
    elif each is not None:
        cut = dict(event_count=each)
    else:
        cut = dict(n_event_bins=encoding.frames)
    steps = [transforms.Downsample(sensor_size=(SIDE, SIDE, 2), target_size=(encoding.size, encoding.size))]
    steps += [transforms.MergePolarities()] if encoding.channels == 1 else []
    counts = transforms.Compose([*steps, transforms.ToFrame(sensor_size=sensor, **cut)])(events)
    frames = np.zeros((encoding.frames, encoding.channels, encoding.size, encoding.size), np.uint8)
    count = min(len(frames), len(counts))
    frames[:count] = np.minimum(counts[:count], encoding.most)
    return frames.reshape(encoding.shape)


class FrameStream:
    """Frames from events as they arrive, in chunks of any size: the same frames as `encode` makes.

    A frame of blocks is one block. Frames do not end after `encoding.frames`; a stream has no end.

    Raises:
        DataError: an encoding whose frames depend on the whole recording.
    """

    def __init__(self, encoding: Encoding) -> None:
        if encoding.frame_ms is None and encoding.frame_events is None:
            raise DataError("data.frame_events=None: expected a number of events, as a stream has no end")
        self.encoding = encoding
        self.window = None if encoding.frame_ms is None else round(1000 * encoding.frame_ms)
        self.each = encoding.frame_events or 0
        self.start: int | None = None  # time of the first event, µs
        self.events = 0
        self.done = 0  # frames that are complete
        self.last = np.zeros((SIDE, SIDE), np.int64)  # time of each pixel's last event
        self.since: int | None = None  # time of the event before the next chunk
        self.open = self._empty(1)[0]  # counts of the frame that is not yet complete

    def push(self, events: np.ndarray) -> np.ndarray:
        """The frames that these events complete, uint8 (frames, 1 or 2, size, size), often none.

        A frame of some time is complete when an event comes that is later.

        Raises:
            DataError: events outside the sensor, of unknown polarity, or earlier than one before.
        """
        if len(events) == 0:
            return self._empty(0).astype(np.uint8)
        columns = (events[name] for name in ("x", "y", "p", "t"))
        check_columns(*columns, origin="the stream", unit=1000, since=self.since)
        self.since = int(events["t"][-1])
        if self.encoding.denoise_ms is not None:
            events = denoise(events, self.encoding.denoise_ms, self.last)
            if len(events) == 0:
                return self._empty(0).astype(np.uint8)
        frame = self._frame_of(events["t"].astype(np.int64)) - self.done
        if frame[-1] > MOST_FRAMES:
            raise DataError(f"the stream: {frame[-1]} frames at once; expected at most {MOST_FRAMES}")
        counts = self._empty(int(frame[-1]) + 2)
        counts[0] = self.open
        shrink = SIDE // self.encoding.size
        polarity = events["p"].astype(int) * (self.encoding.channels - 1)
        np.add.at(counts, (frame, polarity, events["y"] // shrink, events["x"] // shrink), 1)
        # A frame of some events is complete with its last one.
        full = self.window is None and self.events % self.each == 0
        complete = int(frame[-1]) + full
        self.open, self.done = counts[complete], self.done + complete
        return self._finished(counts[:complete])

    def flush(self) -> np.ndarray:
        """The frame that is not yet complete, (1, 1 or 2, size, size), or none where it has no events."""
        return self._finished(self.open[None] if self.open.any() else self._empty(0))

    def _frame_of(self, times: np.ndarray) -> np.ndarray:
        if self.window is not None:
            if self.start is None:
                self.start = int(times[0])
            return (times - self.start) // self.window
        numbers = self.events + np.arange(len(times))
        self.events += len(times)
        return numbers // self.each

    def _empty(self, count: int) -> np.ndarray:
        return np.zeros((count, self.encoding.channels, self.encoding.size, self.encoding.size), np.int32)

    def _finished(self, counts: np.ndarray) -> np.ndarray:
        return np.minimum(counts, self.encoding.most).astype(np.uint8)


def denoise(events: np.ndarray, within_ms: float, last: np.ndarray) -> np.ndarray:
    """The events that had another on one of four neighbouring pixels within a time before.

    They are those that tonic's Denoise keeps of a whole recording; that of a chunk knows nothing of the one
    before. As there, a pixel counts as having had an event at time 0.

    Args:
        last: (SIDE, SIDE) times in µs of the last event of each pixel, zeros at first; kept up to date.
    """
    x, y, t = (events[name].astype(np.int64) for name in ("x", "y", "t"))
    numbers, count = np.arange(len(events)), len(events)
    pixel = y * SIDE + x
    order = np.argsort(pixel, kind="stable")
    keys = pixel[order] * count + order  # ascending: events by pixel, then as they came
    near = np.zeros(count, bool)
    for right, down in NEIGHBOURS:
        column, row = x + right, y + down
        inside = (column >= 0) & (column < SIDE) & (row >= 0) & (row < SIDE)
        beside = np.where(inside, row * SIDE + column, 0)
        at = np.searchsorted(keys, beside * count + numbers) - 1
        here = (at >= 0) & (keys[at] // count == beside)
        before = np.where(here, t[order[at]], last.ravel()[beside])
        near |= inside & (before + 1000 * within_ms > t)
    np.maximum.at(last.reshape(-1), pixel, t)
    return events[near]


def shifted(frames: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """Encoded recordings (N, ..., H, W), each moved by its number of pixels (N,); what comes in is empty.

    Not mirrored, as that makes a right hand a left one.
    """
    height, width = frames.shape[-2:]
    moved = torch.zeros_like(frames)
    for one, other, y, x in zip(moved, frames, down.tolist(), right.tolist(), strict=True):
        rows, columns = slice(max(y, 0), height + min(y, 0)), slice(max(x, 0), width + min(x, 0))
        from_rows, from_columns = slice(max(-y, 0), height - max(y, 0)), slice(max(-x, 0), width - max(x, 0))
        one[..., rows, columns] = other[..., from_rows, from_columns]
    return moved


def encoding_of(settings: Any) -> Encoding:
    """The encoding that the section `data` of a configuration describes."""
    return Encoding(**{name: settings[name] for name in Encoding.__dataclass_fields__})
