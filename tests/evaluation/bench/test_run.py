"""`spikeseq bench` on tiny sizes: every field, every refusal. Nothing depends on the machine's speed."""

import itertools
import json
from types import SimpleNamespace

import pytest
import torch

from spikeseq.evaluation.bench import agreement, goals, peers, table, timing
from spikeseq.evaluation.bench import run as bench

TINY = bench.Sizes(lif=((8, 2, 3), (8, 1, 3)), layer=(4, 2, 3), substeps=(2, 1))
INSTALLED = [name for name, peer in peers.LIF_PEERS.items() if not peer.missing()]


@pytest.fixture(autouse=True)
def short_turns(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.0)


def run(names=(), against=()):
    said = []
    return bench.run_bench(list(names), list(against), said.append, sizes=TINY, seconds=0.0), said


@pytest.fixture
def fake_peer(monkeypatch):
    """A peer that is always there, as a new one would be added."""
    fake = peers.LifPeer("fake", "", (), "the reference loop again", "none", peers.reference_loop)
    monkeypatch.setitem(bench.LIF_PEERS, "fake", fake)
    family = bench.FAMILIES["lif"]
    monkeypatch.setitem(bench.FAMILIES, "lif", bench.Family((*family.peers, "fake"), family.make))


@pytest.fixture
def absent_peer(monkeypatch):
    """norse, as if it were not installed."""
    absent = peers.LifPeer("norse", "norse-of-the-test", ("no_such_module",), "", "", peers.reference_loop)
    monkeypatch.setitem(bench.LIF_PEERS, "norse", absent)


def test_every_field():
    result, said = run(["lif", "layer"])
    assert json.loads(json.dumps(result)) == result
    assert {"cpu", "threads", "torch", "backend"} <= set(result["machine"])
    titles = [benchmark["title"] for benchmark in result["benchmarks"]]
    assert titles == [
        "lif 8x2x3",
        "lif 8x1x3",
        "layer T=2 training 4x2x3",
        "layer T=1 training 4x2x3",
        "layer T=2 inference 4x2x3",
        "layer T=1 inference 4x2x3",
    ]
    assert [line.split(":")[0] for line in said] == titles
    for benchmark in result["benchmarks"]:
        assert benchmark["rounds"] == timing.FEWEST
        phases = {"forward", "total", "first"}
        if "inference" not in benchmark["title"]:
            phases.add("backward")
        wanted = (
            ["clone", "copy", *INSTALLED] if benchmark["title"].startswith("lif") else ["lstm", "gru", "rnn"]
        )
        assert list(benchmark["contenders"]) == [bench.OURS, *wanted]
        for contender in benchmark["contenders"].values():
            assert set(contender["milliseconds"]) == set(contender["ratio"]) == phases
            assert all(value > 0 for value in contender["milliseconds"].values())
            assert contender["note"]
        assert set(benchmark["contenders"][bench.OURS]["ratio"].values()) == {1.0}
    assert set(result["left_out"]) == set(peers.LIF_PEERS) - set(INSTALLED)
    assert len(result["goals"]) == len(bench.GOALS)
    assert [goal["met"] for goal in result["goals"]] == [None] * len(bench.GOALS)
    text_table = table.format_table(result)
    for text in (
        *titles,
        bench.OURS,
        "lstm",
        "rounds",
        f"{len(bench.GOALS)} other goals",
        result["machine"]["cpu"],
    ):
        assert text in text_table


@pytest.mark.parametrize("name", INSTALLED)
def test_peers_are_our_neuron(name):
    peer = peers.LIF_PEERS[name]
    current = bench.draw(100, 3, 20)
    assert bench.same_spikes(peer, current) > 0.999
    neuron = peer.make(bench.LEAK, bench.THRESHOLD)
    leaf = (current * neuron.scale).requires_grad_()
    grads = torch.autograd.grad(neuron.run(leaf).sum(), (leaf, *neuron.parameters))
    assert all(grad.isfinite().all() and grad.abs().sum() > 0 for grad in grads)


def test_reference_loop_is_the_oracle():
    neuron = peers.reference_loop(bench.LEAK, bench.THRESHOLD)
    leaf = bench.draw(30, 2, 5).requires_grad_()
    ours = lambda: (neuron.run(leaf), leaf.sum()[None])  # noqa: E731  the loop returns no state
    leak, threshold = neuron.parameters
    oracle = lambda: (agreement.oracle(leaf, leak[None], threshold[None], 1, "spikes")[0], leaf.sum()[None])  # noqa: E731
    agreement.compare("reference-loop", ours, oracle, (leaf, leak, threshold))


def test_fake_peer(fake_peer):
    result, _ = run(["lif"], ["fake"])
    for benchmark in result["benchmarks"]:
        assert list(benchmark["contenders"]) == [bench.OURS, "clone", "copy", "fake"]
        assert benchmark["contenders"]["fake"]["same_spikes"] == 1.0
        assert benchmark["contenders"]["fake"]["difference"] == "none"
    assert result["left_out"] == {}


def test_absent_peer_is_left_out_and_named(absent_peer):
    result, _ = run(["lif"])
    assert "pip install norse-of-the-test" in result["left_out"]["norse"]
    assert "norse" not in result["benchmarks"][0]["contenders"]
    assert "left out: norse" in table.format_table(result)


def test_absent_peer_that_is_asked_for(absent_peer):
    with pytest.raises(ImportError, match=r"norse cannot be imported.*pip install norse-of-the-test"):
        run(["lif"], ["norse"])


@pytest.mark.parametrize(
    ("names", "against", "message"),
    [
        (["layr"], [], r"unknown benchmark 'layr'; choose from "),
        ([], ["nurse"], r"unknown peer 'nurse'; choose from norse, .*reference-loop"),
        (["layer"], ["norse"], r"layer is not timed against norse; its peers are lstm, gru, rnn"),
    ],
)
def test_unknown(names, against, message):
    with pytest.raises(ValueError, match=message):
        run(names, against)


def test_peers_choose_the_benchmarks():
    result, _ = run(["layer"], ["lstm"])
    assert {benchmark["title"].split()[0] for benchmark in result["benchmarks"]} == {"layer"}
    assert all(list(b["contenders"]) == [bench.OURS, "lstm"] for b in result["benchmarks"])


def wrong_output(out, state):
    flipped = out.clone()
    flipped[-1, 0, 0] = 1 - flipped[-1, 0, 0]
    return flipped, state


def wrong_state(out, state):
    return out, state + 1e-6


class WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return grad * 1.01


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (wrong_output, "of its output differs, by up to 1"),
        (wrong_state, "of its state differs"),
        (lambda out, state: (out[1:], state), "its output has shape"),
        (lambda out, state: (WrongGradient.apply(out), state), "gradient 0 has relative error"),
    ],
)
def test_refuses_to_time_a_wrong_op(monkeypatch, fake_peer, spoil, message):
    right = bench.lif
    monkeypatch.setattr(bench, "lif", lambda *args, **kwargs: spoil(*right(*args, **kwargs)))
    monkeypatch.setattr(timing, "take_turns", lambda *args: pytest.fail("was timed"))
    monkeypatch.setattr(bench, "same_spikes", lambda *args: 1.0)
    with pytest.raises(RuntimeError, match=f"lif disagrees with the oracle and is not timed: .*{message}"):
        run(["lif"], ["fake"])


def test_refuses_to_time_a_wrong_layer(monkeypatch):
    right = bench.SpikingRNN.forward
    monkeypatch.setattr(bench.SpikingRNN, "forward", lambda self, x: wrong_state(*right(self, x)))
    with pytest.raises(RuntimeError, match="SpikingRNN with T = 2 disagrees with the oracle"):
        run(["layer"], ["rnn"])


def result_of(**ratios):
    return {
        "title": "work",
        "contenders": {peer: {"ratio": {timing.TOTAL: value}} for peer, value in ratios.items()},
    }


@pytest.mark.parametrize(
    ("ratios", "measured", "against", "met"),
    [
        ({"a": 5.0, "b": 4.0}, 4.0, "b", True),
        ({"a": 5.0, "b": 3.9}, 3.9, "b", False),
        ({"a": 5.0}, 5.0, "a", None),
        ({"a": 3.0}, 3.0, "a", False),
        ({}, None, None, None),
    ],
)
def test_goals(ratios, measured, against, met):
    verdict = goals.judge(goals.Goal("fast", "work", ("a", "b"), 4.0), [result_of(**ratios)])
    assert (verdict["measured"], verdict["against"], verdict["met"]) == (measured, against, met)
    if measured is not None:
        line = table.goal_line(verdict)
        assert ("goal met" in line) == (met is True)
        assert line.endswith(f"{against} takes {measured:.2f} x our time, at least 4.00 wanted")


def test_ratios_are_taken_within_rounds(monkeypatch):
    """Ours takes 1, 2, 3; the other 2, 8, 9: the median of ratios is 3, the ratio of medians 4."""
    laps = [{"spikeseq": {"total": a}, "other": {"total": b}} for a, b in ((1, 2), (2, 8), (3, 9))]
    monkeypatch.setattr(timing, "take_turns", lambda *args: laps)
    contenders = tuple(timing.Contender(name, "", lambda: ()) for name in ("spikeseq", "other"))
    result = timing.measure(timing.Benchmark("work", "", contenders, lambda: None), 0.0)
    assert result["contenders"]["other"] == {
        "note": "",
        "milliseconds": {"total": 8000},
        "ratio": {"total": 3},
    }


def test_turns_and_phases(monkeypatch):
    """Contenders alternate, a phase gets what the former returned, and the clock ticks once a reading."""
    order = []
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=itertools.count().__next__))

    def step(name):
        return ("one", lambda _: order.append(name) or name), ("two", lambda got: order.append(got + "2"))

    rounds = timing.take_turns({"a": step("a"), "b": step("b")}, 0.0)
    assert rounds == [{name: {"one": 1, "two": 1, "total": 2, "first": 2} for name in "ab"}] * timing.FEWEST
    assert order == ["a", "a2", "b", "b2"] * (timing.WARM_UPS + timing.FEWEST)


def test_short_steps_fill_a_turn(monkeypatch):
    """Steps of 1, 3 and 2 seconds fill a turn of five; the median counts."""
    clock = iter([0, 1, 10, 13, 20, 22])
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock.__next__))
    monkeypatch.setattr(timing, "TURN", 5.0)
    assert timing.one_turn((("forward", lambda _: None),)) == {"forward": 2, "total": 2, "first": 1}
    assert next(clock, None) is None
