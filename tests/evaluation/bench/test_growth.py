"""How cost grows, and what is kept: what is timed, judged and drawn."""

from dataclasses import replace

import pytest
import torch
from matplotlib import image

from spikeseq.evaluation.bench import goals, timing
from spikeseq.evaluation.bench import run as bench
from spikeseq.evaluation.bench.growth import points
from spikeseq.evaluation.bench.memory import bytes_kept
from spikeseq.recipes.shared.plots import plot_growth

SIZES = replace(bench.Sizes(), layer=(64, 4, 16))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.0)


def run(name, against):
    return bench.run_bench([name], [against], lambda text: None, sizes=SIZES, seconds=0.0)


def test_one_thing_changes_at_a_time():
    seen = list(points((250, 64, 128)))
    assert {what for what, *_ in seen} == {"length", "batch", "width", "sub-steps"}
    for what, value, sizes, substeps in seen:
        usual = {"length": 250, "batch": 64, "width": 128, "sub-steps": 5}
        now = dict(zip(usual, (*sizes, substeps), strict=True))
        assert now == {**usual, what: value}


def test_growth_is_timed_and_drawn(tmp_path):
    result = run("growth", "rnn")
    assert len(result["benchmarks"]) == 14
    assert all(list(one["contenders"]) == ["spikeseq", "rnn"] for one in result["benchmarks"])
    plot_growth(result["benchmarks"], tmp_path / "growth.png")
    assert image.imread(tmp_path / "growth.png").std() > 0


def test_memory_is_told_beside_the_time():
    (one,) = run("memory", "rnn")["benchmarks"]
    ours, again = (one["contenders"][name]["bytes"] for name in ("spikeseq", "recompute"))
    assert 2 < ours < 6 and 0.1 < again < 1.5
    assert f"{ours:.2f} bytes per neuron and sub-step" in one["contenders"]["spikeseq"]["note"]


@pytest.mark.parametrize("kept, met", [(2.7, True), (6.5, False)])
def test_a_goal_about_bytes(kept, met):
    goal = goals.Goal("little", "memory", ("spikeseq",), 6.0, fact="bytes")
    found = goals.judge(goal, [{"title": "memory", "contenders": {"spikeseq": {"bytes": kept}}}])
    assert found["met"] is met and found["measured"] == kept and found["at_most"] == 6.0
    assert goals.judge(goal, [])["met"] is None


def test_bytes_kept_counts_each_memory_once():
    x, weight = torch.randn(4, 4, requires_grad=True), torch.randn(4, 4)
    assert bytes_kept(lambda: (x * weight) * weight, x) == 64
    assert bytes_kept(lambda: x * weight, x, weight) == 0
