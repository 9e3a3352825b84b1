import math

import pytest
import torch
from torch import nn

from spikeseq.models import BagOfWords
from spikeseq.models.bag import tfidf

VOCABULARY = 30


def test_tfidf_by_hand():
    idf = torch.tensor([9.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    tokens = torch.tensor([[1, 2, 3], [1, 0, 2], [2, 0, 2]])  # columns: "1 1 2", "2", "3 2 2"
    words, values = tfidf(tokens * (torch.arange(3).unsqueeze(1) < torch.tensor([3, 1, 3])), idf)
    found = [
        {int(w): float(v) for w, v in zip(row, value, strict=True) if v}
        for row, value in zip(words, values, strict=True)
    ]
    one, two, three = (1 + math.log(2)) * 1, 1 * 2, (1 + math.log(2)) * 2
    first, third = math.hypot(one, two), math.hypot(three, 3)
    assert found[0] == pytest.approx({1: one / first, 2: two / first})
    assert found[1] == pytest.approx({2: 1.0})
    assert found[2] == pytest.approx({2: three / third, 3: 3 / third})


def test_a_bag_of_words_is_a_linear_map_of_tfidf():
    torch.manual_seed(0)
    idf = torch.rand(VOCABULARY, dtype=torch.float64) + 1
    model = BagOfWords(VOCABULARY, 3, idf=idf).double()
    nn.init.normal_(model.weights.weight)
    nn.init.normal_(model.bias)
    tokens, lengths = torch.randint(1, VOCABULARY, (6, 3)), torch.tensor([6, 3, 1])
    tokens[3:, 0] = tokens[0, 0]  # a word that comes again
    rows = []
    for i, length in enumerate(lengths):
        counts = torch.bincount(tokens[:length, i], minlength=VOCABULARY).double()
        values = torch.where(counts > 0, 1 + counts.clamp(min=1).log(), 0.0) * idf
        rows.append(values / values.norm() @ model.weights.weight + model.bias)
    torch.testing.assert_close(model(tokens, lengths), torch.stack(rows))


def test_a_bag_of_nothing_is_its_bias():
    model = BagOfWords(VOCABULARY, 2)
    nn.init.normal_(model.weights.weight)
    empty = model(torch.zeros(3, 2, dtype=torch.int64), torch.tensor([0, 3]))
    assert torch.equal(empty, model.bias.expand(2, 2))
    assert "idf" in model.state_dict()
    first = torch.ones(VOCABULARY)
    BagOfWords(VOCABULARY, idf=first).idf.zero_()
    assert first.all()  # the caller's tensor is its own


def test_ngrams_are_terms_of_their_own():
    model = BagOfWords(10, 1, ngrams=[2, 3], ngram_rows=50).double()
    tokens = torch.tensor([[3, 3], [4, 4], [3, 0], [4, 0]])
    lengths = torch.tensor([4, 2])
    terms = model.terms(tokens, lengths)
    assert terms.shape == (12, 2) and terms[:4].t().tolist() == [[3, 4, 3, 4], [3, 4, 0, 0]]
    pairs, triples = terms[4:8], terms[8:]
    assert pairs[0].tolist() == [0, 0] and pairs[1, 0] == pairs[3, 0] == pairs[1, 1] != pairs[2, 0]
    assert pairs[2:, 1].tolist() == [0, 0] and triples[:2].sum() == 0 and triples[:, 1].sum() == 0
    assert ((pairs == 0) | ((pairs >= 10) & (pairs < 60))).all() and (triples[2:, 0] >= 60).all()
    nn.init.normal_(model.weights.weight)
    torch.testing.assert_close(model(tokens, lengths)[1:], model(tokens[:2, 1:], lengths[1:]))
    assert not torch.allclose(model(tokens.flip(0)[:, :1], lengths[:1]), model(tokens[:, :1], lengths[:1]))


def test_ngrams_that_cannot_be():
    with pytest.raises(ValueError, match="ngrams must be ascending numbers from 2 on, got \\[3, 2\\]"):
        BagOfWords(5, ngrams=[3, 2])
