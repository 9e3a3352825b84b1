from dataclasses import replace

import pytest
import torch

from spikeseq.evaluation.bench import goals, timing
from spikeseq.evaluation.bench import models as bench_models
from spikeseq.evaluation.bench import run as bench

SIZES = replace(bench.Sizes(), layer=(4, 2, 8), model=(5, 3, 8), step=8)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.0)
    monkeypatch.setattr(bench_models, "VOCABULARY", 30)


def run(*names, against=()):
    return bench.run_bench(list(names), list(against), lambda text: None, sizes=SIZES, seconds=0.0)[
        "benchmarks"
    ]


def test_what_is_timed():
    found = {one["title"]: list(one["contenders"]) for one in run("recurrent", "model", "step")}
    assert found == {
        "recurrent T=1 training 4x2x8": ["spikeseq", "lstm", "gru", "rnn"],
        "model training 5x3": ["spikeseq", "lstm", "reference-loop"],
        "model inference 5x1": ["spikeseq", "lstm", "reference-loop"],
        "step 2x8": ["spikeseq", "lstm", "gru", "rnn"],
    }
    assert list(run("model", against=["lstm"])[0]["contenders"]) == ["spikeseq", "lstm"]


def test_goals_name_what_the_default_sizes_time():
    sizes = bench.Sizes()
    peers = {name: family.peers for name, family in bench.FAMILIES.items()} | {
        "lif": ()
    }  # may not be installed
    made = [
        one.title
        for name in ("recurrent", "model", "step", "layer", "lif", "memory")
        for one in bench.FAMILIES[name].make(sizes, peers[name])
    ]
    families = ("recurrent", "model", "step", "layer", "lif", "memory")
    named = {goal.title for goal in goals.GOALS if goal.title.split()[0] in families}
    assert named <= set(made)


def test_the_loops_are_the_network_gradients_too():
    model = bench_models.classifier("snn", 8).double()
    text, lengths = torch.randint(1, 30, (6, 2)), torch.tensor([6, 6])
    grads = [
        torch.autograd.grad(run(text, lengths).square().sum(), list(model.parameters()))
        for run in (model, lambda *args: bench_models.by_loops(model, *args))
    ]
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_what_says_something_else_is_not_timed(monkeypatch):
    monkeypatch.setattr(bench_models, "by_loops", lambda model, *args: model(*args) + 1)
    with pytest.raises(RuntimeError, match="the sentiment network"):
        run("model")
    right = bench_models.SpikingRNN.forward
    monkeypatch.setattr(bench_models.SpikingRNN, "forward", lambda self, x, *hx: (right(self, x)[0], None))
    with pytest.raises(RuntimeError, match="streaming"):
        run("step")
