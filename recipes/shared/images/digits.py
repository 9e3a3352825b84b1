"""Digits that the package draws itself: fonts that come with matplotlib, turned, shifted and resized."""

from pathlib import Path

import numpy as np
import torch

from spikeseq.recipes.shared.choice import cut_validation
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit, channel_statistics

SIZE = 28
FONTS = ("DejaVuSans", "DejaVuSans-Oblique", "DejaVuSerif")
COUNTS = {"train": 2000, "test": 500}


def draw_digits(labels: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Labels (N,) of 0 to 9 to uint8 images (N, 1, 28, 28)."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    made = np.empty((len(labels), SIZE, SIZE), np.uint8)
    for image, label in zip(made, labels, strict=True):
        font = ImageFont.truetype(str(fonts / f"{rng.choice(FONTS)}.ttf"), int(rng.integers(22, 27)))
        canvas = Image.new("L", (SIZE, SIZE))
        at = tuple(SIZE / 2 + rng.uniform(-1, 1, 2))
        ImageDraw.Draw(canvas).text(at, str(label), fill=255, font=font, anchor="mm", stroke_width=1)
        image[:] = np.asarray(canvas.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BILINEAR))
    return torch.from_numpy(made)[:, None]


def digit_sample(settings: object) -> ImageData:
    """The same digits every time; `limit`, `validation_share` and `split_seed` as for any other data."""
    splits = {}
    for number, (name, count) in enumerate(COUNTS.items()):
        rng = np.random.default_rng(number)
        kept = min(count, getattr(settings, "limit", None) or count)
        labels = np.arange(kept) % 10
        splits[name] = ImageSplit(draw_digits(labels, rng), torch.from_numpy(labels))
    train = splits["train"]
    share, seed = settings.validation_share, settings.split_seed  # type: ignore[attr-defined]
    parts = [
        ImageSplit(train.pixels[part], train.labels[part])
        for part in cut_validation(train.labels, share, seed)
    ]
    named = dict(zip(("train", "validation"), parts, strict=True)) | {"test": splits["test"]}
    mean, std = channel_statistics(named["train"].pixels)
    return ImageData("sample", [str(d) for d in range(10)], named, mean, std)
