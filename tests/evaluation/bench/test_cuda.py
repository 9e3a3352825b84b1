"""The benchmarks of a GPU: all but its clock, on whatever device there is."""

import itertools
from types import SimpleNamespace

import pytest
import torch

from spikeseq.evaluation.bench import cuda as bench_cuda
from spikeseq.evaluation.bench import goals, peers, timing
from spikeseq.evaluation.bench import run as bench

SIZES = bench.Sizes(cuda_lif=((40, 2, 6),), cuda_layer=(5, 3, 8))


@pytest.fixture
def here(monkeypatch, device):
    monkeypatch.setattr(timing, "TURN", 0.0)
    monkeypatch.setattr(bench_cuda, "DEVICE", device)
    family = bench.FAMILIES["cuda"]
    monkeypatch.setitem(bench.FAMILIES, "cuda", bench.Family(family.peers, family.make))
    return device


def test_every_benchmark_runs(here):
    result = bench.run_bench(["cuda"], [], lambda text: None, sizes=SIZES, seconds=0.0)
    by_title = {one["title"]: set(one["contenders"]) for one in result["benchmarks"]}
    jelly = set() if peers.LIF_PEERS["spikingjelly"].missing() else {"spikingjelly"}
    cudnn = {"spikeseq", "lstm", "gru", "rnn"}
    assert by_title == {
        "cuda lif float32 40x2x6": {"spikeseq", "copy"} | jelly,
        "cuda lif bfloat16 40x2x6": {"spikeseq", "copy"},
        "cuda layer float32 T=5 training 5x3x8": cudnn,
        "cuda layer bfloat16 T=5 training 5x3x8": cudnn,
        "cuda recurrent T=1 training 5x3x128": cudnn,
        "cuda recurrent T=1 training 5x3x8": cudnn,
    }
    assert all(value > 0 for one in result["benchmarks"] for value in phases(one))


def phases(one):
    return [value for contender in one["contenders"].values() for value in contender["milliseconds"].values()]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_wrong_op_is_not_timed(here, monkeypatch, dtype):
    right = bench_cuda.lif
    monkeypatch.setattr(bench_cuda, "lif", lambda *a, **k: (1 - right(*a, **k)[0], right(*a, **k)[1]))
    with pytest.raises(RuntimeError, match="lif on CUDA disagrees"):
        bench_cuda.check_lif(dtype)


def test_a_wrong_layer_is_not_timed(here, monkeypatch):
    right = bench_cuda.SpikingRNN.forward
    wrong = iter(range(9))  # otherwise at every call
    monkeypatch.setattr(
        bench_cuda.SpikingRNN, "forward", lambda self, x: (right(self, x)[0] + next(wrong), None)
    )
    for check, name in ((bench_cuda.check_layer, "SpikingRNN"), (bench_cuda.check_feedback, "feedback")):
        with pytest.raises(RuntimeError, match=f"{name} on CUDA disagrees"):
            check(6)


def test_goals_are_about_the_bytes_that_are_moved():
    sizes, found = bench.Sizes(), {goal.text: goal for goal in goals.GOALS}
    forward = found["lif forward on a GPU, float32, at 80 % of a copy's bytes a second"]
    assert forward.at_least == pytest.approx(0.8 * 8 / 8.25)
    backward = found["lif backward on a GPU, bfloat16, at 80 % of a copy's bytes a second"]
    assert backward.at_least == pytest.approx(0.8 * 4 / 6.25)
    tokens, batch, width = sizes.cuda_lif[0]
    assert tokens * batch * width >= 2**26 and f"{tokens}x{batch}x{width}" in forward.title


def test_phases_of_a_gpu_are_what_it_does_and_the_host_is_timed_beside(monkeypatch):
    """A GPU that works one millisecond on everything it is asked, behind a host that needs ten to ask."""
    asked, clock = [], itertools.count(0.0, 0.01)

    class Event:
        def __init__(self):
            self.at = len(asked)

        def elapsed_time(self, other):
            return float(other.at - self.at)

    gpu = SimpleNamespace(synchronize=lambda: None, _sleep=lambda cycles: asked.append("sleep"), Event=Event)
    monkeypatch.setattr(timing, "torch", SimpleNamespace(cuda=gpu))
    monkeypatch.setattr(timing, "mark", Event)
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=clock.__next__))
    laps = timing.queued_turn(
        (("forward", lambda _: asked.append("map")), ("backward", lambda _: asked.extend("ab")))
    )
    assert asked == ["sleep", "map", "a", "b"]
    expected = {"forward": 0.001, "backward": 0.002, "total": 0.003, "host": 0.01, "first": 0.003}
    assert laps == pytest.approx(expected)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused_by_name_and_skipped_otherwise():
    with pytest.raises(ValueError, match="needs a GPU"):
        bench.choose(["cuda"], [])
    assert "cuda" not in bench.choose([], []) and "layer" in bench.choose([], [])
