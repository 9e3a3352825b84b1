"""The first line of a report and the sentences after it, in every kind of case."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as some
from report_case import ACCURACY, BAG, BITS, BLEU, LSTM, SMALL, SNN, WIDE, model

from spikeseq.evaluation.report.answer import answer, chance, explained, joules, times
from spikeseq.evaluation.report.models import choose

TOLD = {
    "the results": (
        [*SNN, *LSTM, *BAG], ACCURACY,
        "1.15 points below the LSTM at 1/423 of its compute energy, 1/55 with memory.",
    ),
    "several baselines of a kind": (
        [*WIDE, *SMALL, *LSTM], ACCURACY,
        "0.8 points below lstm-1 at 1/174 of its compute energy, 1/21 with memory.",
    ),
    "dearer": (
        [*SNN, *BAG], ACCURACY,
        "1.2 points above the bag of words at 6,440 times its compute energy, 3,970 times with memory.",
    ),
    "a tie": (
        [model("snn-1", score=90.001), model("gru-1", score=90.004, compute=2.0, memory=10.1)], ACCURACY,
        "Level with the GRU at 1/2.0 of its compute energy, the same with memory.",
    ),
    "one point, equal energy": (
        [model("snn-1", score=91.0), model("rnn-1")], ACCURACY,
        "1 point above the RNN at the same compute energy, the same with memory.",
    ),
    "bits per byte": (
        [model("snn-1", score=1.94), model("transformer-1", score=1.9, compute=8.0, memory=None)], BITS,
        "0.04 bits per byte worse than the transformer at 1/8.0 of its compute energy.",
    ),
    "fewer bits per byte": (
        [model("snn-1", score=1.8995), model("lstm-1", score=1.901)], BITS,
        "0.002 bits per byte better than the LSTM at the same compute energy, the same with memory.",
    ),
    "translation": (
        [model("snn-1", score=42.46), model("conv-ann-ann", score=42.73, compute=1.9, memory=16.0)], BLEU,
        "0.27 BLEU below conv-ann-ann at 1/1.9 of its compute energy, 1/1.6 with memory.",
    ),
    "images": (
        [model("a", key="ann", score=90.5, compute=4.0), model("b", key="convert"), model("c", key="diet")],
        ACCURACY,
        "0.5 points below the ANN at 1/4.0 of its compute energy, the same with memory.",
    ),
    "none spikes": (
        [*SMALL, *LSTM], ACCURACY,
        "1.85 points below lstm-1 at 1/156 of its compute energy, 1/133 with memory.",
    ),
    "all spike": (
        [*SNN, *WIDE], ACCURACY,
        "0.35 points below snn-2 at 1/2.4 of its compute energy, 1/2.6 with memory.",
    ),
    "no energy": (
        [model("snn-1"), model("lstm-1", score=91.5, compute=None, memory=None)], ACCURACY,
        "1.5 points below the LSTM; the energy of the LSTM has not been counted.",
    ),
    "no score": (
        [model("snn-1", score=None), model("lstm-1", compute=5.0)], ACCURACY,
        "No score to compare with the LSTM at 1/5.0 of its compute energy, the same with memory.",
    ),
    "alone": (SNN, ACCURACY, "90.20 % accuracy at 1.74 nJ of compute energy per token, 28.3 nJ with memory."),
    "alone, translation": (
        [model("conv", score=42.46, compute=8855.6, memory=None)], BLEU,
        "42.46 BLEU at 8.86 µJ of compute energy per token.",
    ),
    "alone, bits": (
        [model("snn", score=1.9, compute=None, memory=None)], BITS,
        "1.900 bits per byte; its energy has not been counted.",
    ),
    "alone, nothing": (
        [model("snn", score=None, compute=None)], ACCURACY, "No score; its energy has not been counted.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TOLD)
def test_the_first_line(case):
    models, recipe, line = TOLD[case]
    assert answer(models, recipe) == line


def test_whom_a_report_is_about():
    assert choose([*BAG, *LSTM, *WIDE, *SNN], ACCURACY) == ("snn-2", "lstm-1")  # the first that spikes
    assert choose([*SMALL, *BAG], ACCURACY) == ("lstm-16", "bow-1")
    assert choose(SNN, ACCURACY) == ("snn-1", None)
    equal = [*SNN, model("lstm-a", compute=9.0), model("lstm-b", compute=3.0), model("lstm-c", compute=3.0)]
    assert choose(equal, ACCURACY) == ("snn-1", "lstm-b")  # of equal scores the cheapest, then the first
    bits = [model("snn-1"), model("lstm-a", score=2.0), model("lstm-b", score=1.9)]
    assert choose(bits, BITS) == ("snn-1", "lstm-b")
    assert choose([*SNN, replace(LSTM[0], score=None), *BAG], ACCURACY) == ("snn-1", "bow-1")


def test_what_the_answer_leaves_out_is_said():
    assert explained([*SNN, *LSTM, *BAG], ACCURACY, 25_000) == [
        "That is snn-1 (the spiking run) against lstm-1 (the conventional run of the best score), both"
        " folded.",
        "1.74 nJ against 736 nJ per token; with all operations and memory traffic at 8 KB, 28.3 nJ against"
        " 1.56 µJ (by size of the memory: 1/55 at 8 KB, 1/55 at DRAM).",
        "Each in its cheapest form that keeps its score, snn-1, folded is 1.14 points below lstm-1, int8 at"
        " 1/41 of its compute energy, 1/14 with memory.",
        "No other run here scores as well as snn-1, folded for less energy.",
        "With 25,000 rows and one seed, differences below 0.5 points may be chance.",
    ]
    assert explained(SNN, ACCURACY) == ["That is snn-1 folded, its cheapest form that keeps its score."]
    assert explained(BAG, ACCURACY) == []


def test_who_does_better_is_said():
    strong = [model("gru-1", "", 90.2, 9.0, 9.0), model("gru-1", "folded", 90.2, 1.8, 9.0)]
    told = explained([*SNN, *strong], ACCURACY)
    assert "No worse a score for less energy with memory than snn-1, folded: gru-1, gru-1, folded." in told
    told = explained([*SNN, model("gru-1", "", 91.0, 1.0, 9.0)], ACCURACY)  # compared as trained
    assert "No worse a score for less energy than snn-1: gru-1." in told
    assert not any("No worse" in line for line in explained([*SNN, replace(SNN[0], run="snn-3")], ACCURACY))


def test_forms_that_both_have_are_compared():
    only = [model("snn-1", "", 90.2, 31.0), model("snn-1", "folded", 90.2, None, None)]
    assert "at 1/36 of its" in answer([*only, *LSTM], ACCURACY)
    streamed = model("snn-1", "streamed", 90.2, 0.5)
    assert "at 1/35 of its" in answer([SNN[0], streamed, *LSTM], ACCURACY)


def test_forms_that_lose_the_score_are_left_out():
    ruined = model("snn-1", "4 bits", 71.9, 0.2, 3.0)
    assert answer([*SNN, ruined], ACCURACY) == answer(SNN, ACCURACY)
    assert answer([*SNN, ruined, *LSTM, replace(LSTM[1], form="4 bits")], ACCURACY).startswith("1.15 points")
    told = explained([*SNN, ruined, *LSTM], ACCURACY)
    assert any("that keeps its score, snn-1, folded is 1.14 points" in line for line in told)
    bits = [model("lm", score=1.9), model("lm", "8 bits", 1.91, 0.5), model("lm", "4 bits", 2.4, 0.1)]
    assert answer(bits, BITS).startswith("1.910 bits per byte at 500 pJ")
    unknown = [model("snn", score=None), model("snn", "folded", None, 0.5)]
    assert answer(unknown, ACCURACY).startswith("No score at 500 pJ")


@given(some.floats(1e-9, 1e9))
def test_a_share_and_its_inverse_say_the_same(ratio):
    down, up = times(min(ratio, 1 / ratio)), times(max(ratio, 1 / ratio))
    assert (down, up) == ("the same", "the same") or f"{down} times".removeprefix("1/") == up


@pytest.mark.parametrize(
    ("nanojoules", "words"),
    [
        (0.00484, "4.84 pJ"), (1.7399, "1.74 nJ"), (9.996, "10.0 nJ"), (99.96, "100 nJ"), (999.6, "1.00 µJ"),
        (8855.6, "8.86 µJ"), (5.3e6, "5.30 mJ"), (2.5e10, "25,000 mJ"), (1e-7, "0.00 pJ"),
    ],
)  # fmt: skip
def test_energies_in_words(nanojoules, words):
    assert joules(nanojoules) == words


def test_what_may_be_chance():
    assert chance(90.0, 25_000) == pytest.approx(0.526, abs=0.001)
    assert chance(50.0, 100) == pytest.approx(13.9, abs=0.1)
    assert 0 < chance(100.0, 1000) < 1
