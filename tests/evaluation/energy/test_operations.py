import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.evaluation.energy.operations import Operations, spikes_in

quick = settings(deadline=None, max_examples=40)


def spikes(seed, *shape, rate=0.3):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < rate).float()


@quick
@given(st.integers(0, 1000), st.sampled_from([1.0, 1 / 3, 1.25, 0.37, 1 / 0.85]), st.integers(1, 8))
def test_sums_of_spikes_at_any_scale(seed, scale, steps):
    summed = spikes(seed, steps, 40, 5).sum(0)
    if scale == 1.0 or 1.0 in summed:  # else nothing shows that two spikes are the least
        assert spikes_in(summed * scale) == summed.sum()


@quick
@given(st.integers(0, 1000), st.sampled_from([2, 3, 4]))
def test_pooled_spikes(seed, window):
    image = spikes(seed, 3, 2, 12, 12)
    pooled = torch.nn.functional.avg_pool2d(image, window)
    if (pooled == 1 / window**2).any() or (pooled % 1 == 0).all():
        assert spikes_in(pooled) in (image.sum(), pooled.sum())
    assert spikes_in(torch.nn.functional.avg_pool2d(spikes(seed, 1, 1, 8, 8), 2)) is not None


def test_long_means():
    means = torch.tensor([20, 23, 30, 41, 18, 27, 33, 25, 22]) / 64
    assert spikes_in(means) == 239


@quick
@given(st.integers(0, 1000))
def test_analog_values_are_none(seed):
    random = torch.Generator().manual_seed(seed)
    for x in (torch.randn(30, generator=random), torch.rand(30, generator=random)):
        assert spikes_in(x) is None and spikes_in(x.relu() + 0.01) is None
    for brightest in (64, 256):
        pixels = torch.randint(0, brightest, (200,), generator=random)
        assert spikes_in(pixels / 255) is None
    mixed = spikes(seed, 400)
    mixed[300] = 0.3123
    assert spikes_in(mixed) is None


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ([], 0.0), ([0.0, 0.0], 0.0), ([1.0], 1.0), ([0.0, 5.0], 5.0), ([0.2, 0.6], 4.0), ([0.5], 1.0),
        ([-1.0, 1.0], None), ([float("nan"), 1.0], None), ([float("inf")], None), ([0.37], None),
        ([1.0, 1.1], None), ([0.0, 200.0], None),
    ],
)  # fmt: skip
def test_few_values(values, count):
    assert spikes_in(torch.tensor(values)) == count


def test_counts_add_up_and_are_divided():
    total = Operations(macs=3, spikes=4, neurons=2)
    total += Operations(macs=1, acs=2, spikes=2, neurons=2)
    assert total.per(2) == Operations(macs=2, acs=1, spikes=3, neurons=2)
    assert total.per(2).as_dict() == {"macs": 2, "acs": 1, "spike_rate": 1.5}
    assert Operations(spikes=0, neurons=4).as_dict() == {"spike_rate": 0}


def test_spikes_that_are_subtracted():
    signed = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, 0.0]])
    assert spikes_in(signed) == spikes_in(0.3 * signed) == 3
    assert spikes_in(torch.tensor([-1.0, 0.5, 0.0])) is None
    assert spikes_in(torch.tensor([-1.0, 1.0])) is None
    assert spikes_in(torch.tensor([0.0, -2.1, 0.0])) is None
