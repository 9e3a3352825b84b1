"""Files that are either whole or not there."""

import contextlib
import glob
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

LEFT_OVER = re.compile(r"\..+\.[0-9a-f]{8}")
"""Names that `write_whole` writes under until a file is whole."""

_guards: ContextVar[tuple[tuple[str, Callable[[], None]], ...]] = ContextVar("spikeseq_guards", default=())
# Of a context, not of the process: another thread may train in the folder that took this one's place.


@contextlib.contextmanager
def guarded(folder: Path, check: Callable[[], None]) -> Iterator[None]:
    """Within the block, `check` is called before anything in `folder` is written, renamed or removed by the
    functions of this file. It raises where that must not be."""
    token = _guards.set((*_guards.get(), (os.path.abspath(folder), check)))
    try:
        yield
    finally:
        _guards.reset(token)


def check_guards(path: Path) -> None:
    """What `guarded` asks for, of a path that is about to change: for those who change it by other means."""
    place = Path(os.path.abspath(path))
    for folder, check in _guards.get():
        if place.is_relative_to(folder):
            check()


def write_whole(path: Path, data: bytes | str, former: Path | None = None) -> None:
    """Writes beside `path` and renames, so that a full disk or a kill leaves the former file as it was.

    former: where the file that is there goes, once the new one is written; default nowhere. Between the two
        renames there is no file at `path`.

    Raises:
        OSError: naming the path, when it cannot be written; nothing is left behind.
    """
    check_guards(path)
    content = data.encode() if isinstance(data, str) else data
    # Not `tempfile`: its files are closed to other users, and the rename would keep that.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            check_guards(path)  # again: that took a while
            if former is not None and path.exists():
                os.replace(path, former)
            os.replace(beside, path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from None


def rename(path: Path, to: Path) -> None:
    """Puts a file into the place of another."""
    check_guards(path)
    path.replace(to)


def remove(path: Path) -> None:
    """Removes a file that need not be there."""
    check_guards(path)
    path.unlink(missing_ok=True)


def size_and_digest(path: Path) -> tuple[int, str]:
    """The bytes of a file, and their SHA-256, read in parts."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
        return file.tell(), digest.hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder outlast a loss of power, where the system can."""
    if hasattr(os, "O_DIRECTORY"):
        with contextlib.suppress(OSError):  # some file systems cannot, and what is written is written
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Removes what a kill left of `write_whole` in a folder that nobody else writes to."""
    check_guards(folder)
    for path in folder.iterdir():
        if LEFT_OVER.fullmatch(path.name) and path.is_file():
            with contextlib.suppress(OSError):
                path.unlink()


def check_new(folder: Path) -> None:
    """That a folder can be made and filled: nothing is there, or an empty one.

    Raises:
        ValueError: naming it, and what is in its way.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists; expected the name of a new folder")
    if folder.exists():  # another takes its place (`new_folder`)
        ways = {
            "is a mount point": os.path.ismount(folder),
            "is where this runs": folder.samefile(Path.cwd()),
        }
        ways["lies in a folder that cannot be written to"] = not os.access(folder.resolve().parent, os.W_OK)
        for what in (what for what, so in ways.items() if so):
            raise ValueError(f"{folder} {what}; expected the name of a new folder, one in it as well")
    check_place(folder, parents=True)


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder for the block to fill, which becomes `folder` at its end and is gone where the block fails.

    It lies beside, under a name of `LEFT_OVER`; what kills left of others for the same place is taken away.

    Raises:
        ValueError: something came to be at `folder` meanwhile. See `check_new`, too.
    """
    from .ops.cache import passing_folder  # late: it imports torch

    place = folder.resolve()  # an empty folder behind a link is filled, and the link stays
    place.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{place.name}."
    with passing_folder(place.parent, prefix, glob.escape(prefix) + 8 * "[0-9a-f]") as passing:
        new = passing / "new"
        new.mkdir()
        yield new
        if os.name == "nt":  # elsewhere a rename replaces an empty folder
            with contextlib.suppress(OSError):
                place.rmdir()
        try:
            os.rename(new, place)
        except OSError:
            check_new(folder)
            raise
    sync_folder(place.parent)


def check_place(path: Path, parents: bool = False) -> None:
    """That a file can be written at `path`, or with `parents` a folder be made: asked before work is lost.

    Raises:
        ValueError: naming the path, and what is in its way.
    """
    try:
        if not parents and path.is_dir():
            raise ValueError(f"{path} is a folder; expected a file")
        places = [place for place in path.parents if place.exists()] if parents else [path.parent]
        place = path if parents and path.exists() else places[0]
        if not place.is_dir():
            problem = f"{place} is a file" if place.exists() else f"there is no folder {place}"
            raise ValueError(f"{path} cannot be written: {problem}")
    except OSError as error:  # a name that is too long, a folder that cannot be looked into
        raise ValueError(f"{path} cannot be written: {error.strerror}") from None
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"{path} cannot be written: {place} is closed to you")
    # Some systems let everything be done by who asks, and refuse it then: a file tells.
    probe = place / f".{path.name}.{secrets.token_hex(4)}"
    try:
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {place}: {error.strerror}") from None
