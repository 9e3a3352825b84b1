import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.recipes.language.units import Bytes, blocks, learn_unit, read_unit

TEXT = "the cat sat on the mat\nthe dog sat on the log\n\na café is ＡＢＣ  wide\n" * 3


@pytest.fixture(scope="module")
def units():
    return {
        "byte": Bytes(),
        "subword": learn_unit("subword", [TEXT], 300, 1),
        "word": learn_unit("word", [TEXT], 100, 1),
    }


@given(st.text())
def test_bytes_are_lossless(text):
    unit = Bytes()
    ids = unit.encode(text)
    assert unit.decode(ids) == text and all(0 <= index < 256 for index in ids)


def test_half_a_surrogate_pair_is_a_question_mark():
    assert Bytes().decode(Bytes().encode("a\ud800b")) == "a?b"


@given(st.lists(st.integers(0, 256), max_size=30))
def test_bytes_in_any_order_give_text(ids):
    unit = Bytes()
    whole = bytes(index for index in ids if index < 256)
    if 256 not in ids:
        assert unit.decode(ids) == whole.decode("utf-8", "replace")
    assert unit.decode(ids).count("\n") == ids.count(256) + ids.count(10)


def test_a_character_comes_when_it_is_whole():
    decoder = Bytes().decoder()
    assert [decoder.take(index) for index in "é€".encode()] == ["", "é", "", "", "€"]
    assert decoder.take(0xE2) == "" and decoder.rest() == "\ufffd" and decoder.rest() == ""


@settings(max_examples=30)
@given(st.lists(st.sampled_from([*"abc éü\n", "the ", "🎉", "\u2581", "ﬁ", "\t"]), max_size=12).map("".join))
def test_subwords_are_the_normalised_lines(units, text):
    unit = units["subword"]
    lines = [unit.tokenizer.normalise(line) for line in text.split("\n")]
    assert unit.decode(unit.encode(text)) == "\n".join(lines)


def test_words(units):
    unit = units["word"]
    assert list(unit.vocab.tokens[:2]) == ["<unk>", "<eos>"] and unit.show(unit.end).strip() == "<eod>"
    ids = unit.encode("the cat  sat\non a boat\n")
    assert unit.decode(ids) == "the cat sat\non a <unk>\n"
    assert unit.encode("<eod> <unk> <eos>") == [0, 0, 1]


def test_rare_words_and_a_small_vocabulary():
    unit = learn_unit("word", ["a a a b b c\n"], 100, 2)
    assert list(unit.vocab.tokens) == ["<unk>", "<eos>", "a", "b", "<eod>"]
    assert learn_unit("word", ["a a a b b c\n"], 4, 1).size == 4


@pytest.mark.parametrize("kind", ["byte", "subword", "word"])
def test_one_by_one_is_the_whole(units, kind):
    unit = units[kind]
    ids = [*unit.encode(TEXT + "🎉 end"), unit.end, *unit.encode("the cat"), unit.end]
    decoder = unit.decoder()
    pieces = [decoder.take(index) for index in ids]
    assert "".join(pieces) + decoder.rest() == unit.decode(ids)
    assert unit.decode(ids).endswith("the cat\n") and max(ids) == unit.end == unit.size - 1
    assert all(isinstance(unit.show(index), str) and unit.show(index) for index in set(ids))


@pytest.mark.parametrize("most", [1, 10, 30, 1000])
@pytest.mark.parametrize("kind", ["byte", "subword", "word"])
def test_blocks_give_the_ids_of_the_whole(units, kind, most):
    parts = list(blocks(TEXT, most))
    assert "".join(parts) == TEXT and (most > 200 or len(parts) > 3)
    assert all(part.endswith("\n") for part in parts)
    assert [index for part in parts for index in units[kind].encode(part)] == units[kind].encode(TEXT)


def test_blocks_without_line_ends():
    assert list(blocks("abcdef", 2)) == ["abcdef"] and list(blocks("", 2)) == []
    assert list(blocks("abcdef\ngh", 2)) == ["abcdef\n", "gh"]


@pytest.mark.parametrize("kind", ["byte", "subword", "word"])
def test_kept_and_read(units, kind, tmp_path):
    unit = units[kind]
    (tmp_path / unit.file).write_bytes(unit.content())
    again = read_unit(tmp_path, kind)
    assert again.size == unit.size and again.encode(TEXT) == unit.encode(TEXT)
    assert again.content() == unit.content()


@pytest.mark.parametrize("kind", ["byte", "subword", "word"])
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"tokens": ["a"]}', b"\xff"])
def test_a_damaged_file_is_named(units, kind, content, tmp_path):
    path = tmp_path / units[kind].file
    path.write_bytes(content)
    with pytest.raises(ValueError, match=path.name):
        read_unit(tmp_path, kind)


def test_a_size_that_the_text_does_not_allow():
    with pytest.raises(ValueError, match=r"size is 5000, too large for this corpus: it gives at most \d+"):
        learn_unit("subword", [TEXT], 5000, 1)
    with pytest.raises(ValueError, match="too small"):
        learn_unit("subword", [TEXT], 20, 1)
