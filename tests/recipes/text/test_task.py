import math
from itertools import pairwise

import pytest
import torch

from spikeseq.models import BagOfWords
from spikeseq.recipes.config import load_config
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.text.corpus import Corpus, Encoded
from spikeseq.recipes.text.task import (
    TextTask,
    build_task,
    crop,
    fresh_model,
    inverse_document_frequencies,
)
from spikeseq.tokenizers import Vocab

CPU = torch.device("cpu")


def encoded(texts: list[list[int]], labels: list[int]) -> Encoded:
    starts = torch.tensor([0, *map(len, texts)]).cumsum(0)
    return Encoded(
        torch.tensor([i for text in texts for i in text], dtype=torch.int32), starts, torch.tensor(labels)
    )


TEXTS = [[2, 3, 2], [3], [4, 2, 5, 3, 2], [5, 4]]


def corpus(vectors=None) -> Corpus:
    split = encoded(TEXTS, [0, 1, 2, 1])
    vocab = Vocab.build([["a", "b", "a"], ["c", "d"]])
    return Corpus(
        "mine",
        ["x", "y", "z"],
        vocab,
        "t",
        vectors,
        None,
        dict.fromkeys(("train", "validation", "test"), split),
    )


def test_crop_keeps_head_and_tail():
    text = torch.arange(10)
    assert crop(text, None) is text and crop(text, 10) is text
    assert crop(text, 5).tolist() == [0, 1, 7, 8, 9]
    assert crop(text, 4).tolist() == [0, 1, 8, 9]
    assert crop(text, 1).tolist() == [9]


def test_batches_differ_by_epoch():
    task = TextTask(None, corpus(), 2, None, seed=1)
    assert task.batches(0) == task.batches(0)
    assert len({str(task.batches(epoch)) for epoch in range(20)}) > 1


def test_a_batch_is_padded_and_cropped():
    task = TextTask(None, corpus(), 2, longest=2, seed=1)
    tokens, lengths, labels, _rows = task.collate([1, 2], torch.Generator())
    assert tokens.tolist() == [[3, 4], [0, 2]] and lengths.tolist() == [1, 2] and labels.tolist() == [1, 2]
    assert tokens.dtype == torch.int64


class Recorder(torch.nn.Module):
    """Says class 1 always, and keeps what it has seen."""

    def forward(self, tokens, lengths):
        self.seen = [tokens[:n, i].tolist() for i, n in enumerate(lengths)]
        return torch.tensor([[0.0, 1.0, 0.0]]).expand(len(lengths), 3)


def test_accuracy_and_shuffling():
    model = Recorder()
    task = TextTask(model, corpus(), 2, None, seed=1)
    assert task.accuracy(model, "test", CPU) == 50.0
    plain = model.seen
    assert sorted(plain) == sorted(TEXTS)
    task.accuracy(model, "test", CPU, shuffled=3)
    first = model.seen
    assert first != plain and [sorted(text) for text in first] == [sorted(text) for text in plain]
    task.accuracy(model, "test", CPU, shuffled=3)
    assert model.seen == first
    assert task.validate(model, CPU) == {"score": 50.0, "accuracy": 50.0}


def test_whole_texts_are_tested_where_training_cuts_them(monkeypatch):
    whole = {}
    for value in (False, True):
        overrides = ["data.kept_tokens=2", f"evaluate.uncut={value}", "model.hidden_size=3"]
        task = build_task(load_config("imdb", overrides=overrides), corpus())
        assert task.collate([2], torch.Generator())[0].T.tolist() == [[4, 2]]
        task.accuracy(recorder := Recorder(), "test", CPU)
        whole[value] = sorted(recorder.seen)
    assert whole[True] == sorted(TEXTS) and [4, 2] in whole[False] and [2, 2] in whole[False]
    monkeypatch.setattr("spikeseq.recipes.text.task.MOST_TESTED", 11)  # two texts of five tokens
    task.accuracy(recorder, "test", CPU)
    assert len(recorder.seen) == 2


def test_inverse_document_frequencies_by_hand():
    idf = inverse_document_frequencies(encoded(TEXTS, [0] * 4), BagOfWords(7))
    log = torch.tensor([5 / 1, 5 / 1, 5 / 3, 5 / 4, 5 / 3, 5 / 3, 5 / 1]).log()
    torch.testing.assert_close(idf, 1 + log)


def test_frequencies_of_ngrams_follow_those_of_words():
    model = BagOfWords(7, ngrams=[2], ngram_rows=500)  # 7 pairs, too few to meet on one row
    idf = inverse_document_frequencies(encoded(TEXTS, [0] * 4), model)
    assert torch.equal(idf[:7], inverse_document_frequencies(encoded(TEXTS, [0] * 4), BagOfWords(7)))
    pairs = [set(pairwise(text)) for text in TEXTS]
    counts = sorted(sum(pair in one for one in pairs) for pair in set().union(*pairs))
    rare = idf[7:][idf[7:] < idf.max()]
    expected = torch.tensor([1 + math.log(5 / (1 + count)) for count in counts])
    torch.testing.assert_close(rare.sort(descending=True).values, expected)


def test_word_vectors_become_the_embedding_and_seeds_decide_the_rest():
    config = load_config("imdb", overrides=["model.embedding_size=3", "model.hidden_size=5"])
    vectors = torch.randn(6, 3)
    vectors[0] = 0
    model = fresh_model(config, corpus(vectors))
    rows = model.embedding.weight
    assert rows.shape == (6, 3) and not rows[0].any()
    # Against the words as often as they occur: a twice, b, c and d once.
    words = rows[[2, 2, 3, 4, 5]]
    torch.testing.assert_close(words.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close((words**2).mean(), torch.tensor(1.0))
    again = fresh_model(config, corpus(vectors))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    config.seed = 2
    assert not torch.equal(
        fresh_model(config, corpus(vectors)).to_integrator.weight, model.to_integrator.weight
    )
    with pytest.raises(ValueError, match=r"4 numbers, model\.embedding_size is 3"):
        fresh_model(config, corpus(torch.randn(6, 4)))


def test_a_bag_of_words_gets_its_frequencies():
    task = build_task(load_config("imdb", model="bow"), corpus())
    assert isinstance(task.model, BagOfWords)
    assert torch.equal(task.model.idf, inverse_document_frequencies(corpus().splits["train"], BagOfWords(6)))


@pytest.mark.parametrize("asked", [False, True])
def test_whole_numbers_are_tested_where_they_are_asked_for(asked):
    overrides = [f"evaluate.whole_numbers={asked}", "model.embedding_size=3", "model.hidden_size=5"]
    config = load_config("imdb", overrides=overrides)
    task = build_task(config, corpus())
    variants = RECIPES["imdb"].energy(config, task, task.model.eval(), "test")["variants"]
    rounded = ["folded, 8 bits", "folded, 4 bits"] * asked
    assert list(variants) == ["folded", *rounded]
    assert all(0 <= variants[name]["accuracy"] <= 100 for name in rounded)


def test_an_error_of_whole_numbers_is_told():
    """What has no such form is refused before (below): no error is a reason to leave a figure out."""
    config = load_config("imdb", overrides=["evaluate.whole_numbers=true", "model.embedding_size=3"])
    task = build_task(config, corpus())
    task.model.eval().spiking.layers[0].lif.register_forward_hook(lambda *args: None)
    with pytest.raises(ValueError, match=r"^spiking\.layers\.0\.lif \(LIF\) has forward hooks"):
        RECIPES["imdb"].energy(config, task, task.model, "test")


@pytest.mark.parametrize(
    ("model", "setting", "why"),
    [("lstm", [], "on lstm"), ("snn", ["model.kernel_size=3"], "kernel_size"),
     ("snn", ["model.recurrent=true"], "recurrent")],
    ids=["lstm", "kernel", "recurrent"],
)  # fmt: skip
def test_whole_numbers_of_what_has_none_are_refused(model, setting, why):
    with pytest.raises(ConfigError, match=f"whole_numbers has no effect .*{why}"):
        load_config("imdb", model=model, overrides=[*setting, "evaluate.whole_numbers=true"])
