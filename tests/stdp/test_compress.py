import pytest
import torch

from spikeseq.stdp import at_random, connectivity, critical, shared, strongest

WEIGHT = torch.tensor([[0.9, 0.0], [0.1, 0.2], [0.5, 0.0], [0.3, 0.4]])


def test_critical_is_above_the_threshold():
    assert critical(WEIGHT, 0.3).tolist() == [[True, False], [False, False], [True, False], [False, True]]


def test_every_neuron_keeps_its_strongest():
    assert strongest(WEIGHT, 0.5).tolist() == [[True, False], [False, True], [True, False], [False, True]]
    tied = strongest(torch.full((8, 3), 0.5), 0.25)
    assert tied.sum(0).tolist() == [2, 2, 2]
    assert strongest(WEIGHT, 0.0).sum(0).tolist() == [1, 1]  # no neuron is taken away


def test_as_many_at_random():
    kept = at_random(WEIGHT, 0.5, torch.Generator().manual_seed(0))
    assert kept.sum(0).tolist() == [2, 2] and kept.dtype == torch.bool


def test_few_values_of_each_neuron():
    two, three = shared(WEIGHT, 2), shared(WEIGHT, 3)
    assert torch.equal(two != 0, WEIGHT != 0) and torch.equal(three != 0, WEIGHT != 0)
    for column, levels in ((two, 1), (three, 2)):
        assert all(len(one[one > 0].unique()) <= levels for one in column.T)
        assert torch.allclose(column.sum(0), WEIGHT.sum(0))
    tied = shared(torch.full((4, 1), 0.5), 3)
    assert torch.equal(tied, torch.full((4, 1), 0.5))
    given = torch.tensor([[0.1, 0.0], [0.3, 0.9], [0.2, 0.0]])
    assert torch.allclose(shared(given, 3), torch.tensor([[0.15, 0.0], [0.3, 0.9], [0.15, 0.0]]))
    assert torch.equal(shared(torch.zeros(2, 2), 3), torch.zeros(2, 2))
    assert connectivity(WEIGHT) == 0.75


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: shared(WEIGHT, 4), "levels must be 2 or 3, got 4"),
        (lambda: strongest(WEIGHT, 1.5), r"share must lie in \[0, 1\], got 1.5"),
    ],
)
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
