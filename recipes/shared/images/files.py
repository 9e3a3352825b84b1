"""Finding labelled images in a folder, in any of the layouts that image data sets come in."""

import difflib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from spikeseq.recipes.shared.errors import DataError, check_one, listed
from spikeseq.recipes.shared.images.arrays import find_cifar10, find_cifar100, find_idx, find_mat
from spikeseq.recipes.shared.images.names import IMAGENETS
from spikeseq.recipes.shared.images.parquet import find_parquet
from spikeseq.recipes.shared.images.parts import Image, Parts, Rows, file_part

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
OTHERS = (".gif", ".tif", ".tiff", ".avif", ".heic", ".jp2", ".ppm", ".pgm")  # images too, which are not read
FOLDERS = {"train": ("train",), "validation": ("validation", "val"), "test": ("test",)}


def find_parts(source: str, recipe: str) -> tuple[str, Parts]:
    """The name and the parts of the data set in the folder `source`, or in its folder called as the recipe.

    The validation split serves as the test split where there is no other, or, of ImageNets, none with labels.

    Raises:
        DataError: no such folder, nothing in it that is laid out as in `LAYOUTS`, or two such things. (Other
            publishers' arrays beside a recipe's own are passed over.)
    """
    path = Path(os.path.expanduser(source))
    try:
        if not path.is_dir():
            raise DataError(f"{path}: {_missing(path)}; expected sample, hub or a folder")
        for folder in (path, path / recipe):
            parts = _laid_out(folder, recipe)
            if "validation" in parts and ("test" not in parts or recipe in IMAGENETS):
                parts["test"] = parts.pop("validation")
            if parts:
                return folder.resolve().name, parts
        content = _content(path)
    except OSError as error:
        expected = "sample, hub or a folder"
        raise DataError(f"{source}: cannot be read ({error.strerror}); expected {expected}") from None
    raise DataError(f"{path}: it holds {content}; expected one of these layouts: {'; '.join(LAYOUTS)}")


def _laid_out(folder: Path, recipe: str) -> Parts:
    """The parts of the one layout that a folder has; none where it has none.

    Others' arrays are passed over beside the recipe's own, and where these are in the folder called as it.
    """
    own = PUBLISHED.get(recipe)
    theirs = [find for find in PUBLISHED.values() if find is not own]
    others = theirs if own and own(folder) else []
    found = {find: parts for find in LAYOUTS.values() if find not in others and (parts := find(folder))}
    files = [part.first for parts in found.values() for part in list(parts.values())[:1]]
    check_one(folder, [os.path.relpath(file, folder) for file in files if file])
    if own and any(find in found for find in theirs) and own(folder / recipe):
        return {}
    return next(iter(found.values()), {})


def find_folders(folder: Path) -> Parts:
    """`train/CLASS/*.png` and so on: a folder of images for each class; nothing where none holds an image."""
    parts: Parts = {}
    if not any(_hold_images(folder / name) for names in FOLDERS.values() for name in names):
        return parts  # a folder of other things, as of somebody's tests
    for role, names in FOLDERS.items():
        paths = [
            path for path in (folder / name for name in names) if path.is_dir() and _visible_folders(path)
        ]
        check_one(folder, [path.name for path in paths])
        for path in paths:
            images = {entry.name: _images(entry) for entry in _visible_folders(path)}
            files = [file for found in images.values() for file in found]
            parts[role] = file_part(files, partial(_folder_rows, path, images))
    return parts


def _folder_rows(path: Path, images: dict[str, list[Path]]) -> Rows:
    files = [file for found in images.values() for file in found]
    labels = np.repeat(np.arange(len(images)), [len(found) for found in images.values()])

    def take(rows: Sequence[int]) -> Iterator[Image]:
        return ((str(files[row]), files[row]) for row in rows)

    return Rows(str(path), labels.astype(np.int64), take, list(images))


def _visible_folders(path: Path) -> list[Path]:
    with os.scandir(path) as entries:
        return sorted(Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _hold_images(path: Path) -> bool:
    kinds = (*SUFFIXES, *OTHERS)
    classes = _visible_folders(path) if path.is_dir() else []
    return any(name.lower().endswith(kinds) for entry in classes for name in os.listdir(entry))


def _images(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        files = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    other = next((name for name in files if name.lower().endswith(OTHERS)), None)
    if other is not None:  # left out, it would be missed by nobody
        raise DataError(f"{folder / other}: an image of a kind that is not read; expected {listed(SUFFIXES)}")
    names = [name for name in files if name.lower().endswith(SUFFIXES)]
    if not names:
        raise DataError(f"{folder}: a class without images; expected files in {listed(SUFFIXES)}")
    return [folder / name for name in names]


LAYOUTS: dict[str, Callable[[Path], Parts]] = {
    "train.parquet and test.parquet, or train-*.parquet, there or in data": find_parquet,
    "MNIST's train-images-idx3-ubyte, packed or not, there or in MNIST/raw": find_idx,
    "SVHN's train_32x32.mat and test_32x32.mat": find_mat,
    "CIFAR's cifar-10-batches-py": find_cifar10,
    "CIFAR's cifar-100-python": find_cifar100,
    "train/CLASS/*.png, *.jpg, *.webp or *.bmp, and val or test": find_folders,
}
PUBLISHED = {"mnist": find_idx, "svhn": find_mat, "cifar10": find_cifar10, "cifar100": find_cifar100}


def _missing(path: Path) -> str:
    """Why a path is no folder, with the name beside it that is nearest."""
    if path.exists():
        return "a file"
    parent = next(parent for parent in path.absolute().parents if parent.is_dir())
    lost = path.absolute().relative_to(parent).parts[0]
    close = difflib.get_close_matches(lost, [entry.name for entry in _visible_folders(parent)], n=1)
    hint = f"did you mean {str(parent / close[0])!r}?" if close else f"{parent} holds {_content(parent)}"
    return f"no such folder; {hint}"


def _content(folder: Path) -> str:
    return listed(sorted(entry.name for entry in folder.iterdir())) or "nothing"
