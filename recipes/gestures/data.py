"""Recordings of gestures, encoded for classification: the generated sample, the DVS128 set, a folder of it.

`load_gestures` gives all splits, `open_split` one of them, for a trained model. tonic's class reads the
recordings and its transforms encode them, once: the result is kept in the cache. Whatever is wrong with the
input is a one-line DataError.
"""

import hashlib
import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spikeseq.models.gesture.frames import Encoding
from spikeseq.ops.cache import made_cache_folder
from spikeseq.recipes.gestures import events as gesture_events
from spikeseq.recipes.gestures import sample as gesture_sample
from spikeseq.recipes.gestures import scene as gesture_scene
from spikeseq.recipes.gestures.files import Recording, find_recordings, read_recordings, tonic_set
from spikeseq.recipes.gestures.frames import arrived, encode, encoding_of
from spikeseq.recipes.gestures.sample import CLASSES, SPLITS, write_gesture_sample
from spikeseq.recipes.manifest import checked
from spikeseq.recipes.recipe import SPLITS as ROLES
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.shared.choice import evenly
from spikeseq.recipes.shared.corpus_cache import corpus_folder, keep_corpus, state_of, write_folder
from spikeseq.recipes.shared.errors import DataError, listed

GESTURES_FILE = "gestures.json"
SEED = 1  # of the sample, fixed before anything was trained on it


@dataclass
class GestureSplit:
    """Recordings, uint8 (N, *encoding.shape), and the numbers of their classes and subjects, int64 (N,).

    arrived: how many events have come when each frame is complete, int64 (N, frames).
    """

    frames: Tensor
    labels: Tensor
    subjects: Tensor
    arrived: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class GestureData:
    """All that a gesture classifier is trained and tested on. No subject is in two splits."""

    name: str
    classes: list[str]
    encoding: Encoding
    splits: dict[str, GestureSplit]

    def files(self) -> dict[str, str]:
        """What a run folder keeps, by file name, so that a run is opened without its data."""
        about = {"classes": self.classes, "encoding": asdict(self.encoding), "shape": self.encoding.shape}
        return {GESTURES_FILE: json.dumps(about)}

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        counts = {name: len(split) for name, split in self.splits.items()}
        return {
            "recordings": counts,
            "subjects": {name: len(split.subjects.unique()) for name, split in self.splits.items()},
            "events": {name: int(split.arrived[:, -1].sum()) for name, split in self.splits.items()},
        }


def load_gestures(settings: Any, say: Say = lambda text: None) -> GestureData:
    """The splits that the section `data` of a configuration describes.

    - `source`: "sample", "hub" (tonic downloads the set), or the folder that holds tonic's `DVSGesture`.
    - those of `Encoding`, which say what a recording becomes.
    - `drop`: share of the events of each training recording that is left out, chosen once; 0 for none.
    - `validation_subjects`: how many of the subjects trained on are held out, chosen by `split_seed`.
    - `limit`: recordings of train, before the cut, and of test, evenly over the classes; null for all.

    Raises:
        DataError: settings or data that cannot be used.
    """
    encoding, source = _check(settings), _source(settings, say)
    train = _load(settings, encoding, source, "train", say)
    held = held_out(train.subjects, settings.validation_subjects, settings.split_seed)
    splits = {
        "train": _rows(train, ~held),
        "validation": _rows(train, held),
        "test": _load(settings, encoding, source, "test", say),
    }
    if settings.drop:
        splits["train"] = _rows(_load(settings, encoding, source, "train", say, drop=True), ~held)
    return GestureData(source.name, list(CLASSES), encoding, splits)


def open_split(settings: Any, split: str, say: Say = lambda text: None) -> tuple[GestureSplit, list[str]]:
    """One split, as `load_gestures` gives it, but with all events, and the names of its classes.

    Raises:
        DataError: as `load_gestures`.
    """
    encoding = _check(settings)
    if split not in ROLES:
        raise DataError(f"no split {split!r}; expected one of {listed(ROLES)}")
    role = "test" if split == "test" else "train"
    found = _load(settings, encoding, _source(settings, say), role, say)
    if role == "train":
        held = held_out(found.subjects, settings.validation_subjects, settings.split_seed)
        found = _rows(found, held if split == "validation" else ~held)
    return found, list(CLASSES)


def held_out(subjects: Tensor, count: int, seed: int) -> Tensor:
    """Which recordings (N,) are of the `count` subjects that validate, chosen by the seed.

    Raises:
        DataError: no such number of subjects, with one left to train on.
    """
    users = subjects.unique().tolist()
    if type(count) is not int or not 0 < count < len(users):
        problem = f"data.validation_subjects={count!r}"
        raise DataError(f"{problem}: expected 1 to {len(users) - 1} of the {len(users)} subjects of train")
    chosen = random.Random(seed).sample(users, count)
    return torch.isin(subjects, torch.tensor(chosen))


@dataclass(frozen=True)
class Source:
    """Where recordings lie, and what their content depends on."""

    name: str
    folder: Path
    recordings: dict[str, list[Recording]]


def _rows(split: GestureSplit, rows: Tensor) -> GestureSplit:
    return GestureSplit(*(getattr(split, one.name)[rows] for one in fields(GestureSplit)))


def _check(settings: Any) -> Encoding:
    limit, drop = settings.limit, settings.drop
    if limit is not None and (type(limit) is not int or limit < 1):
        raise DataError(f"data.limit={limit!r}: expected a number from 1 up, or null")
    if type(drop) not in (int, float) or not 0 <= drop < 1:
        raise DataError(f"data.drop={drop!r}: expected a share of the events, from 0 to below 1")
    return encoding_of(settings)


def _source(settings: Any, say: Say) -> Source:
    if settings.source == "sample":
        folder = _sample(say)
    elif settings.source == "hub":
        folder = made_cache_folder() / "tonic"
        _download(folder, say)
    else:
        folder = Path(os.path.expanduser(settings.source))
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; expected sample, hub or one that holds DVSGesture")
    name = settings.source if settings.source in ("sample", "hub") else folder.resolve().name
    return Source(name, folder, find_recordings(folder))


def _download(folder: Path, say: Say) -> None:
    """Lets tonic download what is not there, or not whole."""
    try:
        find_recordings(folder)
    except DataError:
        for split in SPLITS:
            say(f"tonic looks for {SPLITS[split]} in {folder}, and downloads it if need be")
            tonic_set(folder, split)


def _sample(say: Say) -> Path:
    """The folder of the generated sample, which is written where it is not whole."""
    modules = (gesture_scene, gesture_events, gesture_sample)
    code = [Path(str(module.__file__)).read_bytes() for module in modules]
    folder = corpus_folder(("gesture sample", hashlib.sha256(b"".join(code)).hexdigest(), SEED))
    try:
        find_recordings(folder)
    except DataError:
        try:
            write_folder(folder, partial(write_gesture_sample, seed=SEED, say=say))
        except OSError as error:
            how = "expected room for 250 MB; SPIKESEQ_CACHE names another folder"
            raise DataError(f"{folder}: cannot be written ({error.strerror}); {how}") from None
    return folder


def _load(
    settings: Any, encoding: Encoding, source: Source, role: str, say: Say, drop: bool = False
) -> GestureSplit:
    """The chosen recordings of train, validation among them, or test, from the cache if they are there."""
    recordings = source.recordings[role]
    labels = np.array([one.label for one in recordings])
    chosen = [recordings[row] for row in evenly(labels, settings.limit, settings.split_seed)]
    share = settings.drop if drop else 0
    files = [state_of(one.path) for one in chosen]
    facts = ("gestures", 2, files, asdict(encoding), share, settings.split_seed if share else None)
    folder = corpus_folder(facts)
    kept = _read(folder)
    if kept is not None:
        return kept
    say(f"encoding {len(chosen):,} recordings of {source.name}, {role}")
    frames = np.empty((len(chosen), *encoding.shape), np.uint8)
    ends = np.empty((len(chosen), encoding.frames), np.int64)
    for row, events in enumerate(read_recordings(source.folder, role, chosen)):
        thin = _dropped(events, share, (settings.split_seed, row)) if share else events
        frames[row], ends[row] = encode(thin, encoding, str(chosen[row].path)), arrived(thin, encoding)
    loaded = GestureSplit(
        torch.from_numpy(frames),
        torch.tensor([one.label for one in chosen]),
        torch.tensor([one.user for one in chosen]),
        torch.from_numpy(ends),
    )
    keep_corpus(folder, partial(_write, loaded), say)
    return loaded


def _dropped(events: np.ndarray, share: float, seed: Sequence[int]) -> np.ndarray:
    """As tonic's DropEvent, but that draws from numpy's global generator."""
    count = len(events) - round(share * len(events))
    return events[np.sort(np.random.default_rng(seed).permutation(len(events))[:count])]


def _write(loaded: GestureSplit, folder: Path) -> None:
    save_file(vars(loaded), folder / "tensors.safetensors")


def _read(folder: Path) -> GestureSplit | None:
    """What is in the cache, or None where there is nothing or it is damaged."""
    try:
        return GestureSplit(**load_file(checked(folder / "tensors.safetensors")))
    except (OSError, ValueError, TypeError, SafetensorError):
        return None
