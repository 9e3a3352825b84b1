"""Where a file or a folder can be written."""

import os

import pytest

from spikeseq.files import check_place


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
