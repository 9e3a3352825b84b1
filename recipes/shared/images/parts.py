"""What every layout of an image data set is read as: parts by role, whose rows are labels and images.

Images come one by one, encoded or as arrays, so that of a large set only chosen rows are read and decoded.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spikeseq.recipes.shared.corpus_cache import state_of

Image = tuple[str, Any]  # where it comes from, and an encoded file (bytes), its path, or an array (H, W[, C])


@dataclass(frozen=True)
class Rows:
    """Labels (N,) of int64, the images of ascending rows by `take`, and the classes' names if it has any."""

    origin: str
    labels: np.ndarray
    take: Callable[[Sequence[int]], Iterator[Image]]
    classes: list[str] | None = None


@dataclass(frozen=True)
class Part:
    """One split where it lies: `read()` reads it, and its content depends on `facts`, which JSON can hold.

    first: its first file, if it lies in files.
    """

    facts: Any
    read: Callable[[], Rows]
    first: Path | None = None


Parts = dict[str, Part]  # by role: train, test, and validation where the data brings one


def file_part(files: Sequence[Path], read: Callable[[], Rows]) -> Part:
    """A part that depends on files: their paths and states (`state_of`)."""
    return Part([state_of(path) for path in files], read, files[0])


def array_rows(origin: str, images: np.ndarray, labels: np.ndarray, classes: list[str] | None) -> Rows:
    """Rows of images in one array of uint8 (N, H, W[, C])."""

    def take(rows: Sequence[int]) -> Iterator[Image]:
        return ((f"{origin}, image {row + 1}", images[row]) for row in rows)

    return Rows(origin, labels.astype(np.int64), take, classes)
