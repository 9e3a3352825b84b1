"""Sequences of bytes to classify: the pixels of an image in a fixed order, or the first bytes of a text."""

import json
import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikeseq.recipes.manifest import RunError, read_json, reason
from spikeseq.recipes.recipe import Say
from spikeseq.recipes.sequences.settings import PICTURES
from spikeseq.recipes.shared.images.data import (
    ImageData,
    ImageSplit,
    channel_statistics,
    load_images,
    open_split,
)
from spikeseq.recipes.shared.images.digits import digit_sample
from spikeseq.recipes.shared.opened import checked_classes
from spikeseq.recipes.shared.texts.data import TextSplit, load_text_data

SEQUENCES_FILE = "sequences.json"
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in grey, as Pillow and torchvision have it (ITU-R 601)
BYTES = 257
"""Tokens of a text: padding, and every byte plus one."""


@dataclass
class Sequences:
    """One split: sequence i is `rows[starts[i]:starts[i + 1]]`, uint8; labels (N,) are indices of classes."""

    rows: Tensor
    starts: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def lengths(self) -> list[int]:
        """Rows of every sequence."""
        return (self.starts[1:] - self.starts[:-1]).tolist()  # type: ignore[no-any-return]

    def batch(self, chosen: list[int]) -> tuple[Tensor, Tensor]:
        """Some sequences as (L, B) uint8, behind their ends zeros, and their lengths (B,)."""
        parts = [self.rows[self.starts[i] : self.starts[i + 1]] for i in chosen]
        return pad_sequence(parts), torch.tensor([len(part) for part in parts])


@dataclass(frozen=True)
class Reading:
    """How a model reads sequences.

    scale: mean and deviation of training pixels in 0..1. size: side of an image. Both None of texts.
    permutation: seed of the order in which pixels come; None for row by row.
    """

    scale: tuple[float, float] | None = None
    size: int | None = None
    permutation: int | None = None

    def __call__(self, rows: Tensor, lengths: Tensor, stride: int) -> Tensor:
        """What a model reads of sequences (L, B) uint8: whole ticks, behind a sequence's end padding.

        Pixels become values (L, B, 1) of mean 0 and deviation 1 in their order, zero behind the end; bytes
        tokens (L, B), 0 behind the end.
        """
        if self.permutation is not None:
            rows = rows[order_of(len(rows), self.permutation)]
        length = stride * math.ceil(len(rows) / stride)
        padded = torch.nn.functional.pad(rows, (0, 0, 0, length - len(rows)))
        there = torch.arange(length, device=rows.device).unsqueeze(1) < lengths
        if self.scale is None:
            return (padded.long() + 1) * there
        mean, deviation = self.scale
        return ((padded.float() / 255 - mean) / deviation * there).unsqueeze(2)


@dataclass
class SequenceCorpus:
    """All that a classifier of sequences is trained and tested on; pixels lie row by row."""

    name: str
    classes: list[str]
    splits: dict[str, Sequences]
    reading: Reading
    note: str | None = None

    def files(self) -> dict[str, str | bytes]:
        """What a run folder keeps of it, by file name."""
        about = {"classes": self.classes, "scale": self.reading.scale, "size": self.reading.size}
        return {SEQUENCES_FILE: json.dumps(about)}

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        counts = {name: len(split) for name, split in self.splits.items()}
        return {"sequences": counts} | ({"note": self.note} if self.note else {})


def load_sequences(settings: Any, say: Say = lambda text: None) -> SequenceCorpus:
    """The splits that the section `data` of a configuration describes.

    Raises:
        DataError: settings or data that cannot be used.
    """
    if settings.recipe not in PICTURES:
        data = _texts(settings, say)
        parts = data.splits(settings.validation_share, settings.split_seed)
        encoded = {name: sequences_of(texts, settings.longest) for name, texts in parts.items()}
        return SequenceCorpus(data.name, data.classes, encoded, Reading())
    images = _images(settings, say)
    splits = {name: of_images(split) for name, split in images.splits.items()}
    (mean,), (deviation,) = channel_statistics(splits["train"].rows.view(1, 1, -1))
    reading = Reading((mean, deviation), images.shape[-1], settings.permutation)
    return SequenceCorpus(images.name, images.classes, splits, reading, images.note)


def open_sequences(
    settings: Any, split: str, say: Say = lambda text: None
) -> tuple[Sequences, list[str], str]:
    """One split of any data, as `load_sequences` gives it, the names of its classes, and of the data."""
    if settings.recipe in PICTURES and settings.source != "sample":
        images, classes = open_split(as_images(settings), split, say)
        return of_images(images), classes, Path(settings.source).name
    corpus = load_sequences(settings, say)
    return corpus.splits[split], corpus.classes, corpus.name


def as_images(settings: Any) -> Any:
    """The settings that images are read by."""
    found = settings.copy()
    found.recipe = PICTURES[settings.recipe]
    return found


def _images(settings: Any, say: Say) -> ImageData:
    """Of psmnist the sample is digits, as the data is; of scifar it is shapes."""
    sample = settings.source == "sample" and settings.recipe == "psmnist"
    return digit_sample(settings) if sample else load_images(as_images(settings), say)


def _texts(settings: Any, say: Say) -> Any:
    say(f"reading {settings.source}")
    return load_text_data(
        settings.source, text_column=settings.text_column, label_column=settings.label_column,
        test_share=settings.test_share, seed=settings.split_seed, limit=settings.limit,
    )  # fmt: skip


@lru_cache(maxsize=4)
def order_of(pixels: int, permutation: int) -> Tensor:
    """Which pixel comes when: NumPy's `RandomState(seed).permutation`, the same in all its versions."""
    return torch.from_numpy(np.random.RandomState(permutation).permutation(pixels))


def grey_rows(pixels: Tensor) -> Tensor:
    """Images uint8 (N, C, H, W) as sequences of grey values, row by row, (N, H * W)."""
    if pixels.shape[1] == 3:
        grey = torch.empty(len(pixels), 1, *pixels.shape[2:], dtype=torch.uint8)
        weights = torch.tensor(LUMA).view(1, 3, 1, 1)
        for some, out in zip(pixels.split(1000), grey.split(1000), strict=True):
            out.copy_((some * weights).sum(1, keepdim=True).round())
        pixels = grey
    return pixels.flatten(1)


def of_images(split: ImageSplit) -> Sequences:
    """Images as sequences."""
    rows = grey_rows(split.pixels)
    return Sequences(rows.flatten(), torch.arange(len(rows) + 1) * rows.shape[1], split.labels)


def bytes_of(text: str, longest: int) -> Tensor:
    """The first bytes of a text in UTF-8, uint8; a text without any is one space."""
    return torch.tensor(list(text.encode()[:longest] or b" "), dtype=torch.uint8)


def sequences_of(split: TextSplit, longest: int) -> Sequences:
    """Texts as sequences of their first bytes."""
    parts = [bytes_of(text, longest) for text in split.texts]
    starts = torch.tensor([0, *map(len, parts)]).cumsum(0)
    return Sequences(torch.cat(parts), starts, torch.tensor(split.labels))


def read_kept(folder: Path) -> dict[str, Any]:
    """What a run folder keeps of its sequences. Raises RunError for a file that is damaged."""
    path = folder / SEQUENCES_FILE
    try:
        kept = read_json(path)
        about = {key: kept[key] for key in ("classes", "scale", "size")}
        checked_classes(about["classes"])
        scale, size = about["scale"], about["size"]
        if scale is not None:
            good = len(scale) == 2 and all(type(value) in (int, float) for value in scale)
            if not (good and abs(scale[0]) < 1e6 and 0 < scale[1] < 1e6):
                raise ValueError(f"scale is {scale!r:.60}; expected a mean and a deviation")
        if size is not None and (type(size) is not int or not 0 < size <= 10_000):
            raise ValueError(f"size is {size!r:.60}; expected the side of an image")
        if (scale is None) != (size is None):
            raise ValueError("scale and size must both be there, or neither")
        return about
    except RunError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None
