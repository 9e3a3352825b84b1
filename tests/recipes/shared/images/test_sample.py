import time
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from spikeseq.recipes.shared.images.sample import CLASSES, make_image_sample


@pytest.fixture(scope="module")
def grey():
    """Scaled pixels (N, 1, 28, 28) and labels of both splits."""
    tensors = {}
    for split, (pixels, labels) in make_image_sample("mnist").items():
        tensors[split] = (torch.from_numpy(pixels)[:, None] / 64.0 - 2, torch.from_numpy(labels))
    return tensors


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(threads)


def accuracy(model, images, labels):
    with torch.no_grad():
        return (model(images).argmax(1) == labels).float().mean().item()


def test_shapes_and_balance():
    for recipe, shape in (("cifar10", (32, 32, 3)), ("mnist", (28, 28)), ("imagenet", (64, 64, 3))):
        made = make_image_sample(recipe, train=100, test=50)
        for split, count in (("train", 100), ("test", 50)):
            pixels, labels = made[split]
            assert pixels.shape == (count, *shape) and pixels.dtype == np.uint8
            assert labels.dtype == np.int64 and np.bincount(labels).tolist() == [count // 10] * 10
            assert labels.tolist() != sorted(labels.tolist())
    assert len(set(CLASSES)) == 10
    assert make_image_sample("cifar10", size=20, train=10, test=10)["test"][0].shape == (10, 20, 20, 3)


def test_the_default_is_fast_and_the_same_for_its_seed():
    start = time.process_time()
    made = make_image_sample("cifar10")
    assert time.process_time() - start < 3
    assert [len(labels) for _, labels in made.values()] == [2000, 500]
    again = make_image_sample("cifar10")
    for split in made:
        for first, second in zip(made[split], again[split], strict=True):
            assert np.array_equal(first, second)
    other = make_image_sample("cifar10", seed=1, train=100, test=10)
    assert not np.array_equal(other["train"][0], made["train"][0][:100])


def test_no_image_comes_twice():
    made = make_image_sample("mnist")
    rows = np.concatenate([pixels.reshape(len(pixels), -1) for pixels, _ in made.values()])
    assert len(np.unique(rows, axis=0)) == 2500


@pytest.mark.parametrize("recipe", ["cifar10", "mnist"])
def test_colour_brightness_and_contrast_tell_nothing(recipe):
    """The nearest class in any of these figures is right hardly more often than chance."""
    made = make_image_sample(recipe)
    figures = {}
    for split, (pixels, labels) in made.items():
        flat = pixels.reshape(len(pixels), -1, 1 if pixels.ndim == 3 else 3).astype(float)
        figures[split] = (np.concatenate([flat.mean(1), flat.std(1)], 1), labels)
    (known, labels), (asked, right) = figures["train"], figures["test"]
    for figure in range(known.shape[1]):
        means = np.array([known[labels == label, figure].mean() for label in range(10)])
        guess = abs(asked[:, figure, None] - means).argmin(1)
        assert (guess == right).mean() < 0.2


@pytest.mark.parametrize("decay", [0.0, 0.01, 0.1])
def test_a_linear_classifier_stays_near_chance(grey, decay):
    images, labels = grey["train"]
    model = nn.Sequential(nn.Flatten(), nn.Linear(images[0].numel(), 10))
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=50)

    def loss():
        optimiser.zero_grad()
        value = nn.functional.cross_entropy(model(images), labels) + decay * model[1].weight.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    assert accuracy(model, images, labels) > 0.3  # it did learn what it could
    assert accuracy(model, *grey["test"]) < 0.25


def test_a_small_convolutional_network_learns_the_shapes(grey):
    images, labels = grey["train"]
    widths = [1, 12, 24, 48]
    layers = []
    for before, after in pairwise(widths):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(48, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(7):
        for rows in torch.randperm(len(labels)).split(50):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(images[rows]), labels[rows]).backward()
            optimiser.step()
    assert accuracy(model.eval(), *grey["test"]) > 0.8


def test_a_size_too_small_for_shapes():
    with pytest.raises(ValueError, match=r"data\.size=15: expected 16 or more"):
        make_image_sample("cifar10", size=15)
