"""Tokenised pairs in the cache: the same corpus without the work, and never a stale or broken one."""

import pytest

from spikeseq.recipes.config import load_config
from spikeseq.recipes.translation import corpus as parallel_corpus
from spikeseq.recipes.translation.corpus import IDS_FILE, load_parallel_corpus
from spikeseq.recipes.translation.lines import LONGEST


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def pairs(tmp_path):
    """The prefix of two files of twenty lines."""
    for language, word in (("de", "Hund"), ("en", "dog")):
        lines = [f"{word} {i} {'x ' * (i % 4)}." for i in range(20)]
        (tmp_path / f"pairs.{language}").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs"


def load(source, *changes):
    """The corpus, and what was said."""
    said = []
    plain = ["data.tokenizer=whitespace", "data.min_frequency=1"]
    options = changes if any("tokenizer" in change for change in changes) else [*plain, *changes]
    config = load_config("multi30k", model="conv-snn-snn", data=str(source), overrides=options)
    return load_parallel_corpus(config.data, said.append), said


def same(a, b):
    sides = [(c.source.vocab, c.target.vocab, c.source.language, c.target.language) for c in (a, b)]
    return sides[0] == sides[1] and a.splits == b.splits and a.name == b.name


@pytest.mark.parametrize(
    "options",
    [
        ["data.tokenizer=whitespace", "data.min_frequency=1"],
        ["data.tokenizer=spacy", "data.min_frequency=1"],
        ["data.tokenizer=subword", "data.pieces=290"],
    ],
    ids=lambda options: options[0],
)
def test_the_second_time_it_comes_from_the_cache(pairs, options, monkeypatch):
    first, said = load(pairs, *options)
    assert any(line.startswith("tokenising") for line in said)
    monkeypatch.setattr(parallel_corpus, "build_parallel_corpus", None)
    second, said = load(pairs, *options)
    assert said == [] and same(first, second)
    assert second.source.tokenizer("Hund 3") == first.source.tokenizer("Hund 3")


def test_longer_pairs_are_left_out_of_a_kept_corpus_too(pairs):
    whole, _ = load(pairs, "data.longest=null")
    short, _ = load(pairs, "data.longest=5")
    again, _ = load(pairs, "data.longest=5")
    assert len(short.splits["train"]) < len(whole.splits["train"]) and same(short, again)


def test_other_texts_and_settings_are_other_corpora(pairs):
    first, _ = load(pairs)
    assert load(pairs, "data.lower=false")[1]
    path = pairs.with_suffix(".en")
    path.write_text(path.read_text().replace("dog", "cat"))
    second, said = load(pairs)
    assert said and not same(first, second) and "cat" in second.target.vocab


def test_a_damaged_cache_is_made_anew(pairs, tmp_path):
    first, _ = load(pairs)
    (ids,) = (tmp_path / "cache").rglob(IDS_FILE)
    ids.write_bytes(b"not tensors")
    again, said = load(pairs)
    assert said and same(first, again)
    assert load(pairs)[1] == []


def test_a_cache_that_cannot_be_written_only_costs_time(pairs, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "file"))
    corpus, said = load(pairs)
    assert len(corpus.splits["train"]) > 0 and "not kept" in said[-1]


def test_a_line_too_long_to_translate_is_told_before_the_training(pairs):
    load(pairs)
    lines = [f"Hund{i} " * (LONGEST + 1) for i in range(20)]
    (pairs.parent / "pairs.de").write_text("\n".join(lines))
    with pytest.raises(ValueError, match="has 2,001 tokens, and at most 2,000 are translated at once"):
        load(pairs)
