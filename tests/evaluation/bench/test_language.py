"""Timings of language models: what is timed beside what, and that models are of one size."""

from dataclasses import replace

import pytest

from spikeseq.evaluation.bench import language, timing
from spikeseq.evaluation.bench import run as bench

SIZES = replace(bench.Sizes(), language=(6, 2, 16, 40, 1, 60))


@pytest.fixture(scope="module")
def found():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "TURN", 0.0)
        patch.setattr(language, "NEAR", 3)
        patch.setattr(language, "FAR", 30)
        result = bench.run_bench(["language"], ["lstm", "gru"], lambda text: None, sizes=SIZES, seconds=0.0)
    return {one["title"].split()[1]: one["contenders"] for one in result["benchmarks"]}


def test_who_is_timed(found):
    assert {mode: list(who) for mode, who in found.items()} == {
        "training": ["spikeseq", "lstm", "gru"],
        "generation": ["spikeseq", "lstm", "gru", "modules", "int8"],
        "stream": ["spikeseq", "earlier"],
    }
    assert "StreamedLanguageModel" in found["generation"]["spikeseq"]["note"]


def test_the_usual_sizes_are_within_a_few_in_a_hundred():
    ours = language.spiking(*bench.Sizes().language[2:])
    wanted = sum(p.numel() for p in ours.parameters())
    for peer in language.PEERS:
        count = sum(p.numel() for p in language.equal(ours, peer).parameters())
        assert abs(count / wanted - 1) < 0.03


def test_a_state_is_as_large_after_many_tokens(found):
    assert found["stream"]["spikeseq"]["bytes"] == found["stream"]["earlier"]["bytes"] > 0
    assert "after 30 tokens" in found["stream"]["spikeseq"]["note"]
