"""Image files that cannot be used: one line that names the file and what is accepted."""

import gzip
import os
import pickle
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from image_case import (
    NAMES,
    batch,
    cifar10_batches,
    cycle,
    encoded,
    idx_bytes,
    idx_set,
    image_folders,
    mat_set,
    message,
    pickled,
    pictures,
    write_parquet,
)
from scipy.io import savemat

from spikeseq.recipes.shared.images.files import LAYOUTS


def test_a_missing_folder_names_the_nearest(tmp_path):
    (tmp_path / "cifar10").mkdir()
    assert f"did you mean '{tmp_path / 'cifar10'}'?" in message(tmp_path / "cifar1")
    assert f"{tmp_path} holds cifar10" in message(tmp_path / "else" / "where")
    (tmp_path / "file").write_text("")
    assert "a file; expected sample, hub or a folder" in message(tmp_path / "file")
    assert "cannot be read" in message(tmp_path / ("x" * 300))


def test_a_folder_in_no_known_layout_lists_the_layouts(tmp_path):
    (tmp_path / "images.zip").write_text("")
    text = message(tmp_path)
    assert "it holds images.zip; expected one of" in text and all(layout in text for layout in LAYOUTS)
    (tmp_path / "empty").mkdir()
    assert "it holds nothing" in message(tmp_path / "empty")


def test_an_unreadable_image_names_its_place(tmp_path):
    whole = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8), "JPEG")
    for damaged in (whole[: len(whole) // 2], whole[:10], b"no image", encoded(pictures([1])[0])[:40]):
        path = write_parquet(tmp_path / "train.parquet", cycle(3), images=[whole, damaged, whole])
        assert f"{path}, row 2: not a readable image" in message(tmp_path, size=8)
    image_folders(tmp_path / "folders")
    (tmp_path / "folders" / "train" / "dog" / "003.png").write_bytes(b"")
    assert "dog/003.png: not a readable image" in message(tmp_path / "folders")


def test_a_row_without_an_image(tmp_path):
    for images in (["text"], [None], [b""], [{"bytes": None, "path": "a.png"}]):
        table = pa.table({"img": images, "label": [1]})
        pq.write_table(table, tmp_path / "train.parquet")
        assert "train.parquet, row 1: the image is" in message(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 200, -20])
def test_a_truncated_parquet_file(tmp_path, keep):
    path = write_parquet(tmp_path / "train.parquet", cycle(9))
    path.write_bytes(path.read_bytes()[:keep])
    assert f"{path}: not a readable parquet file" in message(tmp_path)


def test_a_damaged_page_of_images(tmp_path):
    path = write_parquet(tmp_path / "train.parquet", cycle(9))
    content = bytearray(path.read_bytes())
    content[4:80] = bytes(76)
    path.write_bytes(bytes(content))
    assert f"{path}: not a readable parquet file" in message(tmp_path)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"img": [b"x"], "labels": [1]},
            "no column 'label' or 'fine_label'; the columns are 'img', 'label",
        ),
        ({"photo": [b"x"], "label": [1]}, "no column 'img' or 'image'; the columns are 'photo', 'label'"),
        ({"img": [b"x", b"x"], "label": [1, None]}, "row 2: the label is null"),
        ({"img": [b"x"], "label": ["cat"]}, "labels of type string; expected integers"),
        ({"img": [b"x"], "label": [0.5]}, "labels of type double; expected integers"),
    ],
)
def test_bad_columns_of_parquet(tmp_path, columns, problem):
    pq.write_table(pa.table(columns), tmp_path / "train.parquet")
    text = message(tmp_path)
    assert problem in text and str(tmp_path / "train.parquet") in text


def idx_file(folder, kind="images-idx3"):
    return idx_set(folder, packed=False) / f"train-{kind}-ubyte"


def test_bad_idx_files(tmp_path):
    path = idx_file(tmp_path)
    whole = path.read_bytes()
    for content, problem in [
        (whole[:-1], "31,359 bytes of data; expected 40 x 28 x 28 = 31,360"),
        (whole + b"x", "31,361 bytes of data"),
        (whole[:9], "expected an idx file of bytes in 3 dimensions"),
        (b"", "starts with b''; expected an idx file"),
        (b"\x00\x00\x0d" + whole[3:], "expected an idx file of bytes"),
        (idx_bytes(np.zeros((39, 28, 28))), "39 images and 40 labels"),
        (idx_bytes(np.zeros(4)), "expected an idx file of bytes in 3 dimensions"),
    ]:
        path.write_bytes(content)
        text = message(tmp_path, "mnist", channels=1)
        assert str(path) in text and problem in text


def test_bad_idx_files_that_are_packed(tmp_path):
    path = idx_set(tmp_path) / "train-labels-idx1-ubyte.gz"
    whole = path.read_bytes()
    for content in (whole[:-12], whole[:5], b"", gzip.compress(b"")[:4] + whole[10:], whole[:-8] + bytes(8)):
        path.write_bytes(content)
        assert str(path) in message(tmp_path, "mnist", channels=1)


def test_bad_mat_files(tmp_path):
    path = mat_set(tmp_path) / "train_32x32.mat"
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:50], b""):
        path.write_bytes(content)
        assert f"{path}: not a readable .mat file" in message(tmp_path, "svhn")
    labels = np.ones((4, 1), np.uint8)
    savemat(path, {"X": np.zeros((32, 32, 3, 4), np.uint8)})
    assert "expected X and y" in message(tmp_path, "svhn")
    savemat(path, {"X": np.zeros((32, 32, 3, 4)), "y": labels})
    assert "X is float64 (32, 32, 3, 4); expected uint8" in message(tmp_path, "svhn")
    savemat(path, {"X": np.zeros((32, 32, 3, 5), np.uint8), "y": labels})
    assert "5 images and 4 labels" in message(tmp_path, "svhn")
    for wrong in (0, 11):
        savemat(path, {"X": np.zeros((32, 32, 3, 4), np.uint8), "y": labels * wrong})
        assert f"image 1: the label is {wrong}; expected 1 to 10" in message(tmp_path, "svhn")


class Harmful:
    """What a pickle must not do to its reader."""

    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_batch_that_would_run_code_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = cifar10_batches(tmp_path) / "cifar-10-batches-py"
    for harm in (Harmful(), np.array([Harmful()]), types.SimpleNamespace(), eval):
        pickled(inside / "data_batch_2", batch(cycle(20)) | {"more": harm})
        text = message(tmp_path)
        assert "data_batch_2: not a readable batch of CIFAR (" in text and "which is no array" in text
    assert not (tmp_path / "harm").exists()


def test_bad_batches(tmp_path):
    inside = cifar10_batches(tmp_path) / "cifar-10-batches-py"
    path = inside / "data_batch_3"
    whole = batch(cycle(20))
    for content, problem in [
        ([1, 2], "holds a list; expected a batch"),
        ({"labels": [1]}, "no images; expected `data` of uint8"),
        (whole | {"data": whole["data"].astype(float)}, "no images"),
        (whole | {"data": whole["data"][:, :1024]}, "no images"),
        (whole | {"labels": whole["labels"][:-1]}, "expected 20 integers in `labels`"),
        (whole | {"labels": ["1"] * 20}, "expected 20 integers in `labels`"),
    ]:
        pickled(path, content)
        text = message(tmp_path)
        assert str(path) in text and problem in text
    path.write_bytes(pickle.dumps(whole)[:5000])
    assert f"{path}: not a readable batch" in message(tmp_path)
    path.unlink()
    assert f"{path}: no such file; expected all batches" in message(tmp_path)
    pickled(path, whole)
    pickled(inside / "batches.meta", {"names": NAMES})
    assert "batches.meta: expected names of classes in `label_names`" in message(tmp_path)


def test_a_class_folder_without_images(tmp_path):
    image_folders(tmp_path)
    (tmp_path / "train" / "emu").mkdir()
    assert f"{tmp_path / 'train' / 'emu'}: a class without images; expected" in message(tmp_path)
