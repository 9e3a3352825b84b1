"""The cache of corpora: what is in it is whole, and for its user."""

import json
import os
import stat

import pytest

from spikeseq.recipes.manifest import RunError, read_json
from spikeseq.recipes.shared.corpus_cache import corpus_folder, keep_corpus


def write(folder):
    (folder / "corpus.json").write_text("[1, 2]")


def test_a_cache_that_a_corpus_makes_is_for_its_user(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "cache"))
    before = os.umask(0o022)
    try:
        keep_corpus(corpus_folder("some"), write, pytest.fail)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700


def test_a_damaged_corpus_is_told_and_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path))
    folder = corpus_folder("some")
    assert folder == corpus_folder("some") != corpus_folder("other")
    keep_corpus(folder, write, pytest.fail)
    (folder / "corpus.json").write_text("[1, 3]")
    with pytest.raises(RunError, match=r"corpus\.json is damaged"):
        read_json(folder / "corpus.json")
    keep_corpus(folder, write, pytest.fail)
    assert read_json(folder / "corpus.json") == json.loads("[1, 2]")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_corpus_that_cannot_be_kept_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path / "file"))
    said = []
    keep_corpus(corpus_folder("some"), write, said.append)
    assert len(said) == 1 and said[0].startswith("the corpus is not kept for later runs: ")
