"""Two processes on tiny sizes: what their all-reduce carries is what arithmetic tells."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from spikeseq.evaluation import scaling as arithmetic
from spikeseq.evaluation.bench import run as bench
from spikeseq.evaluation.bench import scaling, timing

WORKS = tuple(scaling.Work(model, 20, 8, 4, 2) for model in (scaling.KEPT, scaling.TRANSLATION))
# Kept vectors: maps 100 x 8 and 8 x 8 with biases, leaks and thresholds, 8 x 16 and the read-out of 16 x 2.
KEPT_BYTES = 4 * ((100 + 1) * 8 + (8 + 1) * 8 + 4 + 8 * 16 + 17 * 2)

pytestmark = [
    pytest.mark.skipif(scaling.missing() is not None, reason="torch without gloo"),
    pytest.mark.timeout(700),  # two processes have to start, where others compute, too
]


def test_two_processes(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.0)
    carried = []

    def checked(both, work, size):
        carried.append(both.carried(work))
        if work == WORKS[0]:
            with pytest.raises(RuntimeError, match=rf"its buckets hold {size:,} bytes, not {size + 4:,}"):
                check(both, work, size + 4)

    check = scaling.check
    monkeypatch.setattr(scaling, "check", checked)
    sizes = replace(bench.Sizes(), scaling=WORKS)
    threads = torch.get_num_threads()
    result = bench.run_bench(["scaling"], [], lambda line: None, sizes=sizes, seconds=0.0)
    facts = [one["contenders"]["spikeseq"] for one in result["benchmarks"]]
    assert carried == [one["bytes"] for one in facts] and carried[0] == KEPT_BYTES
    assert [one["embedding_bytes"] > 0 for one in facts] == [False, True]
    assert torch.get_num_threads() == threads and not torch.distributed.is_initialized()
    for one in result["benchmarks"]:
        assert list(one["contenders"]) == ["spikeseq", "two", "all-reduce"]
    pages = arithmetic.page(result)
    assert f"| {scaling.KEPT} | {KEPT_BYTES // 4:,} | {KEPT_BYTES:,} | 0.0 % |" in pages["bytes"]
    assert len(pages["steps"].split("\n\n")) == 2 + len(WORKS)


def test_gradients_are_counted_once_in_their_own_type():
    model = nn.ModuleDict({"a": nn.Linear(3, 5), "b": nn.Linear(3, 5, bias=False), "c": nn.Linear(2, 2)})
    model["b"].weight = model["a"].weight
    model["c"].double().bias.requires_grad_(False)
    assert scaling.gradient_bytes(model) == 4 * (15 + 5) + 8 * 4


def test_a_ring():
    found = arithmetic.expected(1000, seconds=2.0, processes=4, bandwidth=500.0, latency=0.5)
    assert found.sent == 1500 and found.reduce == 3.0 + 6 * 0.5
    assert found.hidden == pytest.approx(2 / 6) and found.bare == pytest.approx(2 / 8)
    assert arithmetic.expected(1000, 2.0, 1, 500.0) == (0, 0, 1, 1)
    assert arithmetic.expected(1000, 20.0, 2, 500.0).hidden == 1.0


@pytest.mark.parametrize(
    "name, value",
    [("gradients", -1), ("processes", 0), ("latency", -0.1), ("seconds", 0.0), ("bandwidth", float("nan"))],
)
def test_numbers_that_are_too_small(name, value):
    given = {"gradients": 1, "seconds": 1.0, "processes": 2, "bandwidth": 1.0, "latency": 0.0}
    with pytest.raises(ValueError, match=f"{name} is {value}; it must be"):
        arithmetic.expected(**given | {name: value})


def row(batch, milliseconds):
    return {"spikeseq": {"work": {"model": "m", "batch": batch}, "milliseconds": {"total": milliseconds}}}


def test_where_it_saturates():
    said = arithmetic.saturation([row(1, 10.0), row(8, 20.0), row(64, 150.0)])
    assert said.startswith(
        "m, one process: 100 at batch 1, 400 at batch 8, 427 at batch 64 sequences a second"
    )
    assert said.endswith("nine tenths of the most are reached at 8.")
    assert arithmetic.saturation([row(4, 10.0)]) == "m, one process: 400 at batch 4 sequences a second."
