"""Folders of a cache that are gone after their use, whoever is killed meanwhile."""

import os
import signal
import subprocess
import sys

import pytest

from spikeseq.ops.cache import _held, passing_folder

HOLDS = """
import sys, time
from pathlib import Path
from spikeseq.ops.cache import passing_folder
with passing_folder(Path(sys.argv[1]), "work.") as folder:
    (folder / "file").touch()
    print(folder, flush=True)
    time.sleep(600)
"""


def names(place):
    return sorted(path.name for path in place.iterdir())


def test_a_folder_is_there_during_the_block_and_gone_after_it(tmp_path):
    with pytest.raises(KeyError), passing_folder(tmp_path, "work.") as folder:
        assert folder.parent == tmp_path and folder.name.startswith("work.") and not names(folder)
        (folder / "inside").mkdir()
        raise KeyError
    assert not names(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders")
def test_what_a_kill_left_is_taken_away_and_nothing_of_those_that_live(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "work.file").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        theirs = process.stdout.readline().strip()
        with passing_folder(tmp_path, "work.") as folder:
            assert {str(tmp_path / name) for name in names(tmp_path)} == {
                theirs, str(folder), str(tmp_path / "other"), str(tmp_path / "work.file")
            }  # fmt: skip
            with passing_folder(tmp_path, "work."):  # of another thread
                assert folder.exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert os.path.isfile(f"{theirs}/file")
        with passing_folder(tmp_path, "new.", "work.*") as folder:
            assert names(tmp_path) == [folder.name, "other", "work.file"]
    finally:
        process.kill()
        process.communicate()


def test_where_there_are_no_locks_nothing_is_taken_away(tmp_path, monkeypatch):
    monkeypatch.setattr("spikeseq.ops.cache._held", lambda folder: None)
    (tmp_path / "work.left").mkdir()
    with passing_folder(tmp_path, "work.") as folder:
        assert names(tmp_path) == sorted([folder.name, "work.left"])
    assert names(tmp_path) == ["work.left"]


def test_one_that_another_took_away_before_it_was_locked_is_made_again(tmp_path, monkeypatch):
    taken = []

    def held(folder):
        if not taken:
            taken.append(folder)
            folder.rmdir()
        return _held(folder)

    monkeypatch.setattr("spikeseq.ops.cache._held", held)
    with passing_folder(tmp_path, "work.") as folder:
        assert folder.exists() and folder not in taken and len(taken) == 1
