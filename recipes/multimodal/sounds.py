"""Spoken digits: the Free Spoken Digit Dataset, as a parquet file or wav files, and the generated sample."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from spikeseq.recipes.multimodal.cochlea import cochleagram
from spikeseq.recipes.multimodal.voice import speak_digits
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.shared.errors import DataError, shown
from spikeseq.recipes.shared.files.parquet import column_of, opened

CLASSES = 10
TEST_INDICES = 5
"""Recordings 0 to 4 of a speaker and digit are FSDD's test split."""
FILE_NAME = re.compile(r"(\d)_(.+)_(\d+)\.wav", re.IGNORECASE)

Recording = tuple[str, np.ndarray, int, int, bool]
"""Where it is from, samples, samples a second, digit, and whether it is one to test on."""


@dataclass
class Sounds:
    """What channels do over the time of recordings, (N, frames, 64) in [0, 1], and digits, int64 (N,)."""

    activity: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, chosen: Tensor) -> "Sounds":
        return Sounds(self.activity[chosen], self.labels[chosen])


def load_sounds(source: str, frames: int, say: Say = lambda text: None) -> dict[str, Sounds]:
    """The splits "train" and "test" of "sample" or of a folder.

    The folder, or `fsdd` inside it, holds `fsdd.parquet` (columns `audio`, `sampling_rate`, `label` and
    `split`), or `recordings` with files such as `7_jackson_32.wav`.

    Raises:
        DataError: no such data, or a recording that cannot be used.
    """
    if source == "sample":
        name, found = "sample", speak_digits()
    else:
        name, found = _find(Path(os.path.expanduser(source)))
    made: dict[str, tuple[list[np.ndarray], list[int]]] = {"train": ([], []), "test": ([], [])}
    for where, samples, rate, label, tests in found:
        if not 0 <= label < CLASSES:
            raise DataError(f"{where}: the label is {label}; expected 0 to {CLASSES - 1}")
        activity, labels = made["test" if tests else "train"]
        activity.append(cochleagram(samples, rate, frames, where=where))
        labels.append(label)
    for role, (activity, _) in made.items():
        if not activity:
            raise DataError(f"{name}: no recordings to {role} on; expected a train and a test split")
    say(f"heard {sum(len(labels) for _, labels in made.values()):,} recordings of {name}")
    return {
        role: Sounds(torch.from_numpy(np.stack(activity)), torch.tensor(labels))
        for role, (activity, labels) in made.items()
    }


def read_wav(path: Path) -> tuple[np.ndarray, int]:
    """Samples of a wav file, the mean of its channels, and how many a second.

    Raises:
        DataError: the file is not there, or no wav file.
    """
    from scipy.io import wavfile

    try:
        rate, samples = wavfile.read(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except Exception as error:  # a damaged file raises whatever its decoder stumbles over
        damage = shown(str(error), 80)
        raise DataError(f"{path}: not a readable sound ({damage}); expected a wav file") from None
    if samples.dtype == np.uint8:  # silence is 128 in files of 8 bits
        samples = samples.astype(np.int16) - 128
    return (samples if samples.ndim == 1 else samples.mean(1)), int(rate)


def _find(folder: Path) -> tuple[str, Iterator[Recording]]:
    for place in (folder, folder / "fsdd"):
        if (place / "fsdd.parquet").is_file():
            return str(place / "fsdd.parquet"), _of_parquet(place / "fsdd.parquet")
        if files := sorted((place / "recordings").glob("*.wav")):
            return str(place / "recordings"), map(_of_file, files)
    expected = "fsdd.parquet or recordings/*.wav, there or in its folder fsdd"
    raise DataError(f"{folder}: no spoken digits; expected {expected}")


def _of_file(path: Path) -> Recording:
    named = FILE_NAME.fullmatch(path.name)
    if named is None:
        raise DataError(f"{path}: a name that says no digit; expected one such as 7_jackson_32.wav")
    samples, rate = read_wav(path)
    return str(path), samples, rate, int(named[1]), int(named[3]) < TEST_INDICES


def _of_parquet(path: Path) -> Iterator[Recording]:
    with opened(path) as file:
        present = file.schema_arrow.names
        names = [
            column_of(str(path), present, [name]) for name in ("audio", "sampling_rate", "label", "split")
        ]
        table = file.read(names).combine_chunks()
    audio, rates, labels, splits = (table[name] for name in names)
    for name, column in zip(names, (audio, rates, labels, splits), strict=True):
        if column.null_count:
            raise DataError(f"{path}: column {name!r} lacks {column.null_count:,} values; expected all")
    rows = zip(audio, rates.to_pylist(), labels.to_pylist(), splits.to_pylist(), strict=True)
    for row, (sound, rate, label, split) in enumerate(rows):
        where = f"{path}, row {row + 1}"
        if split not in ("train", "test"):
            raise DataError(f"{where}: the split is {shown(split)}; expected 'train' or 'test'")
        yield where, sound.values.to_numpy(zero_copy_only=False), rate, label, split == "test"
