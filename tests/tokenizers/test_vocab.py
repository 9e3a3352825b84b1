import json
import sys
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.tokenizers import Vocab

CORPUS = [["the", "film", "is", "the", "best"], ["the", "film", "was", "bad"]]
corpora = st.lists(st.lists(st.text(max_size=4), max_size=6), max_size=6).filter(
    lambda lists: any(token not in ("<pad>", "<unk>") for tokens in lists for token in tokens)
)


@pytest.fixture
def vocab():
    return Vocab.build(CORPUS)


def test_order_is_by_frequency_then_alphabet(vocab):
    assert vocab.tokens == ("<pad>", "<unk>", "the", "film", "bad", "best", "is", "was")
    assert vocab.specials == ("<pad>", "<unk>")
    assert (vocab.pad_id, vocab.unk_id, len(vocab)) == (0, 1, 8)
    assert vocab.frequencies["the"] == 3
    assert vocab.frequencies["<pad>"] == 0


def test_limits():
    assert Vocab.build(CORPUS, min_frequency=2).tokens == ("<pad>", "<unk>", "the", "film")
    assert Vocab.build(CORPUS, max_size=3).tokens == ("<pad>", "<unk>", "the")
    assert Vocab.build(CORPUS, max_size=100) == Vocab.build(CORPUS)


def test_a_special_in_the_corpus_stays_in_its_place():
    vocab = Vocab.build([["a", "<unk>", "<unk>"]])
    assert vocab.tokens == ("<pad>", "<unk>", "a")
    assert vocab.frequencies == {"<pad>": 0, "<unk>": 2, "a": 1}


def test_lookups(vocab):
    assert vocab.encode(["film", "unseen", "the"]) == [3, 1, 2]
    assert vocab.encode([]) == []
    assert vocab.decode(torch.tensor([3, 1])) == vocab.decode(np.array([3, 1])) == ["film", "<unk>"]
    assert "film" in vocab
    assert "unseen" not in vocab
    assert vocab["film"] == 3
    assert list(vocab) == list(vocab.tokens)


def test_lookups_that_fail(vocab):
    with pytest.raises(KeyError, match="'unseen' is not in this vocabulary of 8"):
        vocab["unseen"]
    for index in (8, -1):
        with pytest.raises(IndexError, match=f"id {index} is not in a vocabulary of size 8"):
            vocab.decode([0, index])
    with pytest.raises(TypeError):
        vocab.decode([1.0])
    with pytest.raises(TypeError, match="tokenise it first"):
        vocab.encode("the film")
    bare = Vocab.build(CORPUS, specials=())
    with pytest.raises(KeyError, match="'unseen'"):
        bare.encode(["film", "unseen"])
    with pytest.raises(KeyError, match="<pad>"):
        _ = bare.pad_id


def test_corpora_that_make_no_vocabulary():
    for empty in ([], [[], []]):
        with pytest.raises(ValueError, match="the corpus is empty"):
            Vocab.build(empty)
    with pytest.raises(ValueError, match="min_frequency=4"):
        Vocab.build(CORPUS, min_frequency=4)
    with pytest.raises(ValueError, match="max_size is 2"):
        Vocab.build(CORPUS, max_size=2)
    with pytest.raises(TypeError, match=r"token_lists\[1\] is a string"):
        Vocab.build([["a"], "a text"])
    with pytest.raises(TypeError, match=r"3 \(int\), not a str"):
        Vocab(["a", 3])
    with pytest.raises(ValueError, match="duplicate token 'a': ids 0 and 2"):
        Vocab(["a", "b", "a"])
    with pytest.raises(ValueError, match="'<pad>' is a special"):
        Vocab(["a"], specials=["<pad>"])


@settings(max_examples=50)
@given(corpora)
def test_encode_then_decode_is_the_same(corpus):
    vocab = Vocab.build(corpus)
    for tokens in corpus:
        assert vocab.decode(vocab.encode(tokens)) == tokens


@given(corpora, st.randoms())
def test_the_order_of_the_corpus_does_not_matter(corpus, random):
    mixed = [random.sample(tokens, len(tokens)) for tokens in random.sample(corpus, len(corpus))]
    assert Vocab.build(mixed) == Vocab.build(corpus)


@given(corpora, st.integers(3, 12), st.integers(1, 2))
def test_limits_cut_the_tail_off(corpus, max_size, min_frequency):
    whole = Vocab.build(corpus)
    counts = Counter(token for tokens in corpus for token in tokens)
    if max(counts[token] for token in whole.tokens[2:]) < min_frequency:
        return
    part = Vocab.build(corpus, max_size=max_size, min_frequency=min_frequency)
    assert part.tokens == whole.tokens[: len(part)]
    assert len(part) <= max_size
    assert all(counts[token] >= min_frequency for token in part.tokens[2:])


@settings(max_examples=50)
@given(corpora)
def test_json_and_back_is_the_same(tmp_path_factory, corpus):
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    vocab = Vocab.build(corpus)
    vocab.to_json(path)
    assert Vocab.from_json(path) == vocab
    assert Vocab.from_dict(json.loads(json.dumps(vocab.to_dict()))) == vocab


def test_vocabularies_that_differ_are_not_equal(vocab):
    assert vocab != Vocab(vocab.tokens, specials=vocab.specials)  # other frequencies
    assert vocab != Vocab(vocab.tokens, frequencies=vocab.frequencies)  # other specials
    assert vocab != list(vocab.tokens)


def test_a_failed_write_leaves_the_old_file_and_nothing_else(vocab, tmp_path):
    path = tmp_path / "vocab.json"
    vocab.to_json(path)
    with pytest.raises(UnicodeEncodeError):
        Vocab(["\ud800"]).to_json(path)
    assert Vocab.from_json(path) == vocab
    assert [entry.name for entry in tmp_path.iterdir()] == ["vocab.json"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2; this spikeseq reads version 1"),
        ({"format": "other"}, "not a spikeseq vocabulary"),
        ({"tokens": ["a", "a"], "frequencies": [1, 1]}, "duplicate token 'a'"),
        ({"tokens": ["a", 1]}, "'tokens' is missing or is not a list of str"),
        ({"frequencies": [1]}, "8 tokens but 1 frequencies"),
        ({"specials": None}, "'specials' is missing"),
        ({"specials": ["<eos>"]}, "'<eos>' is a special"),
    ],
)
def test_a_wrong_file_is_refused_by_name(vocab, tmp_path, change, message):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps(vocab.to_dict() | change))
    with pytest.raises(ValueError, match=message) as caught:
        Vocab.from_json(path)
    assert str(path) in str(caught.value)


def test_a_damaged_file_is_refused_by_name(vocab, tmp_path):
    path = tmp_path / "vocab.json"
    vocab.to_json(path)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b'["\xff"]', b"[1, 2]"):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"vocab\.json"):
            Vocab.from_json(path)
    with pytest.raises(FileNotFoundError):
        Vocab.from_json(tmp_path / "none.json")


def test_torchtext_and_back_is_the_same(vocab):
    made = vocab.to_torchtext()
    assert isinstance(made, pytest.importorskip("torchtext.vocab").Vocab)
    assert made.itos == list(vocab.tokens)
    assert [made[token] for token in ("film", "unseen")] == vocab.encode(["film", "unseen"])
    assert made.stoi["unseen again"] == vocab.unk_id
    assert made.freqs["the"] == 3
    assert Vocab.from_torchtext(made) == vocab


def test_torchtexts_own_vocabulary_keeps_its_ids():
    theirs = pytest.importorskip("torchtext.vocab").Vocab(Counter("abracadabra"), specials_first=False)
    vocab = Vocab.from_torchtext(theirs)
    assert list(vocab.tokens) == theirs.itos
    assert set(vocab.specials) == {"<pad>", "<unk>"}
    assert vocab.frequencies["a"] == 5
    assert vocab.encode(["a", "z"]) == [theirs["a"], theirs["z"]]
    assert vocab.to_torchtext().stoi["z"] == theirs.stoi["z"]


def test_a_vocabulary_without_unk_goes_to_torchtext():
    pytest.importorskip("torchtext.vocab")
    made = Vocab.build(CORPUS, specials=()).to_torchtext()
    assert made["unseen"] is None
    with pytest.raises(KeyError):
        made.stoi["unseen"]


def test_any_object_with_a_token_list_is_accepted():
    with_method = SimpleNamespace(get_itos=lambda: ["<s>", "a"])
    assert Vocab.from_torchtext(with_method).specials == ("<s>",)
    assert Vocab.from_torchtext(SimpleNamespace(itos=["a", "b"]), specials=["b"]).specials == ("b",)
    with pytest.raises(TypeError, match="int has neither an itos list"):
        Vocab.from_torchtext(3)


def test_without_torchtext_the_error_says_what_to_install(vocab, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchtext.vocab", None)
    with pytest.raises(ImportError, match=r"pip install 'spikeseq\[torchtext\]'"):
        vocab.to_torchtext()


@pytest.mark.parametrize("token", [None, 3, b"a", ["a"]])
def test_a_corpus_of_something_else_than_strings(token):  # case 4.7
    with pytest.raises(TypeError, match=r"token_lists\[1\]\[2\] is .*, not a str"):
        Vocab.build([["a"], ["b", "c", token]])


def test_words_join_behind_those_that_are_there():
    vocab = Vocab.build([["a", "b", "a"]])
    more = vocab.with_words(["c", "b", "d", "c"])
    assert more.tokens == ("<pad>", "<unk>", "a", "b", "c", "d") and more.specials == vocab.specials
    assert more.frequencies["a"] == 2 and more.frequencies["c"] == 0
    assert vocab.with_words(["c", "d"], 5).tokens == (*vocab.tokens, "c")
    assert vocab.with_words(["c"], 2) == vocab
