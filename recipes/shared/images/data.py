"""Labelled images for classification: the generated sample, a folder, or the hub; as uint8 tensors in memory.

`load_images` gives all splits, `open_split` one of them, for a trained model. What was decoded is kept in the
cache. Whatever is wrong with the input is a one-line DataError.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spikeseq.recipes.manifest import checked, read_json
from spikeseq.recipes.recipe import SPLITS, Say
from spikeseq.recipes.shared.choice import check_share, cut_validation, evenly
from spikeseq.recipes.shared.corpus_cache import corpus_folder, keep_corpus
from spikeseq.recipes.shared.errors import DataError, listed
from spikeseq.recipes.shared.images import sample as image_sample
from spikeseq.recipes.shared.images.files import find_parts
from spikeseq.recipes.shared.images.names import HUB, IMAGENETS, KNOWN, RECIPES, same_names
from spikeseq.recipes.shared.images.parquet import hub_parts
from spikeseq.recipes.shared.images.parts import Part, Parts, Rows, array_rows
from spikeseq.recipes.shared.images.pixels import decode_images
from spikeseq.recipes.shared.images.sample import make_image_sample

IMAGES_FILE = "images.json"
LOSSLESS = ("cifar10", "cifar100", "mnist", "svhn")  # as published
MOST_CLASSES = 100_000  # of data that names none: a label beyond is damage
REENCODED = "JPEG re-encoded: figures compare only roughly with those on the original pixels"


@dataclass
class ImageSplit:
    """Pixels, uint8 (N, C, H, W), and the indices of their classes, int64 (N,)."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass
class ImageData:
    """All that an image classifier is trained and tested on; `mean` and `std` scale its inputs.

    They are per channel, of the training pixels in 0..1, without those of the validation split.
    """

    name: str
    classes: list[str]
    splits: dict[str, ImageSplit]
    mean: list[float]
    std: list[float]
    note: str | None = None  # what must be said beside a result on this copy of the data

    @property
    def shape(self) -> tuple[int, int, int]:
        """The numbers of classes and channels, and the side of an image."""
        channels, size = next(iter(self.splits.values())).pixels.shape[1:3]
        return len(self.classes), channels, size

    def about(self) -> dict[str, Any]:
        """What a trained model must know of it."""
        _, channels, size = self.shape
        about = {"classes": self.classes, "mean": self.mean, "std": self.std}
        return about | {"channels": channels, "size": size}

    def files(self) -> dict[str, str]:
        """What a run folder keeps, by file name, so that a run is opened without its data."""
        return {IMAGES_FILE: json.dumps(self.about())}

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        counts = {name: len(split) for name, split in self.splits.items()}
        return {"images": counts} | ({"note": self.note} if self.note else {})


@dataclass
class Loaded(ImageSplit):
    """A part as it is kept in the cache, before validation images are cut off; classes if it names them."""

    classes: list[str] | None
    jpeg: bool


def load_images(settings: Any, say: Say = lambda text: None) -> ImageData:
    """The splits that the section `data` of a configuration describes.

    - `recipe`: cifar10, cifar100, mnist, svhn, imagenette or imagenet. It decides the channels, the names of
      classes where the data has none, and that of ImageNets `val` is the test split.
    - `source`: "sample", "hub", or a folder in one of the layouts of `image_files`.
    - `validation_share` of every class is cut from the training images, chosen by `split_seed`, where the
      data brings no validation split beside its test split.
    - `limit`: training images, before that cut, and test images that are kept, evenly over the classes.
    - `size`: the side to which images are cut and resized. Null leaves them as they are, but for ImageNets,
      whose images have many sizes: 224, for which their models are made.

    Raises:
        DataError: settings or data that cannot be used.
    """
    _check(settings)
    name, parts = _parts(settings)
    for role in ("train", "test"):
        _need(settings, parts, role)
    loaded = {role: _load(settings, part, say) for role, part in parts.items()}
    train = loaded["train"]
    classes = _classes(settings, train)
    if len(train.labels.unique()) < 2:
        raise DataError(f"{name}: train has images of one class only; expected two or more classes")
    for role, split in loaded.items():
        _check_classes(f"{name}: {role}", split, classes, train)
    if "validation" not in loaded:
        rows = cut_validation(train.labels, settings.validation_share, settings.split_seed, name)
        splits = dict(zip(SPLITS, [*(_rows(train, part) for part in rows), loaded["test"]], strict=True))
    else:
        splits = {role: ImageSplit(loaded[role].pixels, loaded[role].labels) for role in SPLITS}
    mean, std = channel_statistics(splits["train"].pixels)
    jpeg = any(split.jpeg for split in loaded.values())
    note = REENCODED if jpeg and settings.recipe in LOSSLESS else None
    return ImageData(name, classes, splits, mean, std, note)


def open_split(settings: Any, split: str, say: Say = lambda text: None) -> tuple[ImageSplit, list[str]]:
    """One split, as `load_images` gives it, and the names of its classes; other parts are not read.

    Raises:
        DataError: as `load_images`.
    """
    _check(settings)
    if split not in SPLITS:
        raise DataError(f"no split {split!r}; expected one of {listed(SPLITS)}")
    _, parts = _parts(settings)
    role = split if split in parts or split == "test" else "train"
    loaded = _load(settings, _need(settings, parts, role), say)
    classes = _classes(settings, loaded)
    if split == "test" or "validation" in parts:
        return ImageSplit(loaded.pixels, loaded.labels), classes
    shares = settings.validation_share, settings.split_seed
    train, validation = cut_validation(loaded.labels, *shares, settings.source)
    return _rows(loaded, train if split == "train" else validation), classes


def channel_statistics(pixels: Tensor) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of pixels (N, C, H, W) in 0..1, per channel."""
    counts = torch.zeros(pixels.shape[1], 256, dtype=torch.float64)
    for chunk in pixels.split(4096):
        for channel, count in enumerate(counts):
            count += torch.bincount(chunk[:, channel].flatten(), minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    shares = counts / counts.sum(1, keepdim=True)
    mean = shares @ values
    # Not 0 for a channel of one value, as inputs are divided by it.
    std = (shares @ values.square() - mean.square()).clamp(min=255.0**-2).sqrt()
    return mean.tolist(), std.tolist()


def _rows(split: ImageSplit, rows: Tensor) -> ImageSplit:
    return ImageSplit(split.pixels[rows], split.labels[rows])


def _check(settings: Any) -> None:
    if settings.recipe not in RECIPES:
        raise DataError(f"no image recipe {settings.recipe!r}; expected one of {listed(RECIPES)}")
    for name, value in (("size", settings.size), ("limit", settings.limit)):
        if value is not None and (type(value) is not int or value < 1):
            raise DataError(f"data.{name}={value!r}: expected a number from 1 up, or null")
    check_share(settings.validation_share)


def _parts(settings: Any) -> tuple[str, Parts]:
    if settings.source == "sample":
        return "sample", _sample_parts(settings)
    if settings.source == "hub":
        return HUB[settings.recipe][0], hub_parts(settings.recipe)
    return find_parts(settings.source, settings.recipe)


def _sample_parts(settings: Any) -> Parts:
    def read(split: str) -> Rows:
        pixels, labels = make_image_sample(settings.recipe, size=settings.size)[split]
        return array_rows(f"sample, {split}", pixels, labels, list(image_sample.CLASSES))

    code = hashlib.sha256(Path(image_sample.__file__).read_bytes()).hexdigest()
    return {split: Part(["sample", code, split], partial(read, split)) for split in ("train", "test")}


def _need(settings: Any, parts: Parts, role: str) -> Part:
    if role not in parts:
        raise DataError(f"{settings.source}: no {role} split, only {listed(parts)}; expected train and test")
    return parts[role]


def _side(settings: Any) -> int | None:
    """The side that images are resized to: photographs of many sizes need one, and the sample has its own."""
    if settings.size is None and settings.recipe in IMAGENETS and settings.source != "sample":
        return 224
    return settings.size


def _load(settings: Any, part: Part, say: Say) -> Loaded:
    """The part's chosen rows, from the cache if they are there."""
    choice = None if settings.limit is None else (settings.limit, settings.split_seed)
    facts = ("images", 2, settings.recipe, part.facts, _side(settings), choice)
    folder = corpus_folder(facts)
    kept = _read(folder)
    if kept is not None:
        return kept
    rows = part.read()
    _check_labels(rows, settings.recipe)
    chosen = evenly(rows.labels, settings.limit, settings.split_seed)
    say(f"reading {len(chosen):,} images of {rows.origin}")
    channels = 1 if settings.recipe == "mnist" else 3
    pixels, jpeg = decode_images(rows.take(chosen), len(chosen), channels, _side(settings))
    classes = None if rows.classes is None else same_names(settings.recipe, rows.classes)
    loaded = Loaded(pixels, torch.from_numpy(rows.labels[chosen]), classes, jpeg)
    keep_corpus(folder, partial(_write, loaded), say)
    return loaded


def _check_labels(rows: Rows, recipe: str) -> None:
    if len(rows.labels) == 0:
        raise DataError(f"{rows.origin}: holds no images")
    names = rows.classes or KNOWN.get(recipe)
    end = len(names) if names else MOST_CLASSES
    wrong = (rows.labels < 0) | (rows.labels >= end)
    if wrong.any():
        row = int(wrong.argmax())
        where = f"{rows.origin}, row {row + 1}"
        raise DataError(f"{where}: the label is {rows.labels[row]}; expected 0 to {end - 1}")


def _classes(settings: Any, split: Loaded) -> list[str]:
    """The classes' names: the data's own, those known of the recipe, or numbers."""
    numbers = [str(number) for number in range(int(split.labels.max()) + 1)]
    return split.classes or KNOWN.get(settings.recipe) or numbers


def _check_classes(origin: str, split: Loaded, classes: list[str], train: Loaded) -> None:
    if split.classes is not None and split.classes != classes:
        expected = f"expected those of train, {listed(classes)}"
        raise DataError(f"{origin} has the classes {listed(split.classes)}; {expected}")
    other = sorted(set(split.labels.tolist()) - set(train.labels.tolist()))
    if other:
        names = listed(classes[label] if label < len(classes) else str(label) for label in other)
        raise DataError(f"{origin} has images of classes that train has none of: {names}")


def _write(loaded: Loaded, folder: Path) -> None:
    save_file({"pixels": loaded.pixels, "labels": loaded.labels}, folder / "tensors.safetensors")
    (folder / IMAGES_FILE).write_text(json.dumps({"classes": loaded.classes, "jpeg": loaded.jpeg}))


def _read(folder: Path) -> Loaded | None:
    """The part in the cache, or None where there is none or it is damaged."""
    try:
        about = read_json(folder / IMAGES_FILE)
        tensors = load_file(checked(folder / "tensors.safetensors"))
        return Loaded(tensors["pixels"], tensors["labels"], about["classes"], about["jpeg"])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
