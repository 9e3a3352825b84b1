"""Output that cannot be written is told in one line; a reader that has had enough is no failure."""

import errno
import io
import os
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest

from spikeseq import cli as program


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG])
def test_a_full_disk_is_told_in_words(number):
    text = os.strerror(number)
    assert program.described(OSError(number, text)) == f"output cannot be written: {text}"
    ours = OSError(number, f"cannot write a.png: {text}")
    assert program.described(ours).endswith(f"] cannot write a.png: {text}")
    assert program.described(OSError(number, text, "a.png")) == f"a.png: {text}"
    copied = OSError(number, text, "a.png", None, "b.png")
    assert program.described(copied) == f"a.png -> b.png: {text}"


def test_an_error_whose_file_comes_without_a_reason():
    """As of an answer from the web, where the file is an address."""
    error = HTTPError("http://a/b", 404, "Not Found", Message(), None)
    assert program.described(error) == "HTTP Error 404: Not Found"
    error.close()


class Full(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def flush(self):
        raise self.error

    def fileno(self):
        raise ValueError("none")


def test_what_is_printed_is_brought_out(monkeypatch, capsys):
    monkeypatch.setattr(program.sys, "stdout", Full(OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(SystemExit) as end:
        program.written_out()
    assert end.value.code == 2
    assert capsys.readouterr().err == "spikeseq: output cannot be written: No space left on device\n"
    monkeypatch.setattr(program.sys, "stdout", Full(BrokenPipeError()))
    program.written_out()
    monkeypatch.setattr(program.sys, "stdout", None)
    program.written_out()


def test_a_report_says_at_once_that_it_cannot_write(cli, text_runs, tmp_path, monkeypatch):
    def refused(path, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "touch", refused)
    monkeypatch.setattr("spikeseq.evaluation.report.write_report", None, raising=False)
    done = cli("report", text_runs / "bow", "--out", tmp_path / "r.html")
    assert done.code == 2 and "r.html cannot be written: " in done.err and "Read-only file system" in done.err
