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
    cifar100_batches,
    cycle,
    encoded,
    idx_bytes,
    idx_set,
    image_folders,
    mat_set,
    parquet_set,
    pickled,
    pictures,
    write_parquet,
)
from PIL import Image
from scipy.io import savemat

from spikeseq.recipes.image_files import LAYOUTS, find_parts
from spikeseq.recipes.image_names import CIFAR100, HUB, KNOWN, same_names
from spikeseq.recipes.image_parquet import hub_parts
from spikeseq.recipes.image_pixels import decode_images
from spikeseq.recipes.text_files import DataError


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


# Layouts


def test_parquet_files(tmp_path):
    parquet_set(tmp_path)
    expect(load(tmp_path, "cifar10"), cycle(40), NAMES, 8)
    expect(load(tmp_path, "cifar10", "test"), cycle(20), NAMES, 8)


def test_parquet_files_in_pieces_and_only_some_rows_of_them(tmp_path):
    for i, count in enumerate((20, 30, 10)):
        write_parquet(tmp_path / "data" / f"train-0000{i}-of-00003.parquet", cycle(count), image="image")
    pixels, labels, _ = load(tmp_path, "svhn", rows=[3, 19, 20, 48, 59])
    assert labels.tolist() == cycle(20) + cycle(30) + cycle(10)
    assert pixels[:, 0, 0, 0].tolist() == [3, 19, 0, 28, 9]


def test_parquet_columns_of_bytes_and_of_fine_labels(tmp_path):
    contents = [encoded(array) for array in pictures([5, 7])]
    table = pa.table({"image": contents, "fine_label": [5, 7], "coarse_label": [0, 1]})
    pq.write_table(table, tmp_path / "train.parquet")
    expect(load(tmp_path, "cifar100"), [5, 7], None, 8)


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_formats_of_encoded_images(tmp_path, form):
    write_parquet(
        tmp_path / "train.parquet", [3] * 4, form=form, images=[encoded(pictures([3])[0], form)] * 4
    )
    rows = find_parts(str(tmp_path), "cifar10")[1]["train"].read()
    pixels, jpeg = decode_images(rows.take(range(4)), 4, 3, None)
    assert jpeg == (form == "JPEG")
    assert abs(pixels[..., 4:, 4:].int() - 25).max() <= (3 if jpeg else 0)


@pytest.mark.parametrize("inside", ["", "MNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("between", ["-", "."])
def test_idx_files(tmp_path, inside, packed, between):
    idx_set(tmp_path / inside, packed=packed, between=between)
    digits = [str(i) for i in range(10)]
    expect(load(tmp_path, "mnist", channels=1), cycle(40), digits, 28, 1)
    expect(load(tmp_path, "mnist", "test", channels=1), cycle(20), digits, 28, 1)


def test_mat_files_where_10_is_digit_0(tmp_path):
    mat_set(tmp_path)
    expect(load(tmp_path, "svhn", "test"), cycle(20), [str(i) for i in range(10)], 32)


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_batches_of_cifar_10(tmp_path, protocol):
    cifar10_batches(tmp_path, protocol=protocol)
    for folder in (tmp_path, tmp_path / "cifar-10-batches-py"):
        pixels, labels, names = load(folder, "cifar10")
        assert labels.tolist() == cycle(20) * 5 and names == NAMES
        assert np.array_equal(pixels[20:40], pictures(cycle(20), 32).transpose(0, 3, 1, 2))
        expect(load(folder, "cifar10", "test"), cycle(20), NAMES, 32)


def test_a_batch_that_python_2_wrote(tmp_path):
    """Its strings are bytes, and numpy's modules have their old names."""
    inside = cifar10_batches(tmp_path) / "cifar-10-batches-py"
    content = pickle.dumps(batch(cycle(20)), 2).replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    content = content.replace(b"X\x04\x00\x00\x00data", b"U\x04data")
    (inside / "test_batch").write_bytes(content)
    assert b"numpy.core.multiarray" in content and b"U\x04data" in content
    expect(load(tmp_path, "cifar10", "test"), cycle(20), NAMES, 32)


def test_batches_of_cifar_100_without_its_names(tmp_path):
    expect(load(cifar100_batches(tmp_path), "cifar100", "test"), cycle(200, 100), None, 32)


@pytest.mark.parametrize(
    ("roles", "found"),
    [
        (("train", "val"), "train test"),
        (("train", "test"), "train test"),
        (("train", "validation"), "train test"),
        (("train", "val", "test"), "train validation test"),
    ],
)
def test_image_folders(tmp_path, roles, found):
    image_folders(tmp_path, roles)
    (tmp_path / "train" / "notes.txt").write_text("no class")
    (tmp_path / "train" / ".hidden").mkdir()
    parts = find_parts(str(tmp_path), "cifar10")[1]
    assert set(parts) == set(found.split())
    for role in parts:
        pixels, labels, names = load(tmp_path, "cifar10", role)
        assert labels.tolist() == [0] * 8 + [1] * 8 and names == ["cat", "dog"]
        assert pixels[:, 0, 0, 0].tolist() == [*range(8), *range(8)] and pixels[9, 0, 4, 4] == 9


def test_the_validation_images_of_imagenets_are_the_test_split(tmp_path):
    image_folders(tmp_path, ("train", "val", "test"), suffix=".JPEG")
    parts = find_parts(str(tmp_path), "imagenet")[1]
    assert set(parts) == {"train", "test"}
    assert parts["test"].read().origin == str(tmp_path / "val")


def test_a_folder_that_holds_one_called_as_the_recipe(tmp_path):
    parquet_set(tmp_path / "cifar10")
    idx_set(tmp_path / "mnist")
    assert find_parts(str(tmp_path), "cifar10")[0] == "cifar10"
    assert find_parts(str(tmp_path), "mnist")[0] == "mnist"


# Pixels


def test_channels_become_those_of_the_recipe(tmp_path):
    grey = pictures(cycle(4), 8, 1)
    parquet_set(tmp_path, 4, 4, images=[encoded(array) for array in grey])
    pixels, _, _ = load(tmp_path, "cifar10")
    assert np.array_equal(pixels, np.repeat(grey[:, None], 3, 1))
    idx_set(tmp_path / "idx", 4, 4)
    assert load(tmp_path / "idx", "cifar10")[0].shape == (4, 3, 28, 28)
    for array in (pictures([3])[0], np.full((8, 8, 4), 25, np.uint8)):
        parquet_set(tmp_path, 4, 4, images=[encoded(array)] * 4)
        pixels, _, _ = load(tmp_path, "mnist", channels=1)
        assert pixels.shape == (4, 1, 8, 8) and pixels[0, 0, 4, 4] == 25


@pytest.mark.parametrize("shape", [(12, 20), (20, 12), (12, 12), (4, 6)])
def test_images_are_cut_in_their_middle_and_resized(tmp_path, shape):
    """The middle of a horizontal and a vertical ramp stays in the middle, in steps of the shorter side."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    ramp = np.stack([10 * y, 10 * x, 0 * x], -1).astype(np.uint8)
    path = tmp_path / "ramp.png"
    Image.fromarray(ramp).save(path)
    pixels = decode_images([("a", path), ("b", ramp)], 2, 3, 6)[0].double()
    assert pixels.shape == (2, 3, 6, 6) and (pixels[0] == pixels[1]).all()
    step = 10 * min(shape) / 6
    for axis, length in enumerate(shape):
        line = pixels[0, axis, :, 3] if axis == 0 else pixels[0, axis, 3]
        assert line.mean() == pytest.approx(5 * (length - 1), abs=1)
        assert (line[4] - line[1]) / 3 == pytest.approx(step, abs=1)


def test_many_images_stay_in_order():
    arrays = np.arange(3000, dtype=np.uint32).view(np.uint8).reshape(-1, 2, 2)
    pixels, jpeg = decode_images(((str(i), array) for i, array in enumerate(arrays)), 3000, 1, None)
    assert np.array_equal(pixels[:, 0].numpy(), arrays) and not jpeg


def test_images_of_two_sizes_need_data_size(tmp_path):
    images = [encoded(pictures([0], side)[0]) for side in (8, 8, 9)]
    path = write_parquet(tmp_path / "train.parquet", cycle(3), images=images)
    text = message(tmp_path)
    assert f"{path}, row 3: 9 x 9 pixels" in text and "8 x 8" in text and "data.size" in text
    assert load(tmp_path, "cifar10", size=8)[0].shape == (3, 3, 8, 8)


def test_an_image_that_is_no_square_needs_data_size(tmp_path):
    Image.new("RGB", (10, 8)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: 8 x 10 pixels; expected a square, or data\.size"):
        decode_images([("a.png", tmp_path / "a.png")], 1, 3, None)


def test_more_pixels_than_memory_holds():
    image = np.zeros((224, 224, 3), np.uint8)
    with pytest.raises(DataError, match=r"192\.9 GB .* at most 4 GB.*data\.size=32 or .*data\.limit=26000"):
        decode_images([("first", image)], 1_281_167, 3, 224)
    with pytest.raises(DataError, match=r"data\.size=96 or"):
        decode_images([("first", image)], 130_000, 3, 224)


def test_sixteen_bits_are_not_clipped_to_eight(tmp_path):
    Image.fromarray(np.full((8, 8), 999, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"mode I;16; expected 8 bits"):
        decode_images([("a.png", tmp_path / "a.png")], 1, 1, None)


# Bad input


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
        ({"img": [b"x"], "labels": [1]}, "no column label or fine_label; the columns are img, labels"),
        ({"photo": [b"x"], "label": [1]}, "no column img or image; the columns are photo, label"),
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


# The hub


class FakeHub:
    """`datasets.load_dataset` without a network: what was asked of it, and what it answers."""

    def __init__(self, monkeypatch, answer):
        self.asked, self.answer = [], answer
        monkeypatch.setattr("datasets.load_dataset", self)

    def __call__(self, name, config, **options):
        self.asked.append((name, config, options))
        return self.answer(**options)


def hub_data(folder, **columns):
    import datasets

    write_parquet(folder / "hub.parquet", cycle(30), **columns)
    return datasets.Dataset.from_parquet(str(folder / "hub.parquet"), cache_dir=str(folder / "datasets"))


@pytest.mark.parametrize("recipe", HUB)
def test_the_hub(tmp_path, monkeypatch, recipe):
    import datasets

    label = "fine_label" if recipe == "cifar100" else "label"
    loaded = hub_data(tmp_path, names=None, label=label).cast_column(label, datasets.ClassLabel(names=NAMES))
    hub = FakeHub(monkeypatch, lambda **options: loaded)
    rows = hub_parts(recipe)["test"].read()
    assert hub.asked == [(*HUB[recipe], {"split": "validation" if "imagenet" in recipe else "test"})]
    assert rows.classes == NAMES and rows.labels.tolist() == cycle(30)
    pixels, _ = decode_images(rows.take([4, 29]), 2, 3, None)
    assert np.array_equal(pixels, pictures(cycle(30))[[4, 29]].transpose(0, 3, 1, 2))


def test_a_script_on_the_hub_is_read_from_its_converted_copy(tmp_path, monkeypatch):
    loaded = hub_data(tmp_path)

    def answer(split, revision=None):
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found imagenette.py")
        return loaded

    hub = FakeHub(monkeypatch, answer)
    assert len(hub_parts("imagenette")["train"].read().labels) == 30
    assert hub.asked[-1][2] == {"split": "train", "revision": "refs/convert/parquet"}


@pytest.mark.parametrize("error", [ConnectionError("offline"), RuntimeError("a\nb"), ValueError("gone")])
def test_a_hub_out_of_reach(monkeypatch, error):
    def answer(**options):
        raise error

    FakeHub(monkeypatch, answer)
    with pytest.raises(
        DataError, match=r"hub: uoft-cs/cifar10, train cannot be fetched .*; expected a network"
    ):
        hub_parts("cifar10")["train"].read()


# Names


def test_known_names():
    assert {recipe: len(names) for recipe, names in KNOWN.items()} == {
        **dict.fromkeys(("cifar10", "mnist", "svhn", "imagenette"), 10), "cifar100": 100
    }  # fmt: skip
    assert sorted(CIFAR100) == CIFAR100 and len(set(CIFAR100)) == 100
    assert same_names("imagenette", ["n01440764", "else"]) == ["tench", "else"]
    assert same_names("cifar100", ["couch", "cra"]) == ["couch", "crab"]
    assert same_names("cifar10", ["cra"]) == ["cra"]
