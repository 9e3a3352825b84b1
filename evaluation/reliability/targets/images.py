"""Labelled images, in folders and in their publishers' files."""

import gzip
import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from spikeseq.evaluation.reliability.cases import Target
from spikeseq.recipes.plain import Settings


def png(form: str, side: int = 8, channels: int = 3) -> bytes:
    pixels = (np.arange(side * side * channels) * 5 % 256).astype(np.uint8).reshape(side, side, channels)
    buffer = io.BytesIO()
    Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(buffer, form)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def image_settings(folder: Path, recipe: str) -> Settings:
    return Settings(
        recipe=recipe, source=str(folder), validation_share=0.25, split_seed=1, limit=None, size=None
    )


def images(recipe: str) -> Callable[[Path], Any]:
    from spikeseq.recipes.shared.images.data import load_images

    def read(folder: Path) -> Any:
        data = load_images(image_settings(folder, recipe))
        return [data.classes, *(int(split.pixels.long().sum()) for split in data.splits.values())]

    return read


def of_images(place: Path) -> Iterator[Target]:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy.io import savemat

    labels = [i % 2 for i in range(12)]
    for form in ("png", "jpeg", "webp", "bmp"):
        folder = place / form
        for split in ("train", "test"):
            for i, label in enumerate(labels[:6]):
                (folder / split / f"class{label}").mkdir(parents=True, exist_ok=True)
                (folder / split / f"class{label}" / f"{i}.{form}").write_bytes(png(form))
        yield Target(f"images: {form}", folder, ("train/class0/0." + form,), images("imagenette"))
    folder = place / "idx"
    folder.mkdir()
    pixels = np.arange(12 * 784).reshape(12, 28, 28) % 256
    names = []
    for stem in ("train", "t10k"):
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.array(labels))):
            names.append(f"{stem}-{kind}-ubyte.gz")
            (folder / names[-1]).write_bytes(gzip.compress(idx(array), mtime=0))
    yield Target("images: idx, gz", folder, tuple(names), images("mnist"))
    folder = place / "batches"
    folder.mkdir()
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    for name in names:
        content = {"data": np.zeros((12, 3072), np.uint8), "labels": [i % 10 for i in range(12)]}
        (folder / name).write_bytes(pickle.dumps(content, 2))
    meta = {"label_names": [f"class {i}" for i in range(10)]}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, 2))
    yield Target("images: pickles", folder, (*names[:2], "test_batch", "batches.meta"), images("cifar10"))
    folder = place / "parquet"
    folder.mkdir()
    for split in ("train", "test"):
        structs = [{"bytes": png("png"), "path": f"{i}.png"} for i in range(12)]
        pq.write_table(pa.table({"img": structs, "label": labels}), folder / f"{split}.parquet")
    yield Target("images: parquet", folder, ("train.parquet", "test.parquet"), images("cifar10"))
    folder = place / "mat"
    folder.mkdir()
    for split in ("train", "test"):
        seen = (np.arange(32 * 32 * 3 * 20) % 251).astype(np.uint8).reshape(32, 32, 3, 20)
        savemat(
            folder / f"{split}_32x32.mat", {"X": seen, "y": np.arange(20, dtype=np.uint8)[:, None] % 10 + 1}
        )
    yield Target("images: mat", folder, ("train_32x32.mat", "test_32x32.mat"), images("svhn"))
