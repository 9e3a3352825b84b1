"""Pairs of an image and a sound of the same digit."""

import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.recipes.manifest import RunError, read_json, reason
from spikeseq.recipes.multimodal.noise import noisy
from spikeseq.recipes.multimodal.sounds import Sounds, load_sounds
from spikeseq.recipes.recipe import SPLITS, Say
from spikeseq.recipes.shared.choice import cut_validation
from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.images.data import ImageSplit, load_images
from spikeseq.recipes.shared.images.digits import digit_sample

DIGITS_FILE = "digits.json"
SIZE = 28


@dataclass
class PairSplit:
    """Images, and sounds of which there are other numbers; `sound_of` has a sound for every image."""

    images: ImageSplit
    sounds: Sounds
    sound_of: Tensor

    @property
    def labels(self) -> Tensor:
        return self.images.labels

    def __len__(self) -> int:
        return len(self.images)


@dataclass
class PairData:
    """All that is learnt from and tested on; `classes` are the digits."""

    name: str
    splits: dict[str, PairSplit]
    classes: tuple[str, ...] = tuple(map(str, range(10)))

    def files(self) -> dict[str, str]:
        return {DIGITS_FILE: json.dumps({"classes": self.classes, "size": SIZE})}

    def facts(self) -> dict[str, Any]:
        return {
            "pairs": {name: len(split) for name, split in self.splits.items()},
            "sounds": {name: len(split.sounds) for name, split in self.splits.items()},
        }


def load_pairs(settings: Any, frames: int, say: Say = lambda text: None) -> PairData:
    """The splits that the section `data` of a configuration describes; its source holds images and sounds.

    Sounds are held out for validation as images are. Every image gets a sound of its digit; where there are
    fewer sounds than images they are repeated, each about as often.

    Raises:
        DataError: settings or data that cannot be used; images that are not 28 x 28; a digit without sounds.
    """
    if settings.source == "hub":
        raise DataError(
            "data.source=hub: no hub has both; expected sample, or a folder with images and sounds"
        )
    images = digit_sample(settings) if settings.source == "sample" else load_images(settings, say)
    _, channels, side = images.shape
    if (channels, side) != (1, SIZE):
        raise DataError(f"{images.name}: images of {side} x {side}; expected {SIZE} x {SIZE} in grey")
    heard = load_sounds(settings.source, frames, say)
    train, held = cut_validation(heard["train"].labels, settings.validation_share, settings.split_seed)
    sounds = {
        "train": heard["train"].rows(train),
        "validation": heard["train"].rows(held),
        "test": heard["test"],
    }
    splits = {}
    for number, name in enumerate(SPLITS):
        seen = images.splits[name]
        draws = settings.split_seed * len(SPLITS) + number
        pixels = noisy(seen.pixels, settings.noise, settings.deviation, draws)
        chosen = paired(seen.labels, sounds[name].labels, draws)
        splits[name] = PairSplit(ImageSplit(pixels, seen.labels), sounds[name], chosen)
    name = settings.source if settings.source == "sample" else os.path.basename(settings.source)
    return PairData(name, splits)


def paired(labels: Tensor, others: Tensor, seed: int) -> Tensor:
    """For each of `labels` (N,) a row of `others` (M,) with the same label, (N,): all in turn, shuffled.

    Raises:
        DataError: a label that no other has.
    """
    draws = torch.Generator().manual_seed(seed)
    rows = torch.empty(len(labels), dtype=torch.int64)
    for label in labels.unique():
        mine, theirs = (labels == label).nonzero()[:, 0], (others == label).nonzero()[:, 0]
        if not len(theirs):
            raise DataError(f"there are images of {int(label)}, but no sounds; expected both of every digit")
        rounds = math.ceil(len(mine) / len(theirs))
        turns = [theirs[torch.randperm(len(theirs), generator=draws)] for _ in range(rounds)]
        rows[mine] = torch.cat(turns)[: len(mine)]
    return rows


def read_digits(folder: Path) -> list[str]:
    """The classes that a run folder keeps. Raises RunError for a file that is damaged."""
    from spikeseq.recipes.shared.opened import checked_classes

    path = folder / DIGITS_FILE
    try:
        return checked_classes(read_json(path)["classes"])
    except RunError:
        raise
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None
