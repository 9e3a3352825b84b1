"""Where a file or a folder can be written."""

import os

import pytest

from spikeseq.files import check_new, check_place, clear_leftovers, new_folder, write_whole


def test_what_is_in_the_way_of_a_file_or_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    for good, parents in (("a.png", False), ("file", False), ("a/b/c", True), (".", True)):
        check_place(tmp_path / good, parents)
    with pytest.raises(ValueError, match=r"no/a.png cannot be written: there is no folder .*no$"):
        check_place(tmp_path / "no" / "a.png")
    with pytest.raises(ValueError, match="is a folder; expected a file"):
        check_place(tmp_path)
    for inside in ("file", "file/a", "file/a/b"):
        with pytest.raises(ValueError, match=f"{inside} cannot be written: .*file is a file"):
            check_place(tmp_path / inside, parents=True)
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(ValueError, match=r"cannot be written: .* is closed to you"):
        check_place(tmp_path / "a.png")


def test_what_a_kill_left_is_cleared_and_nothing_else(tmp_path):
    for name in (".a.json.0123abcd", ".x.fedcba98"):
        (tmp_path / name).touch()
    mine = {".lock", ".hidden", ".a.json.notes", "a.json", "b.0123abcd", ".git.0123abcde"}
    for name in mine:
        (tmp_path / name).touch()
    clear_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == mine


def test_a_whole_file_is_not_left_half(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "one")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(OSError, match=r"cannot write .*a: No space left"):
        write_whole(tmp_path / "a", "two")
    assert (tmp_path / "a").read_text() == "one" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_could_not_be_filled_is_gone(tmp_path):
    for name in ("new", "a/b"):
        with pytest.raises(KeyError), new_folder(tmp_path / name):
            (tmp_path / name / "one").touch()
            raise KeyError
        assert not (tmp_path / name).exists()
    with new_folder(tmp_path / "new"):
        (tmp_path / "new" / "one").touch()
    for path in (tmp_path / "new", tmp_path / "new" / "one"):
        with pytest.raises(ValueError, match="exists; expected the name of a new folder"):
            check_new(path)
