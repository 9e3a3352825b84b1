"""What the timings should reach, and whether they do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from spikeseq.evaluation.bench.timing import TOTAL


@dataclass(frozen=True)
class Goal:
    """In the benchmark of this title, every one of the peers takes so many times our time or more.

    Args:
        phase: of the step that is compared.
        fact: what is to be at most `at_least` instead: a fact of the one contender in `peers`.
        beyond: seconds of ours, beyond those of the one peer if there is one, that are to be at most so many.
    """

    text: str
    title: str
    peers: tuple[str, ...]
    at_least: float = 0.0
    phase: str = TOTAL
    fact: str | None = None
    beyond: float | None = None


SPIKING = ("spikingjelly", "snntorch", "norse")
LAYER = "layer T={} training 250x64x128"
LIF = "lif 1250x64x128"
VGG, CONV = "twins vgg6 16x512 T=5", "twins conv 14x64x256 T=3"
CUDA_LIF = "cuda lif {} 256x64x4096"
CUDA_LAYER = "cuda layer {} T=5 training 250x64x512"
CHECKPOINT = 4 / 16  # bytes of the membranes that are kept
GOALS = (
    Goal("lif forward in 3 warm copies", LIF, ("copy",), 1 / 3, "forward"),
    Goal("lif backward in 5 warm copies", LIF, ("copy",), 1 / 5, "backward"),
    Goal("lif forward in 2 clones", LIF, ("clone",), 1 / 2, "forward"),
    Goal("lif backward in 3 clones", LIF, ("clone",), 1 / 3, "backward"),
    Goal("one lif forward + backward, batch 64, 15 x as fast", LIF, SPIKING, 15.0),
    Goal("one lif forward + backward, batch 1, 100 x as fast", "lif 1250x1x128", SPIKING, 100.0),
    Goal("a training step, T = 5, at most 0.3 of nn.LSTM's", LAYER.format(5), ("lstm",), 1 / 0.3),
    Goal("a training step, T = 5, at most 0.4 of nn.GRU's", LAYER.format(5), ("gru",), 1 / 0.4),
    Goal("a training step, T = 5, at most 0.9 of nn.RNN's", LAYER.format(5), ("rnn",), 1 / 0.9),
    Goal("a training step, T = 1, at most 0.12 of nn.LSTM's", LAYER.format(1), ("lstm",), 1 / 0.12),
    Goal(
        "with feedback, T = 1, at most 1.5 of nn.RNN's",
        "recurrent T=1 training 250x64x128",
        ("rnn",),
        1 / 1.5,
    ),
    Goal("the sentiment network at most 0.4 of nn.LSTM(200)'s", "model training 250x64", ("lstm",), 1 / 0.4),
    Goal("its training step 1/25 of the Python loop's", "model training 250x64", ("reference-loop",), 25.0),
    Goal("its inference 1/100 of the Python loop's", "model inference 250x1", ("reference-loop",), 100.0),
    Goal("by events, a text in 0.2 of nn.LSTM's time", "events sentiment 250", ("lstm",), 1 / 0.2),
    Goal("VGG6, T = 5, a training step at most 3 of its ReLU twin's", VGG, ("relu",), 1 / 3),
    Goal("the same 2.3 x as fast as SpikingJelly's layers", VGG, ("spikingjelly",), 2.3),
    Goal("the encoder-decoder, T = 3, at most 0.8 of its ReLU twin's", CONV, ("relu",), 1 / 0.8),
    Goal("its memory at most that of its twin", CONV, ("spikeseq",), 1.0, fact="peak_of_twin"),
    Goal(
        "a language model 2.2 x as many tokens a second as nn.LSTM",
        "language training 64x600x1",
        ("lstm",),
        2.2,
    ),
    Goal("token 100,000 in the time of token 100", "language stream 64x600x1", ("earlier",), 0.9),
    Goal("a token written in half of nn.LSTM's time", "language generation 64x600x1", ("lstm",), 2.0),
    Goal("one token in half of an nn.LSTMCell's time", "step 2x128", ("lstm",), 2.0),
    Goal("6 bytes kept per neuron and sub-step", "memory T=5 250x64x128", ("spikeseq",), 6.0, fact="bytes"),
    Goal(
        "1.5 bytes where currents are computed again",
        "memory T=5 250x64x128",
        ("recompute",),
        1.5,
        fact="bytes",
    ),
    Goal(
        "1,000 sentences in at most 3 x the time of GRUs with attention of the same width",
        "translate greedy 1000x14",
        ("gru",),
        1 / 3,
    ),
    Goal("incremental decoding 3 x as fast as anew", "translate state 50x30", ("recompute",), 3.0),
    *(
        Goal(
            f"lif {phase} on a GPU, {dtype}, at 80 % of a copy's bytes a second",
            CUDA_LIF.format(dtype),
            ("copy",),
            0.8 * 2 * size / (arrays * size + CHECKPOINT),  # a copy moves two arrays
            phase,
        )
        for dtype, size in (("float32", 4), ("bfloat16", 2))
        for phase, arrays in (("forward", 2), ("backward", 3))
    ),
    Goal("spikeseq imported in 1.15 x the time of torch", "start import all", ("torch",), 1 / 1.15),
    Goal("spikeseq --help in 0.3 s", "start help", (), beyond=0.3),
    *(
        Goal(f"spikeseq {name} at most 0.5 s over torch's own start", f"start {name}", ("torch",), beyond=0.5)
        for name in ("info", "classify", "translate")
    ),
    *(
        Goal(
            f"{neurons} neurons learn {times:.0f} x as fast as BindsNET's",
            f"stdp learning {neurons}",
            ("bindsnet",),
            times,
        )
        for neurons, times in ((100, 500.0), (400, 300.0))
    ),
    Goal("lif on a GPU 1.2 x as fast as SpikingJelly's", CUDA_LIF.format("float32"), ("spikingjelly",), 1.2),
    *(
        Goal(
            f"a training step on a GPU, T = 5, {dtype}, at most 0.5 of nn.LSTM's",
            CUDA_LAYER.format(dtype),
            ("lstm",),
            2.0,
        )
        for dtype in ("float32", "bfloat16")
    ),
)


def judge(goal: Goal, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whether a goal is met; None where a peer that it names was not timed and the others are no obstacle."""
    timed = [result for result in results if result["title"] == goal.title]
    contenders: dict[str, Any] = timed[0]["contenders"] if timed else {}
    if goal.fact:
        (peer,) = goal.peers
        measured = contenders.get(peer, {}).get(goal.fact)
        known = measured is not None
        return verdict(goal, measured, peer if known else None, measured <= goal.at_least if known else None)
    if goal.beyond is not None and contenders and all(peer in contenders for peer in goal.peers):
        taken, *own = (contenders[name]["milliseconds"][goal.phase] for name in ("spikeseq", *goal.peers))
        measured = (taken - sum(own)) / 1000
        return verdict(goal, measured, next(iter(goal.peers), None), measured <= goal.beyond)
    ratios = {peer: contenders[peer]["ratio"][goal.phase] for peer in goal.peers if peer in contenders}
    nearest = min(ratios, key=ratios.__getitem__, default=None)
    measured = None if nearest is None else ratios[nearest]
    met = None if measured is None or len(ratios) < len(goal.peers) else measured >= goal.at_least
    if measured is not None and measured < goal.at_least:
        met = False
    return verdict(goal, measured, nearest, met)


def verdict(goal: Goal, measured: float | None, against: str | None, met: bool | None) -> dict[str, Any]:
    """As it stands in the results."""
    limit = {"at_most" if goal.fact else "at_least": goal.at_least}
    return {
        "goal": goal.text,
        "benchmark": goal.title,
        **(limit if goal.beyond is None else {"at_most": goal.beyond}),
        "unit": goal.fact or ("x" if goal.beyond is None else "s"),
        "measured": measured,
        "against": against,
        "met": met,
    }
