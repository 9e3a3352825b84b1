"""Recordings of gestures in the layout that tonic keeps: found, checked, and read by tonic's own class."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeseq.models.gesture.frames import check_events
from spikeseq.recipes.gestures.events import EVENT
from spikeseq.recipes.gestures.sample import CLASSES, FEWEST, SPLITS
from spikeseq.recipes.shared.errors import DataError, listed, shown

NO_TONIC = "pip install 'spikeseq[events]', then pip install --no-deps 'tonic>=1.7'"


@dataclass(frozen=True, order=True)
class Recording:
    """A file of one gesture, by whom, and in which light."""

    user: int
    light: str
    label: int
    path: Path


def find_recordings(folder: Path) -> dict[str, list[Recording]]:
    """{"train", "test"}: the recordings in `folder`, which is tonic's `save_to`, in order of their subjects.

    Raises:
        DataError: a folder that tonic would not read but download anew, or from which subjects are missing.
    """
    try:
        found = {split: _recordings(folder / "DVSGesture", name) for split, name in SPLITS.items()}
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}); expected DVSGesture in it") from None
    users = {split: {one.user for one in recordings} for split, recordings in found.items()}
    both = users["train"] & users["test"]
    if both:
        names = listed(f"user{user:02}" for user in sorted(both))
        raise DataError(f"{folder}: {names} in train and in test; expected other subjects in each")
    return found


def _recordings(folder: Path, name: str) -> list[Recording]:
    place = folder / name
    if not place.is_dir():
        raise DataError(f"{place}: no such folder; expected what tonic's DVSGesture unpacks there")
    found = sorted(one for entry in sorted(place.iterdir()) if entry.is_dir() for one in _of_subject(entry))
    if len(found) < FEWEST:
        raise DataError(f"{place}: {len(found)} recordings; expected {FEWEST} or more, as tonic does")
    users = sorted({one.user for one in found})
    gone = sorted(set(range(users[0], users[-1] + 1)) - set(users))
    if gone:
        names = listed(f"user{user:02}" for user in gone)
        there = f"user{users[0]:02} to user{users[-1]:02}"
        raise DataError(f"{place}: no recordings of {names}; expected all subjects from {there}")
    archive = folder / f"{name}.tar.gz"
    if not archive.is_file():
        how = "without a file of that name tonic downloads the set; an empty one will do"
        raise DataError(f"{archive}: no such file; {how}")
    return found


def _of_subject(folder: Path) -> list[Recording]:
    named = re.fullmatch(r"user(\d+)_(\w+)", folder.name)
    if named is None:
        raise DataError(f"{folder}: expected a folder with a name like user01_fluorescent")
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise DataError(f"{folder}: no recordings; expected files like 0.npy")
    for file in files:
        if file.stem not in map(str, range(len(CLASSES))):
            raise DataError(f"{file}: no class {file.stem!r}; expected 0.npy to {len(CLASSES) - 1}.npy")
    return [Recording(int(named[1]), named[2], int(file.stem), file) for file in files]


def read_recordings(folder: Path, split: str, recordings: Sequence[Recording]) -> Iterator[np.ndarray]:
    """Events of recordings of a split, as tonic gives them: arrays with fields x, y, p, t, the last in µs.

    Raises:
        DataError: tonic is missing; a recording that `check_recording` refuses.
    """
    dataset = tonic_set(folder, split)
    at = {Path(path): index for index, path in enumerate(dataset.data)}
    for one in recordings:
        check_recording(one.path)
        yield dataset[at[one.path]][0]


def tonic_set(folder: Path, split: str) -> Any:
    """tonic's DVSGesture of a split; it downloads what `folder` has not.

    Raises:
        DataError: tonic is missing, or its download fails.
    """
    try:
        from tonic.datasets import DVSGesture
    except ImportError as error:
        raise DataError(f"tonic is missing ({error}); {NO_TONIC}") from None
    try:
        return DVSGesture(save_to=os.fspath(folder), train=split == "train")
    except (OSError, RuntimeError) as error:
        what = f"{SPLITS[split]} cannot be downloaded ({shown(str(error), 120)})"
        raise DataError(f"{folder}: {what}; expected a connection to figshare.com") from None


def check_recording(path: Path) -> None:
    """Refuses a file from which tonic would make wrong events, or none.

    Raises:
        DataError: not a whole array of numbers (N, 4) with N > 0; what `check_events` refuses; times of
            a type in which tonic's microseconds overflow.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged head raises whatever its reader stumbles over
        raise DataError(f"{path}: not a whole .npy file ({shown(str(error), 120)})") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iuf":
        raise DataError(f"{path}: holds {getattr(array, 'dtype', 'no array')}; expected an array of numbers")
    if array.ndim != 2 or array.shape[1] != 4:
        raise DataError(f"{path}: an array of shape {array.shape}; expected (events, 4): x, y, p, t in ms")
    if len(array) == 0:
        raise DataError(f"{path}: an empty recording; expected at least one event")
    if not np.isfinite(array).all():
        row = int((~np.isfinite(array).all(1)).argmax())
        raise DataError(f"{path}, event {row + 1}: {array[row].tolist()}; expected finite numbers")
    try:
        check_events(*array.T, origin=str(path))
    except ValueError as error:
        raise DataError(str(error)) from None
    broken = (array[:, :2] % 1 != 0).any(1)
    if broken.any():
        row = int(broken.argmax())
        raise DataError(f"{path}, event {row + 1}: {array[row].tolist()}; expected whole pixels")
    last = array[-1, 3].item()
    kind = array.dtype if array.dtype.kind in "iu" else EVENT["t"]
    if 1000 * last > np.iinfo(kind).max:
        raise DataError(f"{path}: times up to {last} ms in {array.dtype}; in microseconds they overflow")


def read_recording(path: Path) -> np.ndarray:
    """Events of one file, as `read_recordings` gives them, from anywhere.

    Raises:
        DataError: what `check_recording` refuses.
    """
    check_recording(path)
    array = np.load(path)
    events = np.empty(len(array), EVENT)
    for place, (name, unit) in enumerate((("x", 1), ("y", 1), ("p", 1), ("t", 1000))):
        events[name] = unit * array[:, place]
    return events
