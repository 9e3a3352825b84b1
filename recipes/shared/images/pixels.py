"""Pixels of encoded images, files and arrays, brought to one size and number of channels by threads."""

import io
import math
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from spikeseq.recipes.shared.errors import DataError, listed, shown
from spikeseq.recipes.shared.images.parts import Image as Source

MOST_BYTES = 4 * 10**9  # of the decoded pixels of a split; ImageNet at 224 would be 190 GB
CHUNK = 256  # images that a thread takes at once: one by one, handing over costs more than decoding
THREADS = min(8, os.cpu_count() or 1)
FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # that Pillow may decode: others have pages, frames or scripts
DEEP_MODES = ("I", "I;16", "I;16L", "I;16B", "F")  # which Pillow would clip to 8 bits, not scale


def decode_images(
    images: Iterable[Source], count: int, channels: int, size: int | None
) -> tuple[Tensor, bool]:
    """(pixels, whether any was a JPEG): uint8 (count, channels, H, W) of `count` images, in their order.

    With `size`, the largest square is cut from an image's middle and resized to that side; without, all
    images must be squares of one size.

    Raises:
        DataError: an image that cannot be decoded or is of another size; more than MOST_BYTES of pixels.
    """
    rest = iter(images)
    where, image = next(rest)
    first, jpeg = decode(where, image, channels, size)
    _check_bytes(where, count, first)
    pixels = np.empty((count, *first.shape), np.uint8)
    pixels[0] = first

    def fill(start: int, chunk: list[Source]) -> bool:
        jpeg = False
        for row, (where, image) in enumerate(chunk, start=start):
            decoded, is_jpeg = decode(where, image, channels, size)
            if decoded.shape != first.shape:
                sides = f"{_sides(decoded)} pixels, where the first image has {_sides(first)}"
                raise DataError(f"{where}: {sides}; expected one size, or data.size to resize them")
            pixels[row] = decoded
            jpeg = jpeg or is_jpeg
        return jpeg

    row = 1
    with ThreadPoolExecutor(THREADS) as pool:
        while batch := list(islice(rest, CHUNK * THREADS)):  # not all at once: files need memory too
            chunks = [batch[i : i + CHUNK] for i in range(0, len(batch), CHUNK)]
            starts = range(row, row + len(batch), CHUNK)
            jpeg = any([jpeg, *pool.map(fill, starts, chunks)])
            row += len(batch)
    return torch.from_numpy(pixels), jpeg


def decode(where: str, image: Any, channels: int, size: int | None) -> tuple[np.ndarray, bool]:
    """One image as uint8 (channels, H, W), and whether it was a JPEG; see `decode_images`."""
    from PIL import Image, ImageOps

    mode, jpeg = ("L" if channels == 1 else "RGB"), False
    if isinstance(image, np.ndarray):
        planes = _planes(image)
        side = size or planes.shape[2]
        if planes.shape == (channels, side, side):
            return planes, jpeg
        picture = Image.fromarray(image).convert(mode)
    else:
        picture, jpeg = _picture(where, image, mode)
    if size is not None:
        picture = ImageOps.fit(picture, (size, size), Image.Resampling.BILINEAR)
    elif picture.width != picture.height:
        sides = f"{picture.height} x {picture.width} pixels"
        raise DataError(f"{where}: {sides}; expected a square, or data.size to cut and resize the images")
    return _planes(np.asarray(picture)), jpeg


def _picture(where: str, image: bytes | Path, mode: str) -> tuple[Any, bool]:
    """The decoded image in this mode of Pillow's, and whether it was a JPEG."""
    from PIL import Image, ImageOps

    try:
        picture = Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=FORMATS)
        ImageOps.exif_transpose(picture, in_place=True)  # a photograph as its camera was held
        converted = picture.convert(mode)
    except Exception as error:  # a damaged file raises whatever its decoder stumbles over
        damage = shown(str(error), 80)
        raise DataError(
            f"{where}: not a readable image ({damage}); expected a whole {listed(FORMATS)}"
        ) from None
    if picture.mode in DEEP_MODES:
        raise DataError(f"{where}: an image of mode {picture.mode}; expected 8 bits a channel")
    return converted, picture.format == "JPEG"


def _planes(array: np.ndarray) -> np.ndarray:
    """(H, W) or (H, W, C) as (C, H, W)."""
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _sides(planes: np.ndarray) -> str:
    return f"{planes.shape[1]} x {planes.shape[2]}"


def _check_bytes(where: str, count: int, first: np.ndarray) -> None:
    total = count * first.size
    if total > MOST_BYTES:
        gigabytes = (
            f"{total / 1e9:.1f} GB of pixels, and at most {MOST_BYTES / 1e9:.0f} GB are held in memory"
        )
        size = math.isqrt(MOST_BYTES // (count * len(first))) // 8 * 8 or 1
        limit = MOST_BYTES // first.size // 1000 * 1000 or 1
        raise DataError(
            f"{where} and the {count - 1:,} images after it: {gigabytes};"
            f" --set data.size={size} or --set data.limit={limit} makes them fit"
        )
