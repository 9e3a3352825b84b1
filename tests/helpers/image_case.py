"""Small image data sets in every layout, written by the tests themselves."""

import gzip
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from PIL import Image
from scipy.io import savemat

from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.images.files import find_parts
from spikeseq.recipes.shared.images.pixels import decode_images

NAMES = [f"class {i}" for i in range(10)]


def settings(source, recipe="cifar10", **changed):
    """The section `data` of a configuration."""
    section = dict(
        recipe=recipe, source=str(source), validation_share=0.25, split_seed=1, limit=None, size=None
    )
    return OmegaConf.create(section | changed)


def pictures(labels, side=8, channels=3):
    """(N, side, side[, 3]): image i is all `8 * label + 1` but for its first pixel, which is i."""
    pixels = np.empty((len(labels), side, side, channels), np.uint8)
    pixels[:] = (8 * np.asarray(labels) + 1).astype(np.uint8).reshape(-1, 1, 1, 1)
    pixels[:, 0, 0] = np.arange(len(labels)).reshape(-1, 1)
    return pixels if channels == 3 else pixels[..., 0]


def encoded(array, form="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def cycle(count, classes=10):
    return [i % classes for i in range(count)]


def write_parquet(
    path, labels, *, images=None, names=NAMES, image="img", label="label", form="PNG", rows_per_group=7
):
    """As the hub has it; `images` are the encoded files, if not those of `pictures`."""
    if images is None:
        images = [encoded(array, form) for array in pictures(labels)]
    structs = [{"bytes": content, "path": f"{i}.png"} for i, content in enumerate(images)]
    table = pa.table({image: structs, label: labels})
    if names is not None:
        features = {label: {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows_per_group)
    return path


def parquet_set(folder, train=40, test=20, **options):
    write_parquet(folder / "train.parquet", cycle(train), **options)
    write_parquet(folder / "test.parquet", cycle(test), **options)
    return folder


def idx_bytes(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def idx_set(folder, train=40, test=20, *, packed=True, between="-"):
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", train), ("t10k", test)):
        labels = np.array(cycle(count))
        for kind, array in (("images-idx3", pictures(labels, 28, 1)), ("labels-idx1", labels)):
            content = idx_bytes(array)
            name = f"{stem}-{kind.replace('-', between)}-ubyte"
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)
    return folder


def mat_set(folder, train=40, test=20):
    folder.mkdir(parents=True, exist_ok=True)
    for role, count in (("train", train), ("test", test)):
        labels = np.array(cycle(count))
        written = np.where(labels == 0, 10, labels).reshape(-1, 1).astype(np.uint8)
        pixels = pictures(labels, 32).transpose(1, 2, 3, 0)
        savemat(folder / f"{role}_32x32.mat", {"X": pixels, "y": written})
    return folder


def pickled(path: Path, content, protocol=2):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol))


def batch(labels, key="labels"):
    planes = pictures(labels, 32).transpose(0, 3, 1, 2)
    return {"data": planes.reshape(len(labels), -1), key: list(labels), "batch_label": "a batch"}


def cifar10_batches(folder, per_batch=20, protocol=2):
    inside = folder / "cifar-10-batches-py"
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        pickled(inside / name, batch(cycle(per_batch)), protocol)
    pickled(inside / "batches.meta", {"label_names": NAMES, "num_vis": 3072}, protocol)
    return folder


def cifar100_batches(folder):
    inside = folder / "cifar-100-python"
    for name in ("train", "test"):
        labels = cycle(200, 100)
        pickled(inside / name, batch(labels, "fine_labels") | {"coarse_labels": [0] * len(labels)})
    return folder


def image_folders(folder, roles=("train", "val"), classes=("cat", "dog"), per_class=8, side=8, suffix=".png"):
    """Image i of class c is `pictures([c] * per_class)[i]`."""
    for role in roles:
        for label, name in enumerate(classes):
            inside = folder / role / name
            inside.mkdir(parents=True, exist_ok=True)
            for i, array in enumerate(pictures([label] * per_class, side)):
                Image.fromarray(array).save(inside / f"{i:03}{suffix}")
    return folder


def load(folder, recipe, role="train", rows=None, channels=3, size=None):
    """(pixels, labels, classes) of a part, or of some of its rows."""
    part = find_parts(str(folder), recipe)[1][role].read()
    rows = range(len(part.labels)) if rows is None else rows
    pixels, _ = decode_images(part.take(list(rows)), len(rows), channels, size)
    return pixels.numpy(), part.labels, part.classes


def message(folder, recipe="cifar10", **options):
    """The one-line error that reading raises."""
    with pytest.raises(DataError) as caught:
        load(folder, recipe, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def expect(loaded, labels, classes, side, channels=3):
    pixels, found, names = loaded
    wanted = pictures(labels, side, channels)
    wanted = wanted[:, None] if channels == 1 else wanted.transpose(0, 3, 1, 2)
    assert pixels.dtype == np.uint8 and found.dtype == np.int64
    assert found.tolist() == list(labels) and names == classes
    assert np.array_equal(pixels, wanted)
