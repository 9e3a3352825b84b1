from itertools import chain

import pytest
import torch

from spikeseq.recipes.images.task import Augmentation, ImageTask, normalised
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit


def data(count: int = 40, side: int = 8) -> ImageData:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=random, dtype=torch.uint8)
    split = ImageSplit(pixels, torch.arange(count) % 4)
    return ImageData("test", list("abcd"), {"train": split, "validation": split}, [0.5] * 3, [0.25] * 3)


def task(**changes: object) -> ImageTask:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 64, 4))
    still = Augmentation(0, False)
    return ImageTask(model, data(), batch_size=16, seed=1, augmentation=still, **changes)


def test_every_image_once_an_epoch_in_another_order():
    first, second = task().batches(0), task().batches(1)
    assert (
        sorted(chain.from_iterable(first)) == list(range(40))
        and first != second
        and first == task().batches(0)
    )
    assert [len(batch) for batch in first] == [16, 16, 8]
    many = task()
    many.corpus.splits["train"] = ImageSplit(many.corpus.splits["train"].pixels[:33], torch.arange(33) % 4)
    assert [len(batch) for batch in many.batches(0)] == [16, 17]  # none alone


def test_pixels_are_normalised():
    one = task()
    pixels, labels = one.collate([3, 5], torch.Generator())
    assert torch.equal(pixels, data().splits["train"].pixels[[3, 5]])
    images = one.normalised(pixels, torch.device("cpu"))
    torch.testing.assert_close(images, (pixels / 255 - 0.5) / 0.25)
    assert labels.tolist() == [3, 1] and images.is_contiguous(memory_format=torch.channels_last)


def test_shifts_stay_within_bounds_and_keep_pixels():
    pixels = torch.zeros(200, 2, 9, 9, dtype=torch.uint8)
    pixels[:, 0, 4, 4], pixels[:, 1, 4, 4] = 7, 9
    moved = Augmentation(2, False)(pixels, torch.Generator().manual_seed(0))
    assert moved.shape == pixels.shape and moved.dtype == torch.uint8
    assert torch.equal(moved[:, 0] == 7, moved[:, 1] == 9)  # channels move together
    places = (moved[:, 0] == 7).nonzero()[:, 1:]
    assert len(places) == 200 and places.min() == 2 and places.max() == 6
    assert len(places.unique(dim=0)) == 25


def test_flips_mirror_half_of_the_images():
    pixels = torch.arange(5, dtype=torch.uint8).expand(400, 1, 5, 5)
    turned = Augmentation(0, True)(pixels, torch.Generator().manual_seed(0))
    mirrored = (turned == pixels.flip(3)).all((1, 2, 3))
    assert ((turned == pixels).all((1, 2, 3)) ^ mirrored).all()
    assert 150 < int(mirrored.sum()) < 250


def test_a_square_is_erased():
    pixels = torch.full((50, 1, 12, 12), 255, dtype=torch.uint8)
    erased = Augmentation(0, False, erase=4)(pixels, torch.Generator().manual_seed(0))
    grey = (erased == 128).sum((1, 2, 3))
    assert grey.max() == 16 and grey.min() >= 4  # it may reach over the edge


@pytest.mark.parametrize("name", ["shift", "erase"])
def test_bad_augmentation(name):
    with pytest.raises(ValueError, match=f"data.{name} must be 0 or more pixels, got -1"):
        Augmentation(**{name: -1})


def test_accuracy_is_a_percentage():
    one = task()
    torch.nn.init.zeros_(one.model[1].weight)
    one.model[1].bias.data = torch.tensor([0.0, 1.0, 0.0, 0.0])
    scores = one.validate(one.model, torch.device("cpu"))
    assert scores == {"score": 25.0, "accuracy": 25.0}


def test_precision_decides_the_type_of_products():
    seen = []
    for precision in ("float32", "bf16"):
        one = task(precision=precision)
        one.model[1].register_forward_hook(lambda module, args, output: seen.append(output.dtype))
        loss = one.loss(one.model, one.collate([0, 1], torch.Generator()))
        assert loss.dtype == torch.float32
    assert seen == [torch.float32, torch.bfloat16]


def test_normalising_by_channel():
    pixels = torch.full((1, 2, 1, 1), 51, dtype=torch.uint8)
    out = normalised(pixels, [0.2, 0.1], [1.0, 0.5])
    assert out.flatten().tolist() == pytest.approx([0.0, 0.2])
