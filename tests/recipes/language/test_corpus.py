"""From texts to ids: read once, kept, mapped; split by place or by documents."""

import json
import os

import numpy as np
import pytest
from omegaconf import OmegaConf

from spikeseq.recipes.config import load_config
from spikeseq.recipes.language import corpus as corpora
from spikeseq.recipes.language import documents
from spikeseq.recipes.language.corpus import load_corpus
from spikeseq.recipes.shared.errors import DataError

SPLITS = ("train", "validation", "test")
LINES = "".join(f"line number {i} of the text\n" for i in range(300))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache for each test: no kernel is needed here."""
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def load(source, trained=None, **changes):
    """The corpus, and what was said."""
    config = load_config("lm", data=str(source)).data
    for key, value in changes.items():
        OmegaConf.update(config, key, value)
    said = []
    return load_corpus(config, said.append, trained), said


def text_of(corpus, split):
    unit, ids = corpus.unit, corpus.splits[split].ids.tolist()
    return unit.decode(index for index in ids if index != unit.end)


def file_of(folder, content, name="mine.txt"):
    (folder / name).write_bytes(content.encode())
    return folder / name


def test_a_file_is_split_by_place(tmp_path):
    corpus, said = load(file_of(tmp_path, LINES))
    assert corpus.name == "mine" and said == [f"reading {tmp_path / 'mine.txt'}", "encoding by byte"]
    texts = [text_of(corpus, split) for split in SPLITS]
    assert "".join(texts) == LINES and all(text.endswith("\n") for text in texts)
    for text, share in zip(texts, (0.9, 0.05, 0.05), strict=True):
        assert len(text) == pytest.approx(share * len(LINES), abs=30)
    for split, text in zip(SPLITS, texts, strict=True):
        stream = corpus.splits[split]
        assert stream.documents == 1 and stream.bytes == len(text) == len(stream) - 1
        assert stream.words == len(text.split()) + text.count("\n")
        assert stream.ids[-1] == corpus.unit.end and isinstance(stream.ids, np.memmap)
    assert corpus.facts()["tokens"]["train"] == len(corpus.splits["train"])


@pytest.mark.parametrize("text", ["x" * 4000, "y" * 3700 + "\n" + "z" * 299], ids=["no line", "far line"])
def test_a_line_without_end_is_cut_at_the_place(tmp_path, text):
    corpus, _ = load(file_of(tmp_path, text))
    assert [len(text_of(corpus, split)) for split in SPLITS] in ([3600, 200, 200],)


@pytest.mark.parametrize("block", [7, 100, 2**20])
def test_cuts_do_not_depend_on_blocks(tmp_path, monkeypatch, block):
    source = file_of(tmp_path, LINES)
    expected = {split: load(source)[0].splits[split].ids.tolist() for split in SPLITS}
    monkeypatch.setattr(documents, "BLOCK", block)
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "other"))
    corpus, said = load(source)
    assert said and {split: corpus.splits[split].ids.tolist() for split in SPLITS} == expected


def test_few_documents_are_one_text(tmp_path):
    for name, text in {"a.txt": "a\n" * 500, "b.txt": "b\n" * 440, "c.txt": "", "d.txt": "d\n" * 60}.items():
        file_of(tmp_path, text, name)
    corpus, _ = load(tmp_path)
    assert [text_of(corpus, split) for split in SPLITS] == [
        "a\n" * 500 + "b\n" * 400,
        "b\n" * 40 + "d\n" * 10,
        "d\n" * 50,
    ]
    assert [corpus.splits[split].documents for split in SPLITS] == [2, 2, 1]


def test_many_documents_stay_whole(tmp_path):
    texts = [f"document {i} " * (1 + i % 3) for i in range(400)]
    (tmp_path / "a.csv").write_text("text\n" + "\n".join(texts))
    corpus, _ = load(tmp_path / "a.csv", validation_share=0.2, test_share=0.1)
    found = {split: corpus.unit.decode(corpus.splits[split].ids.tolist()).splitlines() for split in SPLITS}
    assert sorted(text for split in found.values() for text in split) == sorted(texts)
    assert 60 < len(found["validation"]) < 100 and 25 < len(found["test"]) < 60
    other, _ = load(tmp_path / "a.csv", validation_share=0.2, test_share=0.1, split_seed=2)
    assert other.splits["test"].digest != corpus.splits["test"].digest
    limited, _ = load(tmp_path / "a.csv", limit=150)
    assert sum(stream.documents for stream in limited.splits.values()) == 150


def test_splits_of_its_own_are_kept(tmp_path):
    file_of(tmp_path, "train\n" * 50, "train.txt")
    file_of(tmp_path, "test\n", "test.txt")
    file_of(tmp_path, "about", "README.md")
    corpus, said = load(tmp_path)
    assert said[0] == "left out, as their names hold no split: README.md"
    assert text_of(corpus, "test") == "test\n"
    assert text_of(corpus, "train") + text_of(corpus, "validation") == "train\n" * 50
    assert len(text_of(corpus, "validation")) == 12  # of 15, from the next line's end


def test_stripped_lines_and_words(tmp_path):
    source = file_of(tmp_path, " the cat \n a  dog \n" * 40)
    corpus, _ = load(source, unit="word", strip_lines=True, min_frequency=1)
    assert set(corpus.unit.vocab.tokens) == {"<unk>", "<eos>", "the", "cat", "a", "dog", "<eod>"}
    assert text_of(corpus, "train").startswith("the cat\na dog\n")
    stream = corpus.splits["train"]
    assert stream.words == len(stream) - 1 and stream.bytes == 15 * stream.words // 6


def test_subwords_are_learnt_from_training_text(tmp_path):
    source = file_of(tmp_path, "the cat sat\n" * 90 + "zzz\n" * 60)
    corpus, _ = load(source, unit="subword", unit_size=270)
    assert text_of(corpus, "train").startswith("the cat sat\nthe cat sat\n")
    with pytest.raises(DataError, match=r"data\.unit_size=9000 for .*mine\.txt: size is 9000, too large"):
        load(source, unit="subword", unit_size=9000)


def test_kept_in_the_cache_until_something_changes(tmp_path, cache):
    source = file_of(tmp_path, LINES)
    first, said = load(source)
    again, nothing = load(source)
    assert said and nothing == [] and again.files() == first.files()
    assert len(list((cache / "corpora").iterdir())) == 1
    _, said = load(source, validation_share=0.1)
    assert said
    file_of(tmp_path, LINES.replace("number 7", "number x"))
    changed, said = load(source)
    assert said and changed.splits["train"].digest != first.splits["train"].digest
    assert changed.splits["test"].digest == first.splits["test"].digest
    assert changed.files()["texts.json"] != first.files()["texts.json"]


def test_a_date_that_was_put_back_hides_nothing(tmp_path):
    found = []
    for content in (LINES, LINES.replace("number 7", "number x")):
        source = file_of(tmp_path, content)
        os.utime(source, ns=(1, 1))
        found.append(load(source)[0])
    first, changed = found
    assert changed.splits["train"].digest != first.splits["train"].digest


def test_names_say_how_a_file_is_read_also_behind_links(tmp_path):
    content = file_of(tmp_path, "".join(json.dumps({"text": line}) + "\n" for line in LINES.splitlines()))
    for name in ("mine.text", "mine.jsonl"):
        (tmp_path / name).symlink_to(content)
    plain, _ = load(tmp_path / "mine.text")
    table, _ = load(tmp_path / "mine.jsonl")
    assert '{"text": ' in text_of(plain, "train") and '{"text": ' not in text_of(table, "train")


@pytest.mark.parametrize("name", ["train.ids", "about.json", "bytes.json"])
def test_a_damaged_cache_is_made_anew(tmp_path, cache, name):
    source = file_of(tmp_path, LINES)
    first, _ = load(source)
    expected = first.splits["train"].ids.tolist()
    (kept,) = (cache / "corpora").glob(f"*/{name}")
    kept.write_bytes(b"")
    again, said = load(source)
    assert said and again.splits["train"].ids.tolist() == expected


def test_a_cache_that_cannot_be_written(tmp_path, cache):
    cache.write_bytes(b"no folder")
    corpus, said = load(file_of(tmp_path, LINES))
    assert any(line.startswith("the corpus is not kept for later runs: ") for line in said)
    assert "".join(text_of(corpus, split) for split in SPLITS) == LINES


def test_the_unit_of_a_trained_model(tmp_path):
    first, _ = load(file_of(tmp_path, "the cat sat\n" * 90), unit="word", min_frequency=1)
    other, _ = load(file_of(tmp_path, "the dog sat\n" * 90, "b.txt"), first.unit, unit="word")
    assert text_of(other, "test").startswith("the <unk> sat\n")


@pytest.mark.parametrize("unit", ["byte", "word"])
def test_a_trained_model_finds_its_own_texts_in_the_cache(tmp_path, cache, unit):
    source = file_of(tmp_path, LINES)
    first, _ = load(source, unit=unit)
    again, said = load(source, first.unit, unit=unit)
    assert said == [] and again.files() == first.files() and len(list((cache / "corpora").iterdir())) == 1


@pytest.mark.parametrize("content", ["", "\ufeff"])
def test_a_file_without_text(tmp_path, content):
    with pytest.raises(DataError, match=r"mine\.txt: there is no text in it"):
        load(file_of(tmp_path, content))


def test_a_split_without_text(tmp_path):
    file_of(tmp_path, "train\n", "train.txt")
    file_of(tmp_path, "", "valid.txt")
    file_of(tmp_path, "x", "test.txt")
    with pytest.raises(DataError, match=rf"{tmp_path}: the validation split holds no text"):
        load(tmp_path)


def test_shares_that_leave_nothing(tmp_path):
    with pytest.raises(DataError, match=r"data\.validation_share and data\.test_share leave no training"):
        load(file_of(tmp_path, LINES), validation_share=0.5, test_share=0.5)


def test_ids_are_as_wide_as_they_must_be(tmp_path):
    corpus, _ = load(file_of(tmp_path, LINES))
    assert corpus.splits["train"].ids.dtype == np.uint16
    words = "".join(f"w{i} " for i in range(70_000)) + "\nend " * 9000
    wide, _ = load(file_of(tmp_path, words, "b.txt"), unit="word", unit_size=100_000, min_frequency=1)
    assert wide.splits["train"].ids.dtype == np.int32 and wide.splits["train"].ids.max() > 2**16
    assert corpora.width_of(corpus.unit) == np.uint16


def test_a_text_as_a_whole(tmp_path):
    """What a file without splits, and a folder with them, hold; the unit is that of a trained model."""
    unit = load(file_of(tmp_path, LINES))[0].unit
    (tmp_path / "parts").mkdir()
    for name in ("test", "train", "valid"):
        file_of(tmp_path / "parts", f"{name}\n", f"{name}.txt")
    for source, expected in ((tmp_path / "mine.txt", LINES), (tmp_path / "parts", "train\nvalid\ntest\n")):
        config = load_config("lm", data=str(source)).data
        for _ in (1, 2):  # read, then kept
            corpus = load_corpus(config, lambda text: None, unit, whole=True)
            assert list(corpus.splits) == ["all"] and text_of(corpus, "all") == expected
            assert corpus.splits["all"].documents == (1 if expected == LINES else 3)
    assert list(load(tmp_path / "mine.txt", unit)[0].splits) == list(SPLITS)
    file_of(tmp_path, "")
    with pytest.raises(DataError, match=r"mine\.txt: there is no text in it"):
        load_corpus(load_config("lm", data=str(tmp_path / "mine.txt")).data, print, unit, whole=True)
