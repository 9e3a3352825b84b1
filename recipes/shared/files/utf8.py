"""Bytes as text and lines, by one rule for files and standard input: the same bytes are the same text."""

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from spikeseq.recipes.shared.errors import DataError


def read_bytes(path: Path) -> bytes:
    """All of a file. Raises DataError where there is none that can be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); expected a file") from None


def decoded(content: bytes, where: str, line: int = 1) -> str:
    """The text of UTF-8 bytes that begin in a line of `where`, without a byte-order mark before the first.

    Raises:
        DataError: other bytes.
    """
    if line == 1:
        content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        place = error.start - content.rfind(b"\n", 0, error.start)
        byte = f"byte {place} is 0x{content[error.start]:02x}"
        raise DataError(f"{where}, line {line}: {byte}, which is not UTF-8; expected UTF-8 text") from None


def lines(raw: Iterable[bytes], where: str) -> Iterator[str]:
    """Lines as they come, each with its LF, as text without their ends.

    LF and CR LF end a line, and nothing else does: a form feed in a sentence must not shift those after it.

    Raises:
        DataError: what `decoded` refuses; one line that holds CR and no LF, as in files where CR ends lines.
    """
    for number, content in enumerate(raw, start=1):
        text = decoded(content, where, number)
        if number == 1 and not text.endswith("\n") and "\r" in text.rstrip("\r"):
            raise DataError(f"{where}, line 1: lines end in CR alone; expected LF or CR LF at their ends")
        if text:  # not after a byte-order mark alone
            yield text.rstrip("\r\n")
