from dataclasses import replace

import pytest
import torch

from spikeseq.evaluation.bench import events as bench_events
from spikeseq.evaluation.bench import run as bench

SIZES = replace(bench.Sizes(), events=(4, 2, 8))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(bench_events, "VOCABULARY", 30)
    monkeypatch.setattr(bench_events, "RATES", (0.1, 0.5))


def test_a_curve_over_the_spike_rate_and_a_whole_network():
    result = bench.run_bench(["events"], [], lambda text: None, sizes=SIZES, seconds=0.01)
    titles = [one["title"] for one in result["benchmarks"]]
    assert titles == ["events 8x8 rate 0.1", "events 8x8 rate 0.5", "events sentiment 4"]
    assert list(result["benchmarks"][0]["contenders"]) == ["spikeseq", "int8", "dense"]
    assert list(result["benchmarks"][2]["contenders"]) == ["spikeseq", "int8", "dense", "lstm"]


def test_peers_are_chosen():
    result = bench.run_bench(["events"], ["lstm"], lambda text: None, sizes=SIZES, seconds=0.01)
    assert [list(one["contenders"]) for one in result["benchmarks"]] == [["spikeseq", "int8", "lstm"]]


def test_what_says_something_else_is_not_timed():
    dense = torch.nn.Linear(3, 2)
    with pytest.raises(RuntimeError, match="event-driven inference"):
        bench_events.check(torch.nn.Linear(3, 2), dense, torch.ones(1, 3))
