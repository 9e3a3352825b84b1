"""The cache of corpora: what is in it is whole, and for its user."""

import json
import os
import signal
import stat
from functools import partial

import pytest

from spikeseq.evaluation.reliability.children import counted, in_child
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


def test_what_a_kill_left_is_taken_away_when_the_next_corpus_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("SPIKESEQ_CACHE", str(tmp_path))
    folder = corpus_folder("some")

    def work(at):
        def does(number, what):
            if number == at:
                os.kill(os.getpid(), signal.SIGKILL)

        counted(tmp_path, does)
        keep_corpus(folder, write, lambda text: None)

    for at in range(30):
        ended = in_child(partial(work, at))
        shown = [path.name for path in folder.parent.iterdir()] if folder.parent.exists() else []
        assert set(shown) <= {folder.name} or any(name.startswith("tmp") for name in shown)
        if folder.exists():
            assert read_json(folder / "corpus.json") == [1, 2]
        if not ended:
            break
    assert 8 < at < 29  # every operation, and then none
    keep_corpus(corpus_folder("other"), write, pytest.fail)
    assert {path.name for path in folder.parent.iterdir()} == {folder.name, corpus_folder("other").name}
