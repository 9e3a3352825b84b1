import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from image_case import (
    NAMES,
    cifar100_batches,
    cycle,
    idx_set,
    image_folders,
    parquet_set,
    settings,
    write_parquet,
)

from spikeseq.recipes.shared.choice import evenly
from spikeseq.recipes.shared.errors import DataError
from spikeseq.recipes.shared.images import data as image_data
from spikeseq.recipes.shared.images.data import channel_statistics, cut_validation, load_images, open_split
from spikeseq.recipes.shared.images.names import CIFAR100, KNOWN
from spikeseq.recipes.shared.images.sample import CLASSES

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def decoded(monkeypatch):
    """How many images were decoded, call by call."""
    counts = []
    whole = image_data.decode_images

    def counting(images, count, channels, size):
        counts.append(count)
        return whole(images, count, channels, size)

    monkeypatch.setattr(image_data, "decode_images", counting)
    return counts


def message(section):
    with pytest.raises(DataError) as caught:
        load_images(section)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def identity(split):
    """The first pixels, which number the images of `pictures`."""
    return split.pixels[:, 0, 0, 0].tolist()


def test_a_data_set(tmp_path):
    said = []
    data = load_images(settings(parquet_set(tmp_path / "mine")), said.append)
    assert data.name == "mine" and data.classes == NAMES
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 30,
        "validation": 10,
        "test": 20,
    }
    for split in data.splits.values():
        assert split.pixels.dtype == torch.uint8 and split.labels.dtype == torch.int64
        assert split.pixels.shape == (len(split), 3, 8, 8)
        assert (split.pixels[:, 0, 4, 4] == 8 * split.labels + 1).all()
    train, validation = (identity(data.splits[name]) for name in ("train", "validation"))
    assert sorted(train + validation) == list(range(40)) and identity(data.splits["test"]) == list(range(20))
    assert data.splits["validation"].labels.bincount().tolist() == [1] * 10
    pixels = data.splits["train"].pixels.double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist())
    assert data.std == pytest.approx(pixels.std((0, 2, 3), correction=0).tolist())
    assert json.loads(data.files()["images.json"]) == {
        "classes": NAMES, "mean": data.mean, "std": data.std, "channels": 3, "size": 8
    }  # fmt: skip
    assert data.facts() == {"images": {"train": 30, "validation": 10, "test": 20}}
    assert [text.split(" of ")[0] for text in said] == ["reading 40 images", "reading 20 images"]


def test_jpeg_copies_of_lossless_data_are_noted(tmp_path):
    for recipe, form, noted in (
        ("cifar10", "JPEG", True),
        ("cifar10", "PNG", False),
        ("imagenette", "JPEG", False),
    ):
        data = load_images(settings(parquet_set(tmp_path / "data", form=form), recipe, size=8))
        again = load_images(settings(tmp_path / "data", recipe, size=8))
        for facts in (data.facts(), again.facts()):
            assert facts.get("note", "").startswith("JPEG re-encoded") == noted


def test_mnist_is_grey_and_others_have_colours(tmp_path):
    idx_set(tmp_path / "idx")
    assert load_images(settings(tmp_path / "idx", "mnist")).splits["test"].pixels.shape == (20, 1, 28, 28)
    data = load_images(settings(tmp_path / "idx", "cifar10", size=16))
    assert data.splits["test"].pixels.shape == (20, 3, 16, 16) and data.classes == KNOWN["mnist"]
    assert len(data.mean) == len(data.std) == 3


def test_imagenets_are_224_by_default(tmp_path):
    image_folders(tmp_path / "nette", classes=("n02102040", "n01440764"), side=10)
    data = load_images(settings(tmp_path / "nette", "imagenette"))
    assert data.splits["train"].pixels.shape == (12, 3, 224, 224)
    assert data.classes == ["tench", "English springer"]
    assert load_images(settings(tmp_path / "nette", "imagenette", size=6)).splits["test"].pixels.shape[
        2:
    ] == (6, 6)


def test_a_validation_split_of_the_data_is_used(tmp_path):
    image_folders(tmp_path / "three", ("train", "validation", "test"))
    data = load_images(settings(tmp_path / "three"))
    assert {name: len(split) for name, split in data.splits.items()} == dict.fromkeys(image_data.SPLITS, 16)
    assert len(open_split(settings(tmp_path / "three"), "validation")[0]) == 16
    assert len(open_split(settings(tmp_path / "three"), "train")[0]) == 16


def test_names_where_the_data_has_none(tmp_path):
    parquet_set(tmp_path / "data", names=None)
    assert load_images(settings(tmp_path / "data")).classes == KNOWN["cifar10"]
    assert load_images(settings(tmp_path / "data", "imagenet", size=8)).classes == [str(i) for i in range(10)]
    assert load_images(settings(cifar100_batches(tmp_path / "hundred"), "cifar100")).classes == CIFAR100


def test_the_sample():
    for recipe, shape in (("cifar10", (3, 32, 32)), ("mnist", (1, 28, 28)), ("svhn", (3, 32, 32))):
        data = load_images(settings("sample", recipe, limit=100))
        assert data.name == "sample" and data.classes == list(CLASSES)
        assert data.splits["train"].pixels.shape == (80, *shape) and len(data.splits["test"]) == 100
    data = load_images(settings("sample", "imagenet", size=16))
    assert data.splits["train"].pixels.shape == (1500, 3, 16, 16)
    assert data.splits["test"].labels.bincount().tolist() == [50] * 10
    with pytest.raises(ValueError, match=r"data\.size=8: expected 16 or more"):
        load_images(settings("sample", size=8))


# One split


@pytest.mark.parametrize("limit", [None, 20])
def test_one_split_is_that_of_the_whole(tmp_path, decoded, limit):
    section = settings(parquet_set(tmp_path / "data"), limit=limit)
    whole = load_images(section)
    for name in image_data.SPLITS:
        split, classes = open_split(section, name)
        assert classes == whole.classes
        assert torch.equal(split.pixels, whole.splits[name].pixels)
        assert torch.equal(split.labels, whole.splits[name].labels)


def test_one_split_needs_no_other(tmp_path, decoded):
    write_parquet(tmp_path / "data" / "test.parquet", cycle(20))
    section = settings(tmp_path / "data")
    assert len(open_split(section, "test")[0]) == 20 and decoded == [20]
    with pytest.raises(DataError, match="no train split, only test"):
        open_split(section, "validation")
    with pytest.raises(DataError, match="no split 'tset'; expected one of train, validation, test"):
        open_split(section, "tset")
    assert "no train split, only test" in message(section)


# The cache


def test_a_second_start_decodes_nothing(tmp_path, decoded):
    section = settings(parquet_set(tmp_path / "data"))
    first, said = load_images(section), []
    second = load_images(section, said.append)
    assert decoded == [40, 20] and said == []
    assert second.facts() == first.facts() and second.files() == first.files()
    for name, split in first.splits.items():
        assert torch.equal(split.pixels, second.splits[name].pixels)
        assert torch.equal(split.labels, second.splits[name].labels)
    # Another cut, of the same images.
    other = load_images(settings(tmp_path / "data", validation_share=0.5, split_seed=2))
    assert len(other.splits["train"]) == 20 and decoded == [40, 20]


def test_what_changes_the_pixels_is_decoded_again(tmp_path, decoded):
    folder = parquet_set(tmp_path / "data")
    load_images(settings(folder))
    for changed in (dict(size=4), dict(limit=20), dict(limit=20, split_seed=2), dict(recipe="mnist")):
        before = len(decoded)
        load_images(settings(folder, **changed))
        assert len(decoded) == before + 2
    write_parquet(folder / "test.parquet", cycle(30))
    assert len(load_images(settings(folder)).splits["test"]) == 30


def test_a_date_that_was_put_back_hides_nothing(tmp_path):
    """Nor does a link that leads to another file of the same size and date."""
    folder = idx_set(tmp_path / "data", packed=False)
    path = folder / "train-labels-idx1-ubyte"
    section, content = settings(folder, recipe="mnist"), path.read_bytes()
    other = tmp_path / "other"
    other.write_bytes(content[:8] + content[8:][::-1])
    os.utime(path, ns=(1, 1))
    os.utime(other, ns=(1, 1))
    before = load_images(section).splits["train"].labels
    path.write_bytes(content[:8] + content[8:][::-1])
    os.utime(path, ns=(1, 1))
    after = load_images(section).splits["train"].labels
    assert not torch.equal(before, after)
    path.write_bytes(content)
    path.rename(tmp_path / "first")
    os.utime(tmp_path / "first", ns=(1, 1))
    for target, expected in (("first", before), ("other", after)):
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / target)
        assert torch.equal(load_images(section).splits["train"].labels, expected)


def test_a_damaged_cache_is_made_anew(tmp_path, decoded):
    section = settings(parquet_set(tmp_path / "data"))
    load_images(section)
    for path in (tmp_path / "cache").rglob("tensors.safetensors"):
        path.write_bytes(path.read_bytes()[:100])
    assert len(load_images(section).splits["train"]) == 30
    assert decoded == [40, 20, 40, 20]


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "file"))
    said = []
    load_images(settings(parquet_set(tmp_path / "data")), said.append)
    assert any("not kept for later runs" in text for text in said)


# Choices


labels_of_classes = st.lists(st.integers(2, 30), min_size=1, max_size=6).map(
    lambda counts: torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
)


@hypothesis_settings(max_examples=50, deadline=None)
@given(labels_of_classes, st.floats(0.01, 0.99), st.integers(0, 1000))
def test_the_cut_is_stratified_disjoint_and_deterministic(labels, share, seed):
    labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    train, validation = cut_validation(labels, share, seed)
    assert sorted(train.tolist() + validation.tolist()) == list(range(len(labels)))
    for rows in (train, validation):
        assert rows.tolist() == sorted(rows.tolist())
    for label, count in enumerate(labels.bincount().tolist()):
        held = int((labels[validation] == label).sum())
        assert 1 <= held < count
        assert abs(held - share * count) <= 1
    again = cut_validation(labels, share, seed)
    assert torch.equal(train, again[0]) and torch.equal(validation, again[1])


def test_another_seed_cuts_otherwise():
    labels = torch.tensor(cycle(200))
    assert cut_validation(labels, 0.1, 1)[1].tolist() != cut_validation(labels, 0.1, 2)[1].tolist()


def test_a_class_of_one_image_cannot_be_cut():
    with pytest.raises(DataError, match="class 1 has one training image"):
        cut_validation(torch.tensor([0, 0, 1]))


def test_a_limit_is_even_over_classes_and_in_order():
    labels = np.repeat([0, 1, 2], [50, 5, 20])
    for limit, counts in ((12, [4, 4, 4]), (30, [13, 5, 12]), (75, [50, 5, 20]), (None, [50, 5, 20])):
        rows = evenly(labels, limit, seed=1)
        assert rows == sorted(set(rows)) == evenly(labels, limit, seed=1)
        assert np.bincount(labels[rows]).tolist() == pytest.approx(counts, abs=1)
    assert evenly(labels, 12, seed=1) != evenly(labels, 12, seed=2)
    with pytest.raises(DataError, match="limit=5: expected two rows or more for each of the 3 classes"):
        evenly(labels, 5, seed=1)


def test_channel_statistics():
    pixels = torch.randint(0, 256, (5000, 2, 3, 3), dtype=torch.uint8)
    pixels[:, 1] = 7
    mean, std = channel_statistics(pixels)
    wanted = pixels[:, 0].double() / 255
    assert mean == pytest.approx([wanted.mean().item(), 7 / 255])
    assert std == pytest.approx([wanted.std(correction=0).item(), 1 / 255])


# Bad input


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (dict(recipe="cifar"), "no image recipe 'cifar'; expected one of cifar10, cifar100"),
        (dict(size=0), "data.size=0: expected a number from 1 up, or null"),
        (dict(size=7.5), "data.size=7.5"),
        (dict(limit=-1), "data.limit=-1"),
        (dict(limit=19), "limit=19: expected two rows or more for each of the 10 classes"),
        (dict(validation_share=1.0), "validation_share=1.0: expected a share between 0 and 1"),
    ],
)
def test_bad_settings(tmp_path, changed, problem):
    assert problem in message(settings(parquet_set(tmp_path / "data"), **changed))


@pytest.mark.parametrize(("names", "label"), [(NAMES, 10), (NAMES, -1), (None, 10), (NAMES[:3], 3)])
def test_a_label_out_of_range(tmp_path, names, label):
    path = write_parquet(tmp_path / "data" / "train.parquet", [0, 1, label], names=names)
    write_parquet(tmp_path / "data" / "test.parquet", cycle(20))
    end = len(names or NAMES) - 1
    expected = f"{path}, row 3: the label is {label}; expected 0 to {end}"
    assert expected in message(settings(tmp_path / "data"))


def test_a_label_of_thousands_without_names(tmp_path):
    parquet_set(tmp_path / "data", names=None)
    write_parquet(tmp_path / "data" / "train.parquet", [0, 2**40], names=None)
    assert "expected 0 to 99999" in message(settings(tmp_path / "data", "imagenet", size=8))


def test_an_empty_split(tmp_path):
    import pyarrow.parquet as pq

    parquet_set(tmp_path / "data")
    path = tmp_path / "data" / "test.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert f"{path}: holds no images" in message(settings(tmp_path / "data"))
    idx_set(tmp_path / "idx", test=0)
    assert "t10k-images-idx3-ubyte.gz: holds no images" in message(settings(tmp_path / "idx", "mnist"))


def test_a_missing_split(tmp_path):
    write_parquet(tmp_path / "data" / "train.parquet", cycle(20))
    assert "no test split, only train; expected train and test" in message(settings(tmp_path / "data"))


def test_train_and_test_with_other_classes(tmp_path):
    image_folders(tmp_path / "data", ("train",), ("cat", "dog"))
    image_folders(tmp_path / "data", ("val",), ("cat", "emu"))
    text = message(settings(tmp_path / "data"))
    assert "data: test has the classes cat, emu; expected those of train, cat, dog" in text
    write_parquet(tmp_path / "more" / "train.parquet", cycle(20, 5))
    write_parquet(tmp_path / "more" / "test.parquet", cycle(20, 6))
    assert "classes that train has none of: class 5" in message(settings(tmp_path / "more"))


def test_one_class_is_too_few(tmp_path):
    image_folders(tmp_path / "data", classes=("cat",))
    assert "images of one class only" in message(settings(tmp_path / "data"))


def test_a_class_of_one_training_image(tmp_path):
    write_parquet(tmp_path / "data" / "train.parquet", [0, 0, 1])
    write_parquet(tmp_path / "data" / "test.parquet", [0, 1])
    assert "class 1 has one training image" in message(settings(tmp_path / "data"))
