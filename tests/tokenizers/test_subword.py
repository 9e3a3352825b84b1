import hashlib
import json
import pickle
import re
import sys
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeseq.tokenizers import SubwordTokenizer, Tokenizer, Vocab

pytest.importorskip("sentencepiece")

GERMAN = [f"Ein {who} fährt mit dem {what}." for who in ("Mann", "Kind") for what in ("Rad", "Bus", "Zug")]
ENGLISH = [f"A {who} rides the {what}." for who in ("man", "child") for what in ("bike", "bus", "train")]
CORPUS = [*GERMAN, *ENGLISH]
SPECIALS = ("<pad>", "<unk>", "<bos>", "<eos>")
SENTENCE = "Ein Kind fährt mit dem Rad."
BPE = SubwordTokenizer.train(CORPUS, 330)
CASED = SubwordTokenizer.train(CORPUS, 330, lower=False)
UNIGRAM = SubwordTokenizer.train(CORPUS, 285, kind="unigram")
ALL = pytest.mark.parametrize("tokenizer", [BPE, CASED, UNIGRAM], ids=repr)
awkward = st.text() | st.text("aÄß İΣς\u0301\u0316\u2581\u2585\0\n\u2028<>ﬁ…½0x4", max_size=20)


def test_pieces_of_a_sentence():
    assert BPE(SENTENCE) == ["▁ein", "▁kind", "▁fährt", "▁mit", "▁dem", "▁rad", "."]
    assert CASED(SENTENCE)[0] == "▁Ein"
    assert BPE.detokenise(BPE(SENTENCE)) == SENTENCE.lower()
    assert CASED.detokenise(CASED(SENTENCE)) == UNIGRAM.detokenise(CASED(SENTENCE)) == SENTENCE
    assert BPE("") == BPE(" \n\u2581 ") == []


@ALL
@given(text=awkward, seed=st.integers(0, 2**32 - 2))
def test_the_text_comes_back_as_normalised(tokenizer, text, seed):
    normal = tokenizer.normalise(text)
    assert tokenizer.normalise(normal) == normal
    assert tokenizer.detokenise(tokenizer(text)) == normal
    assert tokenizer.detokenise(tokenizer.sample(text, seed=seed)) == normal


@ALL
@given(text=awkward)
def test_no_unknown_piece_and_no_special_ever_occurs(tokenizer, text):
    vocab = Vocab.build([tokenizer.pieces], specials=SPECIALS)
    pieces = [*tokenizer(text), *tokenizer.sample(text)]
    assert not {SPECIALS.index("<unk>"), *range(len(SPECIALS))} & set(vocab.encode(pieces))
    assert vocab.decode(vocab.encode(pieces)) == pieces


def test_what_is_lost():
    assert BPE.normalise("  Weißes\t ﬁ… ½ \u2581 ÄRGER\n") == "weißes fi... 1⁄2 ärger"
    assert CASED.normalise("A\u0308RGER") == "ÄRGER"
    assert BPE.normalise("a \ud800") == "a ?"


def test_size_counts_the_pieces_and_the_vocabulary_its_specials_besides():
    vocab = Vocab.build([*BPE.tokenize_all(CORPUS), BPE.pieces], specials=SPECIALS)
    assert len(BPE.pieces) == len(set(BPE.pieces)) == 330
    assert len(vocab) == 334
    assert vocab.frequencies["▁fährt"] > vocab.frequencies["<0xC3>"]


def test_characters_never_seen_are_spelt_in_bytes():
    assert BPE("日") == ["▁", "<0xE6>", "<0x97>", "<0xA5>"]
    assert set(BPE("日")) <= set(BPE.pieces)


@pytest.mark.parametrize(("kind", "size"), [("bpe", 330), ("unigram", 280)])
def test_specials_in_the_corpus_do_not_become_pieces(kind, size):
    words = ["mann", "kind", "rad", "haus", "hund", "bus", "zug", "stadt", "baum"]
    corpus = [f"{word}<pad>{word} <{word}> <unk> <bos> <0x41> </s>" for word in words] * 9
    tokenizer = SubwordTokenizer.train(corpus, size, kind=kind, lower=False)
    assert [p for p in tokenizer.pieces if "<" in p and ">" in p] == [f"<0x{n:02X}>" for n in range(256)]
    assert tokenizer.detokenise(tokenizer(corpus[0])) == corpus[0]


@given(st.lists(st.sampled_from([*BPE.pieces, *SPECIALS, "▁nowhere", "two words", "\n", "é"])))
def test_detokenising_anything_gives_one_clean_line(pieces):
    text = BPE.detokenise(pieces)
    assert text == " ".join(text.split())


def test_detokenising_what_is_no_piece():
    assert BPE.detokenise(["▁a", "<unk>", "▁<unk>", "▁Nowhere"]) == "a<unk> <unk> Nowhere"
    assert BPE.detokenise(["▁a", "<0xC3>", "<0x0A>", "▁kind"]) == "a\ufffd kind"
    assert BPE.detokenise([]) == ""
    with pytest.raises(TypeError, match="takes a list of pieces, not the string 'a kind'"):
        BPE.detokenise("a kind")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_training_is_deterministic_and_reads_any_iterable(kind):
    first, again = (SubwordTokenizer.train(iter(CORPUS), 280, kind=kind).to_bytes() for _ in range(2))
    assert first == again
    assert first != SubwordTokenizer.train(["aaa", *CORPUS], 280, kind=kind).to_bytes()


@pytest.mark.parametrize("rare", ["\u2585", "qqq " * 5_000])
def test_no_text_of_the_corpus_is_left_out(rare):
    tokenizer = SubwordTokenizer.train([f"{rare} qqq qqq"] * 5, 262)
    assert tokenizer("qqq") == ["▁qqq"]


def test_sampling_is_fixed_by_its_seed_alone():
    drawn = [BPE.sample(SENTENCE, alpha=0.5, seed=seed) for seed in range(20)]
    assert len({tuple(pieces) for pieces in drawn}) > 10
    for seed in reversed(range(20)):
        UNIGRAM.sample("something between")
        assert BPE.sample(SENTENCE, alpha=0.5, seed=seed) == drawn[seed]


def test_seeds_hold_in_several_threads():
    usual = [BPE.sample(SENTENCE, alpha=0.5, seed=seed) for seed in range(20)]
    differing = []

    def draw():
        for seed in [*range(20)] * 20:
            if BPE.sample(SENTENCE, alpha=0.5, seed=seed) != usual[seed]:
                differing.append(seed)

    threads = [threading.Thread(target=draw) for _ in range(3)]
    interval = sys.getswitchinterval()
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not differing


def test_without_a_seed_torch_gives_one():
    def draw():
        torch.manual_seed(3)
        return [BPE.sample(SENTENCE, alpha=0.5) for _ in range(5)]

    first = draw()
    assert draw() == first
    assert len({tuple(pieces) for pieces in first}) > 1


def test_alpha():
    assert all(BPE.sample(SENTENCE, alpha=0.0, seed=seed) == BPE(SENTENCE) for seed in range(5))
    assert BPE.sample("mit", alpha=1.0) == ["▁", "m", "i", "t"]
    usual = [
        UNIGRAM.sample(SENTENCE, alpha=alpha, seed=seed) == UNIGRAM(SENTENCE)
        for alpha in (0, 1)
        for seed in range(40)
    ]
    assert sum(usual[:40]) < sum(usual[40:])


def test_sampling_refuses():
    for alpha in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=f"alpha is {alpha}; it must be from 0 to 1"):
            BPE.sample("a", alpha=alpha)
    for seed in (-1, 2**32 - 1):
        with pytest.raises(ValueError, match=f"seed is {seed}; it must be from 0 to 4294967294"):
            BPE.sample("a", seed=seed)
    with pytest.raises(TypeError, match=r"text is None \(NoneType\)"):
        BPE.sample(None)


def test_follows_the_base_class():
    assert isinstance(BPE, Tokenizer) and BPE.lower and not CASED.lower
    assert BPE.tokenize_all(CORPUS, processes=2) == [BPE(text) for text in CORPUS]
    for wrong in (lambda: BPE(3), lambda: BPE.tokenize_all(["a", 3])):
        with pytest.raises(TypeError, match=r"3 \(int\), not a str"):
            wrong()


def test_signatures_tell_tokenizers_apart():
    assert re.fullmatch("subword-bpe-330-lc-[0-9a-f]{8}", BPE.signature())
    assert re.fullmatch("subword-unigram-285-lc-[0-9a-f]{8}", UNIGRAM.signature())
    assert re.fullmatch("subword-bpe-330-cased-[0-9a-f]{8}", CASED.signature())
    assert SubwordTokenizer.train(CORPUS[1:], 330).signature() != BPE.signature()
    assert SubwordTokenizer.train(CORPUS, 330).signature() == BPE.signature()


@ALL
def test_pickle_bytes_and_file_give_the_same_tokenizer(tokenizer, tmp_path):
    path = tmp_path / "pieces.model"
    tokenizer.to_file(path)
    assert [file.name for file in tmp_path.iterdir()] == ["pieces.model"]
    for copy in (
        pickle.loads(pickle.dumps(tokenizer)),
        SubwordTokenizer.from_bytes(tokenizer.to_bytes()),
        SubwordTokenizer.from_file(str(path)),
    ):
        assert copy.to_bytes() == path.read_bytes()
        assert copy.signature() == tokenizer.signature()
        assert copy(SENTENCE) == tokenizer(SENTENCE)


def test_every_truncated_file_is_refused(tmp_path):
    path, data = tmp_path / "pieces.model", BPE.to_bytes()
    for length in [*range(0, len(data), 7), *range(len(data) - 100, len(data))]:
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: (cut off|not a subword)") as caught:
            SubwordTokenizer.from_file(path)
        assert "\n" not in str(caught.value)


def changed(**settings):
    head, _, model = BPE.to_bytes().partition(b"\n")
    return json.dumps({**json.loads(head), **settings}).encode() + b"\n" + model


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (BPE.to_bytes().partition(b"\n")[2], "no first line with 'format': 'spikeseq-subword'"),
        (b'{"format": "spikeseq-vocab"}\n', "no first line with 'format'"),
        (b"[" * 100_000, "no first line with 'format'"),
        (b"\xff\n", "no first line with 'format'"),
        (changed(version=2), "version 2; this spikeseq reads version 1"),
        (changed(kind="word"), "kind is 'word'"),
        (changed(lower=1), "lower is 1"),
        (BPE.to_bytes() + b"x", "cut off or damaged"),
        (
            changed(sha256=hashlib.sha256(b"no model").hexdigest()).partition(b"\n")[0] + b"\nno model",
            "not a model",
        ),
    ],
)
def test_foreign_files_are_refused(data, message, tmp_path, capfd):
    path = tmp_path / "pieces.model"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}") as caught:
        SubwordTokenizer.from_file(path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.model"):
        SubwordTokenizer.from_file(tmp_path / "nothing.model")
    with pytest.raises(OSError, match=r"cannot write .*pieces\.model"):
        BPE.to_file(tmp_path / "no folder" / "pieces.model")


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_wrong_size_says_what_is_possible_and_that_is(kind):
    bounds = {}
    for size, word in ((10, "small"), (100_000, "large")):
        pattern = f"^size is {size}, too {word} for this corpus: .*(?:at least|at most) ([0-9]+)[^\n]*$"
        with pytest.raises(ValueError, match=pattern) as caught:
            SubwordTokenizer.train(CORPUS, size, kind=kind)
        bounds[word] = int(re.search(pattern, str(caught.value))[1])
    assert 256 < bounds["small"] < bounds["large"]
    for size in bounds.values():
        assert len(SubwordTokenizer.train(CORPUS, size, kind=kind).pieces) == size
    for size in (bounds["small"] - 1, bounds["large"] + 1):
        with pytest.raises(ValueError, match=f"size is {size}, too"):
            SubwordTokenizer.train(CORPUS, size, kind=kind)


@pytest.mark.parametrize("size", [0, -3, 300.0, True, "300", None])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match=f"size is {size!r}; it must be a positive whole number"):
        SubwordTokenizer.train(CORPUS, size)


def test_a_size_beyond_all_bounds_is_one_line():
    with pytest.raises(ValueError, match=f"^sentencepiece cannot learn {2**40} pieces [^\n]*$"):
        SubwordTokenizer.train(CORPUS, 2**40)


def test_corpora_that_are_refused():
    for empty in ([], [""], [" \n", "\u2581", "\u2585"]):
        with pytest.raises(ValueError, match="the corpus is empty"):
            SubwordTokenizer.train(empty, 300)
    with pytest.raises(TypeError, match=r"texts\[1\] is None \(NoneType\)"):
        SubwordTokenizer.train(["a", None], 300)
    with pytest.raises(TypeError, match="one string"):
        SubwordTokenizer.train("a text", 300)
    with pytest.raises(ValueError, match="kind is 'word'; choose one of bpe, unigram"):
        SubwordTokenizer.train(CORPUS, 300, kind="word")


def test_training_prints_nothing_and_leaves_no_file(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    for kind in ("bpe", "unigram"):
        SubwordTokenizer.train(CORPUS, 280, kind=kind)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_without_sentencepiece_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    for use in (
        lambda: SubwordTokenizer.train(CORPUS, 300),
        lambda: SubwordTokenizer.from_bytes(BPE.to_bytes()),
    ):
        with pytest.raises(ImportError, match=r"pip install 'spikeseq\[recipes\]'"):
            use()
