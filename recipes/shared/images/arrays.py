"""Labelled images in their publishers' arrays: MNIST's idx files, SVHN's .mat files, CIFAR's batches."""

import gzip
import io
import math
import pickle
import zlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spikeseq.recipes.shared.errors import DataError, check_one, shown
from spikeseq.recipes.shared.images.names import DIGITS
from spikeseq.recipes.shared.images.parts import Parts, Rows, array_rows, file_part


def find_idx(folder: Path) -> Parts:
    """`train-images-idx3-ubyte` and so on, packed by gzip or not, in the folder or in `MNIST/raw`."""
    parts: Parts = {}
    for role, stem in (("train", "train"), ("test", "t10k")):
        found = []
        for inside in (folder / "MNIST" / "raw", folder):
            # Some copies write `images.idx3`. A file comes before its packed copy.
            images = min(inside.glob(f"{stem}-images?idx3-ubyte*"), default=None)
            labels = min(inside.glob(f"{stem}-labels?idx1-ubyte*"), default=None)
            if images and labels:
                found.append((images, labels))
        check_one(folder, [str(images.relative_to(folder)) for images, _ in found])
        for pair in found:
            parts[role] = file_part(pair, partial(_idx_rows, *pair))
    return parts


def _idx_rows(images: Path, labels: Path) -> Rows:
    return _rows(images, read_idx(images, 3), read_idx(labels, 1), DIGITS)


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """The array of uint8 in an idx file.

    Raises:
        DataError: another kind of file, or not as many bytes as its head says.
    """
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be unpacked ({shown(str(error), 80)})") from None
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        wanted = f"an idx file of bytes in {dimensions} dimensions"
        raise DataError(f"{path}: starts with {content[:4]!r}; expected {wanted}")
    shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
    found, expected = len(content) - start, math.prod(shape)
    if found != expected:
        sides = " x ".join(map(str, shape))
        raise DataError(f"{path}: {found:,} bytes of data; expected {sides} = {expected:,}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def find_mat(folder: Path) -> Parts:
    """SVHN's cropped digits: `train_32x32.mat` and `test_32x32.mat`."""
    parts: Parts = {}
    for role in ("train", "test"):
        path = folder / f"{role}_32x32.mat"
        if path.is_file():
            parts[role] = file_part([path], partial(_mat_rows, path))
    return parts


def _mat_rows(path: Path) -> Rows:
    from scipy.io import loadmat

    try:
        content = loadmat(path)
        pixels, labels = content["X"], content["y"]
    except Exception as error:  # a damaged file raises whatever its reader stumbles over
        raise DataError(
            f"{path}: not a readable .mat file ({shown(str(error), 80)}); expected X and y of SVHN"
        ) from None
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[2] != 3:
        found = f"X is {pixels.dtype} {pixels.shape}"
        raise DataError(f"{path}: {found}; expected uint8 (height, width, 3, images)")
    labels = labels.reshape(-1).astype(np.int64)
    wrong = np.flatnonzero((labels < 1) | (labels > 10))
    if len(wrong):
        where = f"{path}, image {wrong[0] + 1}"
        raise DataError(f"{where}: the label is {labels[wrong[0]]}; expected 1 to 10, which is digit 0")
    return _rows(path, pixels.transpose(3, 0, 1, 2), labels % 10, DIGITS)


def find_cifar10(folder: Path) -> Parts:
    """CIFAR-10's python version: `cifar-10-batches-py`, or the folder is that."""
    inside = _with_file(folder, "cifar-10-batches-py", "data_batch_1")
    if inside is None:
        return {}
    files = {"train": [inside / f"data_batch_{i}" for i in range(1, 6)], "test": [inside / "test_batch"]}
    return _batch_parts(files, inside / "batches.meta", "labels", "label_names")


def find_cifar100(folder: Path) -> Parts:
    """CIFAR-100's python version: `cifar-100-python`, or the folder is that."""
    inside = _with_file(folder, "cifar-100-python", "train")
    if inside is None:
        return {}
    files = {"train": [inside / "train"], "test": [inside / "test"]}
    return _batch_parts(files, inside / "meta", "fine_labels", "fine_label_names")


def _with_file(folder: Path, name: str, file: str) -> Path | None:
    """Of a folder and the one `name` in it, that which has the file."""
    found = [place for place in (folder, folder / name) if (place / file).is_file()]
    check_one(folder, [str((place / file).relative_to(folder)) for place in found])
    return found[0] if found else None


def _batch_parts(files: dict[str, list[Path]], meta: Path, labels: str, names: str) -> Parts:
    for path in [path for role in files.values() for path in role]:
        if not path.is_file():
            raise DataError(f"{path}: no such file; expected all batches of CIFAR's python version")
    metas = [meta] if meta.is_file() else []
    return {
        role: file_part([*paths, *metas], partial(_batch_rows, paths, metas, labels, names))
        for role, paths in files.items()
    }


def _batch_rows(files: Sequence[Path], metas: Sequence[Path], labels: str, names: str) -> Rows:
    pixels, numbers = [], []
    for path in files:
        batch = read_pickle(path)
        data, found = batch.get("data"), batch.get(labels)
        if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
            raise DataError(f"{path}: no images; expected `data` of uint8 (images, 3072)")
        if not isinstance(found, list) or len(found) != len(data) or not all(type(n) is int for n in found):
            raise DataError(f"{path}: expected {len(data)} integers in `{labels}`, one for each image")
        pixels.append(data.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        numbers += found
    classes = None
    for path in metas:
        classes = read_pickle(path).get(names)
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise DataError(f"{path}: expected names of classes in `{names}`")
    return _rows(files[0], np.concatenate(pixels), np.array(numbers, np.int64), classes)


_ARRAY = np.zeros(1, np.uint8)
# What an array's pickle calls, by old protocols and the fifth; modules are numpy.core or, newer, numpy._core.
_MAKERS: dict[str, Any] = {
    "ndarray": np.ndarray,
    "dtype": np.dtype,
    "_reconstruct": _ARRAY.__reduce__()[0],
    "_frombuffer": _ARRAY.__reduce_ex__(5)[0],
}


class _ArrayUnpickler(pickle.Unpickler):
    """Reads builtin containers and numpy arrays: whatever else a pickle names could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "numpy" and name in _MAKERS:
            return _MAKERS[name]
        if (module, name) == ("_codecs", "encode"):  # how a pickle of an old protocol holds bytes
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}, which is no array")


def read_pickle(path: Path) -> dict[str, Any]:
    """A pickled dictionary of builtin values and numpy arrays, also one that Python 2 wrote.

    Raises:
        DataError: another kind of file, a damaged one, or one with objects of other kinds.
    """
    try:
        content = _ArrayUnpickler(io.BytesIO(path.read_bytes()), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises whatever it stumbles over
        raise DataError(f"{path}: not a readable batch of CIFAR ({shown(str(error), 80)})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds a {type(content).__name__}; expected a batch of CIFAR, a dictionary")
    return content


def _rows(path: Path, pixels: np.ndarray, labels: np.ndarray, classes: list[str] | None) -> Rows:
    if len(pixels) != len(labels):
        raise DataError(f"{path}: {len(pixels)} images and {len(labels)} labels; expected as many of both")
    return array_rows(str(path), pixels, labels, classes)
