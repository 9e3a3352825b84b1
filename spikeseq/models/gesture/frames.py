"""Event cameras: how events become frames, all of a recording's or as they arrive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

SIDE = 128  # pixels of the DVS128 sensor, in either direction
JUMP_MS = 1000  # a time that goes back by more was not read out late: the clock started again
ENCODINGS = ("blocks", "frames")
POLARITIES = ("both", "merge")
SIZES = (128, 64, 32)
LONGEST_MS = 1e9  # eleven days: microseconds of many such frames still fit 64 bits
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
        ValueError: a setting that cannot be used.
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
                wrong = f"{name}={getattr(self, name)!r}"
                raise ValueError(f"{wrong}: expected one of {', '.join(map(str, accepted))}")
        for name, least, most in (("frames", 1, MOST_FRAMES), ("frame_events", 1, 10**9), ("clip", 1, 255)):
            value = getattr(self, name)
            if (value is not None or name != "frame_events") and not (
                type(value) is int and least <= value <= most
            ):
                raise ValueError(f"{name}={value!r}: expected a number from {least} to {most}")
        for name in ("frame_ms", "denoise_ms"):
            value = getattr(self, name)
            if value is not None and not 0.001 <= value <= LONGEST_MS:
                raise ValueError(f"{name}={value!r}: expected 0.001 to {LONGEST_MS:g} milliseconds, or null")
        if self.encoding == "blocks" and self.frame_ms is not None:
            raise ValueError(f"frame_ms={self.frame_ms}: blocks are of events; expected null")
        if self.encoding == "frames" and (self.frame_ms is None) == (self.frame_events is None):
            both = f"frame_ms={self.frame_ms} and frame_events={self.frame_events}"
            raise ValueError(f"{both}: expected one of them, and null for the other")

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


class FrameStream:
    """Frames from events as they arrive, in chunks of any size: the same as a whole recording's.

    A frame of blocks is one block. Frames do not end after `encoding.frames`; a stream has no end.

    `ends` holds, for the frames of the last push, how many events had come until each was complete and the
    ms since the first; events that denoising leaves out are not counted.

    Raises:
        ValueError: an encoding whose frames depend on the whole recording.
    """

    def __init__(self, encoding: Encoding) -> None:
        if encoding.frame_ms is None and encoding.frame_events is None:
            raise ValueError("frame_events=None: expected a number of events, as a stream has no end")
        self.encoding = encoding
        self.window = None if encoding.frame_ms is None else round(1000 * encoding.frame_ms)
        self.each = encoding.frame_events or 0
        self.start: int | None = None  # time of the first event, µs
        self.events = 0
        self.ends: list[tuple[int, float]] = []
        self.done = 0  # frames that are complete
        self.last = np.zeros((SIDE, SIDE), np.int64)  # time of each pixel's last event
        self.since: int | None = None  # time of the event before the next chunk
        self.open = self._empty(1)[0]  # counts of the frame that is not yet complete

    def push(self, events: np.ndarray) -> np.ndarray:
        """The frames that these events complete, uint8 (frames, 1 or 2, size, size), often none.

        A frame of some time is complete when an event comes that is later.

        Raises:
            TypeError: something else than an array (N,) of such fields.
            ValueError: events outside the sensor, of unknown polarity, or earlier than one before; more than
                10,000 frames at once. The stream is then as it was, and takes other events.
        """
        check_fields(events, "the stream")
        if len(events) == 0:
            self.ends = []
            return self._empty(0).astype(np.uint8)
        columns = (events[name] for name in ("x", "y", "p", "t"))
        check_events(*columns, origin="the stream", unit=1000, since=self.since)
        since, last = int(events["t"][-1]), self.last
        if self.encoding.denoise_ms is not None:
            last = self.last.copy()
            events = denoise(events, self.encoding.denoise_ms, last)
            if len(events) == 0:
                self.ends, self.since, self.last = [], since, last
                return self._empty(0).astype(np.uint8)
        times = events["t"].astype(np.int64)
        start = int(times[0]) if self.start is None else self.start
        if self.window is not None:
            frame = (times - start) // self.window - self.done
        else:
            frame = (self.events + np.arange(len(times))) // self.each - self.done
        if frame[-1] > MOST_FRAMES:
            raise ValueError(f"the stream: {frame[-1]} frames at once; expected at most {MOST_FRAMES}")
        counts = self._empty(int(frame[-1]) + 2)
        counts[0] = self.open
        shrink = SIDE // self.encoding.size
        polarity = events["p"].astype(int) * (self.encoding.channels - 1)
        np.add.at(counts, (frame, polarity, events["y"] // shrink, events["x"] // shrink), 1)
        # A frame of some events is complete with its last one.
        full = self.window is None and (self.events + len(times)) % self.each == 0
        complete = int(frame[-1]) + full
        inside = np.searchsorted(frame, np.arange(complete), side="right")  # of these events, until its end
        if self.window is not None:
            ms = (self.done + 1 + np.arange(complete)) * self.window / 1000
        else:
            ms = (times[inside - 1] - start) / 1000
        self.start, self.since, self.last = start, since, last
        self.ends = list(zip((self.events + inside).tolist(), ms.tolist(), strict=True))
        self.events, self.open, self.done = self.events + len(times), counts[complete], self.done + complete
        return self._finished(counts[:complete])

    def flush(self) -> np.ndarray:
        """The frame that is not yet complete, (1, 1 or 2, size, size), or none where it has no events."""
        return self._finished(self.open[None] if self.open.any() else self._empty(0))

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


def check_fields(events: np.ndarray, origin: str) -> None:
    """Raises TypeError for anything but an array (N,) with whole-number fields x, y, p and t."""
    if not isinstance(events, np.ndarray):
        kind = type(events).__name__
        raise TypeError(f"{origin}: events must be an array with fields x, y, p, t, got {kind}")
    fields: Mapping[str, Any] = events.dtype.fields or {}
    good = events.ndim == 1 and all(name in fields and fields[name][0].kind in "iub" for name in "xypt")
    if not good:
        got = f"{events.dtype} of shape {events.shape}"
        raise TypeError(f"{origin}: events must be (N,) with whole-number fields x, y, p, t, got {got}")


def check_events(
    x: np.ndarray,
    y: np.ndarray,
    p: np.ndarray,
    t: np.ndarray,
    *,
    origin: str,
    unit: int = 1,
    since: float | None = None,
) -> None:
    """Refuses events outside the sensor, of unknown polarity, or out of order.

    Args:
        x, y, p, t: (N,) each, N > 0.
        origin: what an error names.
        unit: of the time, per ms.
        since: time of the event before these.

    Raises:
        ValueError: naming the first such event.
    """
    for name, column in (("x", x), ("y", y)):
        _refuse(origin, (column < 0) | (column >= SIDE), f"{name} is {{}}; expected 0 to {SIDE - 1}", column)
    _refuse(origin, (p != 0) & (p != 1), "polarity is {}; expected 0, darker, or 1, brighter", p)
    earlier = np.concatenate([t[:1] if since is None else [since], t[:-1]])
    if (t < earlier).any():
        row = int((t < earlier).argmax())
        before, after = earlier[row].item() / unit, t[row].item() / unit
        why = "as a clock that wraps" if before - after > JUMP_MS else "out of order"
        what = f"time goes back from {before:g} to {after:g} ms, {why}"
        raise ValueError(f"{origin}, event {row + 1}: {what}; expected ascending times")


def _refuse(origin: str, wrong: np.ndarray, problem: str, column: np.ndarray) -> None:
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"{origin}, event {row + 1}: {problem.format(column[row].item())}")
