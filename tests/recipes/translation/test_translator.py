import re
import string

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tiny_seq2seq import Copier, TinyGRU

from spikeseq.models.seq2seq.base import SPECIALS
from spikeseq.models.seq2seq.search import beam_search, greedy
from spikeseq.recipes.translation.lines import LONGEST
from spikeseq.recipes.translation.translator import USUAL_LENGTH, Translator, batches
from spikeseq.tokenizers import Vocab, WhitespaceTokenizer

WORDS = ["ein", "mann", "zieht", "am", "abend", "einen", "hut", "an", "."]
VOCAB = Vocab([*SPECIALS, *WORDS], specials=SPECIALS)
ENGLISH = Vocab([*SPECIALS, *string.ascii_lowercase[: len(WORDS)]], specials=SPECIALS)
LINES = [
    "ein mann zieht am abend einen hut an .",
    "",
    "hut",
    "  mann\tzieht \u2028 einen\x0bhut\r\n",
    "ein Frosch zieht Schuhe an .",
    " \t\r\n",
    "电影 🎉 ein \x00 a\x00b",
    "<pad> <eos> <bos> mann <unk>",
    "mann " * 12,
    "x" * 10_000,  # one word
    "half \ud800 surrogate",
    "\ufeffmann",
    "an",
]


def copier(attention=True, **changes):
    """Says its source again: what comes out shows which line it was, and that nothing was lost."""
    model = Copier(len(VOCAB), attention)
    return Translator(model, VOCAB, VOCAB, WhitespaceTokenizer(), " ".join, **changes)


def tiny(attention=True, **changes):
    """A model with random weights and a target vocabulary of its own."""
    model = TinyGRU(len(VOCAB), attention=attention)
    return Translator(model, VOCAB, ENGLISH, WhitespaceTokenizer(), " ".join, **changes)


def tidy(line):
    return " ".join(line.replace("\ud800", "?").split())


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_every_line_comes_out_in_its_place_with_its_unknown_words(beam, batch_size):
    options = {"beam": beam, "batch_size": batch_size}
    expected = [tidy(line) for line in LINES]
    assert copier().translate(LINES, **options) == expected
    assert list(copier().translate_stream(iter(LINES), **options)) == expected


def test_a_line_of_many_words():
    line = "gewitterwolkenbruch " * 500
    assert copier().translate(["hut", line], beam=1) == ["hut", line.strip()]


def test_a_line_that_would_take_minutes_is_named():
    line = "gewitter " * (LONGEST + 1)
    with pytest.raises(
        ValueError, match=r"the line 'gewitter .*'\.\.\. has 2,001 tokens, and at most 2,000 are"
    ):
        copier().translate(["hut", line], beam=1)
    answers = copier().translate_stream(iter(["hut", line, "an"]), beam=1, batch_size=1)
    assert next(answers) == "hut"
    with pytest.raises(ValueError, match="give each of its sentences a line"):
        next(answers)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text() | st.text("ab \n\r\t\x1c\x85\u2028\u2029\x00"), max_size=5), st.integers(1, 4))
@example(["a\nb", "\n", "\r"], 2)
def test_a_filter_never_loses_or_adds_a_line(lines, batch_size):
    found = copier().translate(lines, beam=2, batch_size=batch_size)
    assert found == [" ".join(line.split()) for line in lines]
    written = "".join(f"{line}\n" for line in found)
    assert len(written.splitlines()) == len(lines)


@settings(deadline=None, max_examples=8)
@given(st.lists(st.lists(st.sampled_from([*WORDS, "neu"]), max_size=3).map(" ".join), max_size=4))
@example(["mann zieht neu hut", "", "hut", "abend neu"])
def test_company_and_batch_size_change_no_translation(lines):
    translator = tiny()
    found = translator.translate(lines, beam=2)
    assert found == [translator.translate([line], beam=2)[0] for line in lines]
    assert found == translator.translate(lines[::-1], beam=2, batch_size=2)[::-1]
    assert found == list(translator.translate_stream(lines, beam=2, batch_size=3))


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("attention", [True, False])
def test_the_translation_is_what_the_search_finds(beam, attention):
    translator = tiny(attention)
    line = "hut neu zieht mann"
    source = torch.tensor([[*VOCAB.encode(line.split()), 3]]).T
    options = {"length_penalty": 0.5}
    search = greedy if beam == 1 else beam_search
    options |= {} if beam == 1 else {"beam": beam}
    (expected,) = search(translator.model, source, torch.tensor([5]), **options)
    (found,) = translator.translate_tokens([line], beam=beam, length_penalty=0.5)
    assert found.source == line.split() and found.score == expected.score and found.attention is None
    assert len(found.target) == len(expected.ids)
    for token, id in zip(found.target, expected.ids, strict=True):
        assert token == ENGLISH.tokens[id] or (id == 1 and token in found.source)


def test_no_unk_ever_comes_out():
    lines = [*LINES[:7], "neu " * 4, "was ist das"]
    for translator in (tiny(), tiny(attention=False), tiny(copy_unknown=False)):
        with torch.no_grad():
            translator.model.output_map.bias[1] += 20.0  # `<unk>`, wherever it may be
        words = {word for text in translator.translate(lines) for word in text.split()}
        assert words and "<unk>" not in words and not words & set(SPECIALS)
        copied = words - set(ENGLISH.tokens)
        copies = translator.copy_unknown and translator.model.attention is not None
        assert bool(copied) == copies
        assert copied <= {word for line in lines for word in tidy(line).split()}


def test_lines_without_a_word_never_reach_the_model():
    translator = copier()
    assert translator.translate(["", "  ", "\u2028\t", "\r\n"]) == [""] * 4
    assert translator.translate([]) == [] == list(translator.translate_stream([]))
    assert translator.model.batches == []
    translator.tokenise = lambda line: []
    assert translator.translate(["words that no token is made of"]) == [""]
    assert translator.model.batches == []


def test_a_tokenizer_is_given_clean_lines():
    translator, seen = copier(), []
    translator.tokenise = lambda line: seen.append(line) or line.split(" ")
    lines = ["\tein\u2028 mann\r\n", "half \ud800", " hut"]
    assert translator.translate(lines) == seen == ["ein mann", "half ?", "hut"]


def test_detokenising_gets_the_tokens_and_cannot_break_the_line():
    translator = copier()
    translator.detokenise = lambda tokens: "\n".join(tokens).upper() + "\r\n"
    assert translator.translate(["ein mann", "", "hut"]) == ["EIN MANN", "", "HUT"]


# --- batches and streams ----------------------------------------------------------------------------------


def test_batches_are_of_like_length():
    translator = copier()
    translator.translate(["mann " * n for n in (7, 1, 5, 0, 2, 6, 3, 4)], batch_size=3)
    assert translator.model.batches == [[2, 3, 4], [5, 6, 7], [8]]


@given(st.lists(st.integers(0, 400)), st.integers(1, 8))
def test_no_batch_is_larger_than_it_may_be(lengths, size):
    found = list(batches(lengths, size))
    assert sorted(i for batch in found for i in batch) == [i for i, length in enumerate(lengths) if length]
    for batch in found:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or (len(batch) <= size and len(batch) * longest <= size * USUAL_LENGTH)
    if max(lengths, default=0) <= USUAL_LENGTH:
        assert all(len(batch) == size for batch in found[:-1])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_a_stream_reads_no_further_than_it_must(batch_size):
    read = []

    def coming():
        for i, line in enumerate(["ein mann", "", "hut an", "am abend", "zieht"]):
            read.append(i)
            yield line

    found = []
    for text in copier().translate_stream(coming(), batch_size=batch_size):
        found.append(text)
        assert len(read) == min(5, -(-len(found) // batch_size) * batch_size)
    assert found == ["ein mann", "", "hut an", "am abend", "zieht"]


# --- attention --------------------------------------------------------------------------------------------


def test_attention_has_a_row_and_a_column_for_every_token():
    source, target, weights = copier().attention("ein Frosch zieht")
    assert source == target == ["ein", "Frosch", "zieht", "<eos>"]
    assert torch.equal(weights, torch.eye(4))
    translator = tiny()
    found = translator.translate_tokens(["hut", "", "mann zieht am abend"], attention=True)
    for line in (found[0], found[2]):
        assert line.attention.shape == (len(line.target) + 1, len(line.source) + 1)
        torch.testing.assert_close(line.attention.sum(1), torch.ones(len(line.target) + 1).double())
        _, target, weights = translator.attention(" ".join(line.source))
        assert target[:-1] == line.target
        torch.testing.assert_close(weights, line.attention)
    assert found[1].source == found[1].target == [] and found[1].attention is None


def test_attention_that_is_not_there():
    with pytest.raises(
        ValueError, match=re.escape("a line without a word has no attention to show, got ' '")
    ):
        copier().attention(" ")
    with pytest.raises(TypeError, match=re.escape("this model (Copier) has no attention to show")):
        copier(attention=False).attention("mann")


# --- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lines", ["one string", [b"bytes"], [None], [["a"]], ["good", 3]])
def test_lines_must_be_strings(lines):
    with pytest.raises(TypeError, match="lines must be"):
        copier().translate(lines)
    with pytest.raises(TypeError, match="lines must be"):
        list(copier().translate_stream(lines))


def test_options_are_checked_before_any_line_is_read():
    def never():
        raise AssertionError("read")
        yield

    for options in ({"batch_size": 0}, {"batch_size": 2.0}, {"beam": 0}):
        (name,) = options
        with pytest.raises((TypeError, ValueError), match=f"{name} must be"):
            copier().translate([""], **options)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        copier().translate_stream(never(), batch_size=0)
    with pytest.raises(TypeError, match="got one string"):
        copier().translate_stream("string")
    with pytest.raises(ValueError, match="length_penalty must be"):
        copier().translate(["mann"], length_penalty=-1)


def test_vocabularies_must_have_the_specials_in_front():
    usual = Vocab.build([WORDS])
    for vocabs, name in (((usual, VOCAB), "source"), ((VOCAB, usual), "target")):
        with pytest.raises(ValueError, match=f"the {name} vocabulary begins with .*'<pad>', '<unk>', '.'"):
            Translator(Copier(9), *vocabs, str.split, " ".join)
