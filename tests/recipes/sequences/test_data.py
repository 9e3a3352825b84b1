"""Sequences made of images and texts: their order, their lengths, what a model reads of them."""

import numpy as np
import pytest
import torch
from recipe_case import write_rows

from spikeseq.recipes.config import load_config
from spikeseq.recipes.manifest import RunError
from spikeseq.recipes.sequences.data import (
    Reading,
    Sequences,
    grey_rows,
    load_sequences,
    open_sequences,
    order_of,
    read_kept,
)
from spikeseq.recipes.shared.errors import DataError

pytestmark = pytest.mark.usefixtures("cache")


def settings(recipe, *changes, source="sample"):
    return load_config(recipe, data=str(source), overrides=["data.limit=40", *changes]).data


def test_the_permutation_is_fixed():
    """What a run has learnt is of no use in another order: this is that of psmnist, whatever the version."""
    order = order_of(784, 1)
    assert order[:5].tolist() == FIRST
    assert sorted(order.tolist()) == list(range(784)) and not torch.equal(order, order_of(784, 2))


FIRST = [649, 265, 111, 301, 339]


def test_pixels_come_in_that_order():
    pixels = torch.arange(2 * 9, dtype=torch.uint8).view(2, 1, 3, 3)
    rows = grey_rows(pixels).t()
    assert rows[:, 0].tolist() == list(range(9))
    lengths = torch.tensor([9, 9])
    mixed = Reading((0.0, 1 / 255), 3, permutation=4)(rows, lengths, 3)
    assert mixed[:, 1, 0].round().tolist() == (9 + order_of(9, 4)).tolist()
    plain = Reading((0.0, 1 / 255), 3)(rows, lengths, 3)
    assert plain[:, 1, 0].round().tolist() == list(range(9, 18))


def test_colours_become_grey_as_in_pillow():
    from PIL import Image

    colours = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    rows = grey_rows(torch.from_numpy(colours).permute(0, 3, 1, 2))
    grey = np.stack([np.asarray(Image.fromarray(one).convert("L")) for one in colours])
    assert np.abs(rows.view(5, 4, 4).numpy().astype(int) - grey.astype(int)).max() <= 1


def test_a_batch_ends_with_zeros_and_whole_ticks():
    split = Sequences(
        torch.tensor([7, 8, 9, 1, 2], dtype=torch.uint8), torch.tensor([0, 3, 5]), torch.tensor([0, 1])
    )
    assert split.lengths() == [3, 2] and len(split) == 2
    rows, lengths = split.batch([1, 0])
    assert rows.tolist() == [[1, 7], [2, 8], [0, 9]] and lengths.tolist() == [2, 3]
    assert Reading()(rows, lengths, 2).tolist() == [[2, 8], [3, 9], [0, 10], [0, 0]]
    values = Reading((0.5, 0.25), 3)(rows, lengths, 2)
    assert values.shape == (4, 2, 1) and not values[2:, 0].any() and not values[3].any()
    torch.testing.assert_close(values[0, 1, 0], torch.tensor((7 / 255 - 0.5) / 0.25))


@pytest.mark.parametrize(
    ("recipe", "length", "classes"), [("psmnist", 784, 10), ("scifar", 1024, 10), ("imdb-bytes", None, 2)]
)
def test_the_samples(recipe, length, classes):
    corpus = load_sequences(settings(recipe))
    assert {name: len(split) for name, split in corpus.splits.items()} == corpus.facts()["sequences"]
    assert corpus.facts()["sequences"]["test"] == 40 and len(corpus.classes) == classes
    if length:
        assert set(corpus.splits["test"].lengths()) == {length}
        values = corpus.splits["train"].rows.float() / 255
        assert corpus.reading.scale == pytest.approx((float(values.mean()), float(values.std())), abs=1e-4)
    else:
        assert corpus.reading == Reading()
    again = load_sequences(settings(recipe))
    assert torch.equal(again.splits["train"].rows, corpus.splits["train"].rows)


def test_texts_are_cut_and_their_first_bytes_kept(tmp_path):
    path = write_rows(tmp_path / "texts.csv", [(f"né {i} ok", "ab"[i % 2]) for i in range(40)])
    corpus = load_sequences(settings("imdb-bytes", "data.longest=4", source=path))
    train = corpus.splits["train"]
    assert set(train.lengths()) == {4} and bytes(train.rows[:3].tolist()) == "né".encode()
    assert corpus.classes == ["a", "b"] and corpus.name == "texts"
    found, classes, name = open_sequences(settings("imdb-bytes", "data.longest=4", source=path), "test")
    assert torch.equal(found.rows, corpus.splits["test"].rows) and (classes, name) == (["a", "b"], "texts")


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        load_sequences(settings("imdb-bytes", source=tmp_path / "none"))
    with pytest.raises(DataError, match="expected sample, hub or a folder"):
        load_sequences(settings("psmnist", source=tmp_path / "none"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"classes": ["a", "b"], "scale": null}', "size"),
        ('{"classes": ["a"], "scale": null, "size": null}', "two or more"),
        ('{"classes": ["a", "b"], "scale": [0.1], "size": 3}', "expected a mean and a deviation"),
        ('{"classes": ["a", "b"], "scale": [0.1, 0], "size": 3}', "expected a mean and a deviation"),
        ('{"classes": ["a", "b"], "scale": [0.1, 1], "size": -3}', "side of an image"),
        ('{"classes": ["a", "b"], "scale": [0.1, 1], "size": null}', "or neither"),
    ],
)
def test_a_damaged_file_of_a_run(content, message, tmp_path):
    (tmp_path / "sequences.json").write_text(content)
    with pytest.raises(RunError, match=message):
        read_kept(tmp_path)
