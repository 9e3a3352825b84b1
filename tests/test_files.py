"""Where a file or a folder can be written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spikeseq.files import LEFT_OVER, check_new, check_place, clear_leftovers, new_folder, write_whole


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
    for name, parents in (("a" * 256, False), ("a" * 256, True), ("a" * 250, False)):
        with pytest.raises(ValueError, match=f"{name} cannot be written: .*File name too long"):
            check_place(tmp_path / name, parents)
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
        with pytest.raises(KeyError), new_folder(tmp_path / name) as new:
            (new / "one").touch()
            raise KeyError
        assert not (tmp_path / name).exists() and not list((tmp_path / name).parent.glob(".*"))
    (tmp_path / "new").mkdir()  # an empty one may be there
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with new_folder(tmp_path / "link") as new:
        (new / "one").touch()
        assert not list((tmp_path / "new").iterdir())
    assert new.parent.exists() is False and (tmp_path / "link").is_symlink()
    for path in (tmp_path / "new", tmp_path / "new" / "one"):
        with pytest.raises(ValueError, match="exists; expected the name of a new folder"):
            check_new(path)


@pytest.mark.parametrize("fails", [True, False])
def test_two_that_fill_one_place_leave_each_other_alone(tmp_path, fails):
    place = tmp_path / "one"
    with (
        pytest.raises(
            KeyError if fails else ValueError, match=None if fails else f"{place} exists; expected"
        ),
        new_folder(place) as slow,
    ):
        (slow / "file").write_text("slow")
        with new_folder(place) as fast:
            (fast / "file").write_text("fast")
        assert slow.exists()
        if fails:
            raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == ["one"] and (place / "file").read_text() == "fast"


def test_a_kill_leaves_nothing_in_the_place_and_the_next_takes_it_away(tmp_path):
    code = "import os, pathlib, signal, sys; from spikeseq.files import new_folder\n"
    code += "with new_folder(pathlib.Path(sys.argv[1])) as new: os.kill(os.getpid(), signal.SIGTERM)"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a[1]"])
    assert done.returncode == -signal.SIGTERM
    (left,) = tmp_path.iterdir()
    assert LEFT_OVER.fullmatch(left.name)
    mine = tmp_path / ".a[1].mybackup"
    mine.mkdir()
    with new_folder(tmp_path / "a[1]"):
        assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"a[1]", mine.name}


def test_a_folder_whose_place_cannot_be_taken_is_refused_before_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"\. is where this runs; expected the name of a new folder"):
        check_new(Path("."))
    monkeypatch.setattr(os.path, "ismount", lambda path: True)
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match="out is a mount point"):
        check_new(tmp_path / "out")
    check_new(tmp_path / "out" / "run")
