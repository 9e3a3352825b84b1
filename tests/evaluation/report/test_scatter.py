"""Charts by hand: places of points, labels that meet nothing, sorted bars, runs of spikes."""

from itertools import pairwise

import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from report_case import ACCURACY, BAG, BITS, LSTM, SMALL, SNN, model

from spikeseq.evaluation.report import figures
from spikeseq.evaluation.report.chart import Scale, apart, shortened, width_of
from spikeseq.evaluation.report.scatter import WIDTHS, box, labels, mark, scatter

PLACES = some.dictionaries(
    some.text("abc 漢", min_size=1, max_size=30),
    some.tuples(some.floats(3, 97), some.floats(3, 97)),
    max_size=12,
)


def test_better_is_up_and_cheaper_is_left():
    chart = scatter([*SNN, *LSTM, *BAG], ACCURACY)
    at = {point.says.split(":")[0]: point for point in chart.points}
    assert at["bow-1"].x < at["snn-1, folded"].x < at["lstm-1, int8"].x < at["lstm-1"].x
    assert at["lstm-1"].y < at["snn-1"].y < at["bow-1"].y  # the percent go down
    assert {name for name, point in at.items() if not point.small} == {
        "bow-1", "snn-1, folded", "lstm-1, int8", "lstm-1, folded",
    }  # fmt: skip
    assert "lstm-1, folded: 91.35 % accuracy, 736 nJ" in chart.alternative
    assert at["snn-1"].kind == "spiking" and at["bow-1"].kind == "conventional"


def test_fewer_bits_are_higher_up():
    chart = scatter([model("snn", score=1.9), model("lstm", score=1.8, compute=5.0)], BITS)
    snn, lstm = sorted(chart.points, key=lambda point: point.says, reverse=True)
    assert lstm.y < snn.y and not lstm.small and not snn.small
    assert [tick.text for tick in chart.y_ticks] == sorted(tick.text for tick in chart.y_ticks)


def test_one_model_is_no_scatter():
    assert scatter(BAG, ACCURACY) is None
    assert scatter([*BAG, model("snn", compute=None), model("gru", score=None)], ACCURACY) is None
    assert len(scatter([*BAG, *BAG[:0], model("snn", score=89.0, compute=0.00484)], ACCURACY).points) == 2


@settings(deadline=None, max_examples=60)
@given(PLACES)
def test_labels_meet_no_label_and_no_point(points):
    found = labels(points, points)
    for width in WIDTHS:
        shown = [one for one in found if not one.roomy or width > WIDTHS[0]]
        places = [box(one, width) for one in shown]
        marks = [mark(*at, width) for at in points.values()]
        assert not any(a.meets(b) for i, a in enumerate(places) for b in places[:i])
        assert not any(a.meets(b) for a in places for b in marks)
        assert all(place.left >= 2 and place.right <= width + 14 and place.top >= 0 for place in places)


def test_bars_are_sorted_and_say_their_values():
    strips = figures.energy([*LSTM, *SNN, *BAG, *SMALL, model("x", compute=None, memory=None)], ACCURACY)
    assert [row.name for row in strips.rows] == [
        "bow-1", "snn-1, folded", "lstm-16, folded", "snn-1", "lstm-16", "lstm-1, int8", "lstm-1, folded",
        "lstm-1",
    ]  # fmt: skip
    assert strips.rows[1].values == ["1.74 nJ", "28.3 nJ", "90.20"]
    ends = [row.spans[0].end for row in strips.rows]
    assert ends == sorted(ends) and all(0 < end <= 100 for end in ends)
    assert all(row.spans[1].start == row.spans[0].end < row.spans[1].end <= 100 for row in strips.rows)
    assert figures.energy([model("x", compute=None)], ACCURACY) is None


def test_spikes_as_dashes():
    spikes = torch.tensor([[1, 0, 0], [1, 0, 1], [0, 0, 1], [1, 0, 1]])
    assert figures.runs_of_spikes(spikes) == "M0 0.5h2M3 0.5h1M1 2.5h3"
    chart = figures.raster({"lif": spikes}, ["a", "b"])[0]
    assert chart.rows == (4, 3) and [tick.at for tick in chart.x_ticks] == [25, 75]
    assert chart.alternative == "6 spikes of 3 neurons in 4 sub-steps."


def test_axes():
    assert [tick.text for tick in Scale(0.0, 1.0).ticks] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert len(Scale(5.0, 5.0).ticks) > 1 and Scale(5.0, 5.0)(5.0) == 50
    assert Scale(0.0, 1.0, turned=True)(1.0) < Scale(0.0, 1.0, turned=True)(0.0)


@given(some.dictionaries(some.text(max_size=3), some.floats(0, 100), max_size=10))
def test_labels_of_lines_stand_apart(heights):
    found = apart(heights, 8.0)
    places = sorted(found.values())
    assert all(b - a > 7.99 for a, b in pairwise(places))
    assert all(-0.01 <= place <= 100.01 for place in places)
    assert [*found] == sorted(heights, key=heights.get)


def test_long_and_wide_names():
    assert shortened("x" * 24) == "x" * 24 and shortened("x" * 25) == "x" * 23 + "…"
    assert width_of("漢") == 2 * width_of("a") and width_of("e\u0301") == width_of("e")
