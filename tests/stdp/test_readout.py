import pytest
import torch

from spikeseq.stdp import Linear, Votes, readout

COUNTS = torch.tensor(
    [[9, 0, 1, 0], [7, 1, 0, 0], [0, 4, 2, 0], [1, 5, 3, 0], [0, 1, 1, 0]], dtype=torch.int32
)
TARGETS = torch.tensor([0, 0, 1, 1, 2])


def test_neurons_are_labelled_by_their_mean_count_per_class():
    votes = Votes.fit(COUNTS, TARGETS, 3)
    assert votes.labels.tolist() == [0, 1, 1, -1]  # a class that comes less often weighs as much
    scores = votes.scores(torch.tensor([[2, 4, 1, 50]]))
    assert scores.tolist() == [[2.0, 2.5, 0.0]]  # a mean over neurons; a silent neuron has no say
    assert votes.predict(COUNTS).tolist() == [0, 0, 1, 1, 1]


def test_a_linear_map_is_the_least_squares_one():
    g = torch.Generator().manual_seed(0)
    counts, targets = torch.randint(0, 9, (60, 5), generator=g), torch.arange(60) % 3
    weight = Linear.fit(counts, targets, 3, penalty=0.0).weight
    x = torch.cat([counts.double(), torch.ones(60, 1, dtype=torch.float64)], 1)
    assert torch.allclose(weight, torch.linalg.lstsq(x, torch.eye(3, dtype=torch.float64)[targets]).solution)


def test_a_linear_map_of_examples_in_parts_is_that_of_all(monkeypatch):
    g = torch.Generator().manual_seed(0)
    counts, targets = torch.randint(0, 5, (50, 7), generator=g), torch.randint(0, 3, (50,), generator=g)
    x = torch.cat([counts.double(), torch.ones(50, 1, dtype=torch.float64)], 1)
    wanted = x.T @ torch.nn.functional.one_hot(targets, 3).double()
    monkeypatch.setattr(readout, "ROWS", 8)
    found = Linear.fit(counts, targets, 3, penalty=2.0).weight
    assert torch.equal(found, torch.linalg.solve(x.T @ x + 2.0 * torch.eye(8, dtype=x.dtype), wanted))


@pytest.mark.parametrize("kind", [Votes, Linear])
@pytest.mark.parametrize(
    "counts, targets, message",
    [
        (COUNTS[0], TARGETS, r"counts must be \(N, neurons\)"),
        (COUNTS, TARGETS[:4], r"targets must be \(5,\) int64, got \(4,\)"),
        (COUNTS, TARGETS.float(), "int64"),
        (COUNTS, TARGETS + 1, "targets must lie in 0 to 2, got 1 to 3"),
        (COUNTS, TARGETS * 0, "at least two classes, got class 0 alone"),
    ],
)
def test_bad_labels(kind, counts, targets, message):
    with pytest.raises(ValueError, match=message):
        kind.fit(counts, targets, 3)
