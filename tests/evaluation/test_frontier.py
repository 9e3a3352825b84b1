"""The frontier of score against energy: by hand, and by its definition on random points."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from spikeseq.evaluation.frontier import frontier

POINTS = {"lstm": (736.0, 91.35), "snn": (1.74, 90.2), "small": (4.7, 89.5), "bag": (0.005, 89.0)}
FEW = some.floats(0, 3).map(round) | some.floats(0, 3)  # equal values are frequent


def test_models_that_nothing_beats():
    assert frontier(POINTS) == ["bag", "snn", "lstm"]
    assert frontier({"a": (1.0, 2.0), "b": (2.0, 1.5), "c": (3.0, 1.6)}, lower_is_better=True) == ["a", "b"]
    assert frontier({}) == []


def test_equal_points_stay_together():
    assert frontier({"a": (1.0, 5.0), "b": (1.0, 5.0), "c": (2.0, 5.0)}) == ["a", "b"]


@given(some.lists(some.tuples(FEW, FEW), max_size=8), some.booleans())
def test_what_is_left_out_is_dominated_and_nothing_else(values, lower):
    points = {str(i): value for i, value in enumerate(values)}
    sign = 1 if lower else -1

    def dominates(a, b):
        a, b = (a[0], sign * a[1]), (b[0], sign * b[1])
        return a != b and a[0] <= b[0] and a[1] <= b[1]

    found = frontier(points, lower_is_better=lower)
    assert set(found) == {n for n in points if not any(dominates(p, points[n]) for p in points.values())}
    energies = [points[name][0] for name in found]
    assert energies == sorted(energies)


@pytest.mark.parametrize("point", [(float("nan"), 1.0), (1.0, float("nan"))], ids=["energy", "score"])
def test_what_is_no_number_is_named(point):
    with pytest.raises(ValueError, match="energy and score of odd must be numbers"):
        frontier({**POINTS, "odd": point})
