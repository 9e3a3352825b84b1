"""Patches, whitening, kernels, and the convolution that drives a neuron at every place."""

import pytest
import torch

from spikeseq.stdp import Linear, Sums, conv

SIDE, CHANNELS = 3, 2


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images(generator):
    return torch.randint(256, (4, CHANNELS, 7, 6), dtype=torch.uint8, generator=generator)


def test_patches_stand_in_the_images(images, generator):
    found = conv.patches(images, SIDE, 200, generator)
    assert found.shape == (200, CHANNELS * SIDE**2) and found.dtype == torch.float32
    all_of_them = torch.nn.functional.unfold(images.float(), SIDE).transpose(1, 2).flatten(0, 1)
    known = {tuple(row) for row in all_of_them.tolist()}
    drawn = {tuple(row) for row in found.tolist()}
    assert drawn <= known and len(drawn) > len(known) / 2


def test_normalised_patches_have_no_mean_and_one_contrast(images, generator):
    found = conv.normalised(conv.patches(images, SIDE, 50, generator))
    assert torch.allclose(found.mean(1), torch.zeros(50), atol=1e-5)
    assert torch.allclose(found.square().mean(1), torch.ones(50), atol=0.02)
    assert not conv.normalised(torch.full((1, 9), 128.0)).any()


def test_whitened_inputs_are_decorrelated(generator):
    mixed = torch.randn(5000, 5, generator=generator) @ torch.randn(5, 5, generator=generator)
    whitening = conv.Whitening.fit(mixed, noise=1e-6)
    white = whitening(mixed)
    assert torch.allclose(white.T @ white / 5000, torch.eye(5), atol=1e-3)
    assert torch.allclose(whitening.matrix, whitening.matrix.T, atol=1e-5)


def test_faint_directions_stay_faint(generator):
    mixed = torch.randn(5000, 2, generator=generator) * torch.tensor([1.0, 0.01])
    assert conv.Whitening.fit(mixed, noise=0.1)(mixed).std(0)[1] < 0.1


def test_on_and_off_inputs_share_a_value():
    x = torch.tensor([[1.0, -2.0, 0.0]])
    assert conv.on_off(x).tolist() == [[1.0, 0.0, 0.0, 0.0, 2.0, 0.0]]


def test_kernels_are_differences_of_length_one(generator):
    weight = torch.rand(10, 4, generator=generator)
    weight[:, 3] = 0.5
    found = conv.kernels(weight)
    difference = weight[:5, 0] - weight[5:, 0]
    difference -= difference.mean()
    assert torch.allclose(found[0], difference / difference.norm())
    assert torch.allclose(found[:3].norm(dim=1), torch.ones(3)) and not found[3].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_is_kernels_on_whitened_patches(images, generator, stride):
    """Place by place, as they were learnt."""
    whitening = conv.Whitening.fit(conv.normalised(conv.patches(images, SIDE, 300, generator)))
    kernels = torch.randn(5, CHANNELS * SIDE**2, generator=generator)
    found = conv.Convolution.of(kernels, whitening, CHANNELS).currents(images, stride)
    for y in range(0, 5, stride):
        for x in range(0, 4, stride):
            patch = images[:, :, y : y + SIDE, x : x + SIDE].flatten(1).float()
            wanted = whitening(conv.normalised(patch)) @ kernels.T
            assert torch.allclose(found[:, :, y // stride, x // stride], wanted, atol=1e-3)


def test_neurons_fire_in_proportion_to_what_is_above_the_cut():
    currents = torch.tensor([[-1.0, 0.5, 0.6], [1.0, 1.5, 9.0]])
    found = conv.fired(currents, cut=0.5, gain=0.5, steps=1000)
    assert torch.allclose(found, torch.tensor([[0.0, 0.0, 0.05], [0.25, 0.5, 1.0]]), atol=2e-3)
    few = conv.fired(currents, cut=0.5, gain=0.5, steps=8)
    assert few[1, 0] * 8 in (1.0, 2.0) and few.shape == currents.shape


def test_regions_are_pooled():
    rates = torch.arange(16.0).view(1, 1, 4, 4)
    assert conv.pooled(rates, 2).tolist() == [[2.5, 4.5, 10.5, 12.5]]


def test_gathered_sums_give_the_map_of_standardised_features(generator):
    x = torch.rand(60, 4, generator=generator)
    x[:, 3] = 0.25  # says nothing
    y = torch.randint(3, (60,), generator=generator)
    sums = Sums(3)
    for part in (slice(0, 10), slice(10, 11), slice(11, 60)):
        sums.add(x[part], y[part])
    found = sums.fit(penalty=5.0)
    assert isinstance(found, Linear) and not found.weight[3].any()
    z = x[:, :3].double()
    z = (z - z.mean(0)) / z.std(0, correction=0)
    target = torch.nn.functional.one_hot(y, 3).double()
    wanted = torch.linalg.solve(z.T @ z + 5.0 * torch.eye(3), z.T @ (target - target.mean(0)))
    assert torch.allclose(found.scores(x), z @ wanted + target.mean(0), atol=1e-6)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: conv.patches(torch.zeros(2, 1, 4, 4), 5, 1, torch.Generator()), "2 to 4, .*got 5"),
        (lambda: conv.patches(torch.zeros(0, 1, 4, 4), 2, 1, torch.Generator()), r"at least one, got \(0"),
        (lambda: conv.patches(torch.zeros(4, 4), 2, 1, torch.Generator()), r"\(N, C, H, W\).*got \(4, 4\)"),
        (lambda: conv.patches(torch.zeros(1, 1, 4, 4), 2, 0, torch.Generator()), "count .*got 0"),
        (lambda: conv.Whitening.fit(torch.zeros(1, 4)), "two patches, got 1"),
        (lambda: conv.Whitening.fit(torch.zeros(3, 4), 0.0), "noise .*got 0.0"),
        (lambda: conv.kernels(torch.zeros(5, 2)), r"\(ON and OFF inputs, neurons\), got \(5, 2\)"),
        (
            lambda: conv.Convolution.of(
                torch.zeros(1, 10), conv.Whitening(torch.zeros(10), torch.eye(10)), 3
            ),
            "squares, got 10",
        ),
        (lambda: conv.fired(torch.zeros(2), -1.0, 1.0, 8), "cut .*got -1.0"),
        (lambda: conv.fired(torch.zeros(2), 1.0, 0.0, 8), "gain .*got 0.0"),
        (lambda: Sums(3).fit(), "at least two classes"),
    ],
)
def test_what_does_not_fit_is_told(call, told):
    with pytest.raises(ValueError, match=told):
        call()
