import json
import os
import re
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from recipe_case import rows, write_rows

from spikeseq.recipes.config import load_config
from spikeseq.recipes.text import corpus as text_corpus
from spikeseq.recipes.text.corpus import SPLITS, load_corpus

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache for each test: no kernel is needed here."""
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def settings(data, **changes):
    """Also of settings that do nothing together, which a run would refuse."""
    config = load_config("imdb", data=str(data))
    usual = {"data.limit": 120, "data.tokenizer": "whitespace", "data.vectors": None}
    for key, value in (usual | changes).items():
        OmegaConf.update(config, key, value)
    return config.data


def load(data, **changes):
    """The corpus, and what was said."""
    said = []
    return load_corpus(settings(data, **changes), said.append), said


def same(a, b):
    return (
        (a.name, a.classes, a.vocab, a.tokenizer, a.found)
        == (b.name, b.classes, b.vocab, b.tokenizer, b.found)
        and all(
            torch.equal(getattr(a.splits[name], part), getattr(b.splits[name], part))
            for name in SPLITS
            for part in ("ids", "starts", "labels")
        )
        and (a.vectors is None) == (b.vectors is None)
    )


def test_texts_become_ids_and_back(tmp_path):
    path = write_rows(tmp_path / "mine.csv")
    corpus, _ = load(path, **{"data.min_frequency": 1})
    assert corpus.name == "mine" and corpus.classes == ["bad", "good", "mixed"]
    known = dict(rows())
    for name, size in {"train": 42, "validation": 6, "test": 12}.items():
        split = corpus.splits[name]
        assert len(split) == size
        for i in range(size):
            text = " ".join(corpus.vocab.decode(split.text(i)))
            assert known.get(text) == corpus.classes[split.labels[i]] or "<unk>" in text
    assert corpus.vectors is None and corpus.found is None


def test_the_vocabulary_never_sees_the_test_split(tmp_path):
    write_rows(tmp_path / "set" / "train.csv")
    write_rows(tmp_path / "set" / "test.csv", [("a secret word", "good"), ("another", "bad")])
    corpus, _ = load(tmp_path / "set", **{"data.min_frequency": 1})
    assert "secret" not in corpus.vocab and "film" in corpus.vocab
    assert corpus.splits["test"].text(1).tolist() == [corpus.vocab.unk_id]


def test_the_second_time_it_comes_from_the_cache(tmp_path, cache):
    path = write_rows(tmp_path / "mine.jsonl")
    first, said = load(path)
    assert said == [f"reading {path}", "tokenising 60 texts"]
    second, said = load(path)
    assert said == [] and same(first, second)
    assert len(list((cache / "corpora").iterdir())) == 1  # nothing is left beside it


def test_what_changes_the_corpus_is_read_anew(tmp_path):
    path = write_rows(tmp_path / "mine.jsonl")
    load(path)
    for changes in (
        {"data.limit": 30},
        {"data.min_frequency": 2},
        {"data.split_seed": 2},
        {"data.tokenizer": "spacy-de"},
    ):
        assert load(path, **changes)[1], changes
    os.utime(path, ns=(1, 1))
    assert not load(path)[1]  # the same content
    write_rows(path, rows(59))
    assert load(path)[1]
    assert not load(path)[1]


def test_names_say_what_a_file_is_for_also_behind_links(tmp_path):
    """Not the file that they lead to: one may be trained on here and tested on there."""
    write_rows(tmp_path / "a.csv", rows(40))
    write_rows(tmp_path / "b.csv", rows(20))

    def sizes(folder, **links):
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, target in links.items():
            (tmp_path / folder / f"{name}.csv").symlink_to(tmp_path / f"{target}.csv")
        corpus, _ = load(tmp_path / folder)
        return {name: len(split) for name, split in corpus.splits.items()}

    assert sizes("D", train="a", validation="b") == {"train": 96, "validation": 60, "test": 24}
    assert sizes("E", test="a", train="b") == {"train": 54, "validation": 6, "test": 120}
    assert sizes("F", train="a", unlabelled="b") == {"train": 87, "validation": 9, "test": 24}
    (tmp_path / "F" / "unlabelled.csv").rename(tmp_path / "F" / "validation.csv")
    assert sizes("F") == {"train": 96, "validation": 60, "test": 24}
    (tmp_path / "F" / "validation.csv").rename(tmp_path / "F" / "notes.csv")  # which is not read
    assert sizes("F") == {"train": 87, "validation": 9, "test": 24}


def test_a_date_that_was_put_back_hides_nothing(tmp_path):
    path = tmp_path / "mine.csv"
    found = []
    for labels in ("ab", "ba"):
        write_rows(path, [(f"film {i}", labels[i % 2]) for i in range(60)])
        os.utime(path, ns=(1, 1))
        found.append(load(path)[0])
    assert not same(*found)


def test_a_damaged_cache_is_made_again(tmp_path, cache):
    path = write_rows(tmp_path / "mine.jsonl")
    first, _ = load(path)
    (folder,) = (cache / "corpora").iterdir()
    for name in ("tensors.safetensors", "vocab.json", "corpus.json"):
        content = (folder / name).read_bytes()
        flipped = content[:-1] + bytes([content[-1] ^ 1])
        for damaged in (b"", content[: len(content) // 2], b"{}", flipped):
            (folder / name).write_bytes(damaged)
            corpus, said = load(path)
            assert said and same(corpus, first), (name, damaged)
        (folder / name).unlink()
        assert same(load(path)[0], first)


def test_a_cache_that_cannot_be_written_is_said_and_does_without(tmp_path, monkeypatch):
    path = write_rows(tmp_path / "mine.jsonl")
    expected, _ = load(path)
    shutil.rmtree(tmp_path / "cache")

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(text_corpus, "save_file", full)
    corpus, said = load(path)
    assert same(corpus, expected)
    assert re.search("not kept for later runs: .*No space left", said[-1])
    assert not list((tmp_path / "cache" / "corpora").iterdir())


def test_word_vectors_are_trained_on_unlabelled_texts_too(tmp_path):
    write_rows(tmp_path / "set" / "train.csv")
    write_rows(tmp_path / "set" / "unlabelled.csv", [(f"only here {i}", "-1") for i in range(9)])
    changes = {
        "data.vectors": "train",
        "data.vector_size": 8,
        "data.vector_epochs": 1,
        "data.min_frequency": 2,
    }
    corpus, said = load(tmp_path / "set", **changes | {"data.vector_workers": 1})
    assert "only" in corpus.vocab and corpus.vectors.shape == (len(corpus.vocab), 8)
    assert not corpus.vectors[0].any() and 0 < corpus.found <= 1
    assert any("training word vectors on" in line for line in said)
    assert "only" not in load(tmp_path / "set", **changes | {"data.vectors": None})[0].vocab


def test_a_file_of_vectors_gives_the_same_rows_each_time(tmp_path, cache):
    path = write_rows(tmp_path / "mine.csv")
    glove = tmp_path / "glove.txt"
    glove.write_text(
        "".join(f"{word} {i}.0 0.5 -{i}.0\n" for i, word in enumerate(["film", "was", "superb"], 1))
    )
    changes = {"data.vectors": str(glove), "data.min_frequency": 1}
    first, _ = load(path, **changes)
    assert first.vectors[first.vocab["was"]].tolist() == [2.0, 0.5, -2.0]
    assert 0 < first.found < 1
    shutil.rmtree(cache)
    assert torch.equal(load(path, **changes)[0].vectors, first.vectors)
    with pytest.raises(OSError, match="nowhere"):
        load(path, **{"data.vectors": str(tmp_path / "nowhere.txt")})


def test_words_of_a_file_of_vectors_join_the_vocabulary(tmp_path):
    write_rows(tmp_path / "set" / "train.csv")
    write_rows(tmp_path / "set" / "test.csv", [("a gripping film", "good"), ("another", "bad")])
    file = tmp_path / "kept.txt"
    file.write_text("gripping 1 2 3\nfilm 4 5 6\nunheard 7 8 9\n")
    changes = {"data.vectors": str(file), "data.min_frequency": 1}
    without, _ = load(tmp_path / "set", **changes)
    corpus, _ = load(tmp_path / "set", **changes | {"data.vector_words": True})
    assert corpus.vocab.tokens == (*without.vocab.tokens, "gripping", "unheard")
    assert corpus.vectors[corpus.splits["test"].text(0)[1]].tolist() == [1, 2, 3]
    assert corpus.vectors[corpus.vocab["film"]].tolist() == [4, 5, 6]
    size = len(without.vocab) + 1
    some, _ = load(tmp_path / "set", **changes | {"data.vector_words": True, "data.vocabulary": size})
    assert some.vocab.tokens == (*without.vocab.tokens, "gripping")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.kept_tokens": 0}, "data.kept_tokens must be at least 1"),
        ({"data.tokenizer": "spacy-ne"}, "did you mean 'spacy-en'"),
        ({"data.min_frequency": 1000}, "min_frequency=1000"),
        ({"data.vocabulary": 2}, "leaves no word"),
        ({"data.validation_share": 1.5}, "1.5"),
        ({"data.limit": 2}, "limit=2"),
    ],
    ids=str,
)
def test_settings_that_cannot_be(tmp_path, changes, message):
    path = write_rows(tmp_path / "mine.csv")
    with pytest.raises(ValueError, match=re.escape(message)):
        load(path, **changes)


def test_a_large_folder_is_not_searched(tmp_path, monkeypatch):
    """A home folder given by mistake must not be walked through."""
    write_rows(tmp_path / "set" / "train.csv")
    deep = tmp_path / "set" / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    key = text_corpus._facts(settings(tmp_path / "set"), "t")
    (deep / "file").write_text("changed")
    assert text_corpus._facts(settings(tmp_path / "set"), "t") == key
    write_rows(tmp_path / "set" / "train.csv", rows(10))
    assert text_corpus._facts(settings(tmp_path / "set"), "t") != key


def test_the_cache_holds_no_texts(tmp_path, cache):
    load(write_rows(tmp_path / "mine.csv"))
    (folder,) = (cache / "corpora").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == [
        "corpus.json",
        "manifest.json",
        "tensors.safetensors",
        "vocab.json",
    ]
    assert json.loads((folder / "corpus.json").read_text())["classes"] == ["bad", "good", "mixed"]
