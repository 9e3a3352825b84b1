from itertools import chain

import pytest
import torch

from spikeseq.recipes.images.task import ImageTask, normalised
from spikeseq.recipes.shared.images.augmentation import Augmentation
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
