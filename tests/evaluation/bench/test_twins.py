"""Networks beside their twins: what is timed, that the layers are the same, and the memory of a step."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from spikeseq.evaluation.bench import goals, peers, timing, twins
from spikeseq.evaluation.bench import run as bench
from spikeseq.modules import of_kind

SIZES = replace(bench.Sizes(), twins=(2, 8, 3, 2, 16))


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.0)
    monkeypatch.setattr(twins, "VOCABULARY", 20)
    monkeypatch.setattr(twins, "PROCESSES", 1)


def test_a_step_of_each_and_the_memory_of_one():
    result = bench.run_bench(["twins"], ["relu"], lambda text: None, sizes=SIZES, seconds=0.0)
    images, sentences = result["benchmarks"]
    assert images["title"] == "twins vgg6 2x8 T=5" and sentences["title"] == "twins conv 3x2x16 T=3"
    for one in (images, sentences):
        assert list(one["contenders"]) == ["spikeseq", "relu"]
        assert set(one["contenders"]["relu"]["milliseconds"]) == {"forward", "backward", "total", "first"}
    facts = sentences["contenders"]["spikeseq"]
    assert not twins.RESET.exists() or (facts["peak"] > 0 and facts[twins.MEMORY] > 0)


@pytest.mark.parametrize(
    "known, met", [({}, None), ({"peak_of_twin": 0.9}, True), ({"peak_of_twin": 1.2}, False)]
)
def test_a_goal_about_a_fact_that_may_be_unknown(known, met):
    (goal,) = (one for one in goals.GOALS if one.fact == twins.MEMORY)
    found = goals.judge(
        goal, [{"title": goal.title, "contenders": {"spikeseq": {"ratio": {"total": 1.0}, **known}}}]
    )
    assert found["met"] is met and found["measured"] == known.get("peak_of_twin")


@pytest.mark.skipif(
    peers.LIF_PEERS["spikingjelly"].missing() is not None, reason="SpikingJelly is not installed"
)
def test_the_other_library_has_the_same_weights():
    def shapes(model):
        return [tuple(one.weight.shape) for one in of_kind(model, nn.Conv2d, nn.Linear).values()]

    theirs = twins.spikingjelly(8)
    assert shapes(theirs) == shapes(twins.vgg6(8, "spiking")) == shapes(twins.vgg6(8, "relu"))
    assert theirs(torch.randn(2, 3, 32, 32)).shape == (2, 10)
