"""The translation benchmark on tiny models: what it times, what it refuses, its goals."""

import pytest
import torch

from spikeseq.evaluation.bench import run as bench
from spikeseq.evaluation.bench import translate as bench_translate
from spikeseq.evaluation.bench.translate import decode, sentences, translation_model

TINY = bench.Sizes(greedy=(6, 3, 4, 16), state=(3, 2, 5, 16))


@pytest.fixture(autouse=True)
def small_vocabulary(monkeypatch):
    monkeypatch.setattr(bench_translate, "VOCABULARY", 30)


def test_both_benchmarks_run_with_ratios_and_goals():
    result = bench.run_bench(["translate"], [], lambda text: None, sizes=TINY, seconds=0.01)
    titles = [one["title"] for one in result["benchmarks"]]
    assert titles == ["translate greedy 6x4", "translate state 3x5"]
    assert set(result["benchmarks"][0]["contenders"]) == {"spikeseq", "gru"}
    assert set(result["benchmarks"][1]["contenders"]) == {"spikeseq", "recompute"}
    assert all(one["rounds"] >= 5 for one in result["benchmarks"])
    goals = [goal.title for goal in bench.GOALS]
    sizes = bench.Sizes()
    assert bench_translate.title("greedy", sizes.greedy) in goals
    assert bench_translate.title("state", sizes.state) in goals


def test_a_peer_alone():
    result = bench.run_bench(["translate"], ["recompute"], lambda text: None, sizes=TINY, seconds=0.01)
    assert [one["title"] for one in result["benchmarks"]] == ["translate state 3x5"]


def test_all_sentences_are_decoded_to_their_full_length_but_for_an_early_end():
    model, source = translation_model("conv-snn-snn", 16), sentences(5, 4)
    found = decode(model, source, 2)
    assert len(found) == 5 and all(len(ids) <= 4 for ids in found)
    assert found == decode(model, source, 5)


def test_decoding_that_forgets_is_not_timed(monkeypatch):
    real = bench_translate.translation_model

    def forgetful(name, width):
        model = real(name, width)
        whole = model.decode

        def decode(target, memory, state=None):
            decoded = whole(target, memory, state)
            decoded.state = (decoded.state[0] * 0 + 7, decoded.state[1])  # a wrong position
            return decoded

        model.decode = decode
        with torch.no_grad():
            model.decoder.embedding.positions.weight.normal_(std=3)
        return model

    monkeypatch.setattr(bench_translate, "translation_model", forgetful)
    with pytest.raises(RuntimeError, match="incremental decoding of conv-snn-snn disagrees"):
        bench.run_bench(["translate"], ["recompute"], lambda text: None, sizes=TINY, seconds=0.01)
