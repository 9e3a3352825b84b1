"""Recordings as frames, by tonic's transforms."""

from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeseq.models.gesture.frames import SIDE, Encoding
from spikeseq.recipes.gestures.files import NO_TONIC
from spikeseq.recipes.shared.errors import DataError


def encode(events: np.ndarray, encoding: Encoding, origin: str) -> np.ndarray:
    """A recording, uint8 of `encoding.shape`, by tonic's transforms.

    Args:
        events: fields x, y, p, t in µs, as tonic's datasets give them.
        origin: what an error names.

    Raises:
        DataError: too few events for one in every block, or for one frame.
    """
    slicers, transforms = tonic("slicers"), tonic("transforms")
    events = denoised(events, encoding)
    each, blocks = encoding.frame_events, encoding.encoding == "blocks"
    least = encoding.frames * (each or 1) if blocks else each or 1
    if len(events) < least:
        raise DataError(f"{origin}: {len(events)} events to encode; expected {least} or more")
    steps = [transforms.Downsample(sensor_size=(SIDE, SIDE, 2), target_size=(encoding.size, encoding.size))]
    steps += [transforms.MergePolarities()] if encoding.channels == 1 else []
    events = transforms.Compose(steps)(events)
    if encoding.frame_ms is not None:
        window, start = round(1000 * encoding.frame_ms), events["t"][0]
        end = start + encoding.frames * window
        slices = slicers.slice_events_by_time(events, window, start_time=start, end_time=end)
    elif each is not None:
        slices = slicers.slice_events_by_count(events, each)
    else:
        slices = slicers.slice_events_by_event_bins(events, encoding.frames)
    # Counted here: tonic's own frames count in 16 bits, in which a hot pixel wraps to negative numbers.
    counts = np.zeros((encoding.frames, encoding.channels, encoding.size, encoding.size), np.int64)
    for frame, part in zip(counts, slices, strict=False):
        polarity = part["p"].astype(int) * (encoding.channels - 1)
        np.add.at(frame, (polarity, part["y"], part["x"]), 1)
    return np.minimum(counts, encoding.most).astype(np.uint8).reshape(encoding.shape)


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


def arrived(events: np.ndarray, encoding: Encoding) -> np.ndarray:
    """How many events of a recording have come when each frame is complete, int64 (frames,).

    As in `FrameStream.ends`, those that denoising leaves out are not counted.
    """
    events = denoised(events, encoding)
    number = np.arange(1, encoding.frames + 1)
    if encoding.frame_ms is not None:
        ends = events["t"][0] + number * round(1000 * encoding.frame_ms)
        return np.searchsorted(events["t"], ends)
    each = encoding.frame_events or len(events) // encoding.frames
    return np.minimum(number * each, len(events))


def denoised(events: np.ndarray, encoding: Encoding) -> np.ndarray:
    """By tonic, where the encoding asks for it."""
    if encoding.denoise_ms is None:
        return events
    return tonic("transforms").Denoise(filter_time=1000 * encoding.denoise_ms)(events)


def tonic(module: str) -> Any:
    """A module of tonic, which is no dependency of the library."""
    try:
        return import_module(f"tonic.{module}")
    except ImportError as error:
        raise DataError(f"tonic is missing ({error}); {NO_TONIC}") from None


def encoding_of(settings: Any) -> Encoding:
    """The encoding that the section `data` of a configuration describes.

    Raises:
        DataError: naming the setting.
    """
    try:
        return Encoding(**{name: settings[name] for name in Encoding.__dataclass_fields__})
    except ValueError as error:
        raise DataError(f"data.{error}") from None
