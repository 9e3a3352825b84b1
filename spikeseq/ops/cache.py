"""Where built kernels are kept: written by one process at a time, and loaded only as they were written.

A library that is loaded runs as the user, so nobody else may have written it.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

ELSEWHERE = "set SPIKESEQ_CACHE to a folder of your own"


def cache_folder() -> Path:
    """SPIKESEQ_CACHE, else `spikeseq` in the user's own cache, $XDG_CACHE_HOME or ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("SPIKESEQ_CACHE") or Path(home) / "spikeseq")


def made_cache_folder() -> Path:
    """The same, made for its user alone, whatever is kept in it first.

    Raises:
        OSError: it cannot be made.
    """
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@contextlib.contextmanager
def one_process(path: Path) -> Iterator[None]:
    """Holds a lock that the system frees even if its process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("w") as file:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        except ImportError:  # no flock on this system: renames still keep files whole
            pass
        yield


@contextlib.contextmanager
def passing_folder(place: Path, prefix: str, left: str | None = None) -> Iterator[Path]:
    """A folder in `place` that is gone after the block. It is locked meanwhile: others that nobody holds are
    what kills left, and are taken away before.

    left: the pattern of their names; default those that begin with `prefix`.
    """
    for path in place.glob(left or f"{prefix}*"):
        if path.is_dir() and (handle := _held(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(handle)
    for _ in range(8):  # another process may take one away before it is locked
        folder = _made(place, prefix)
        handle = _held(folder)
        if handle is not None:
            break
        shutil.rmtree(folder, ignore_errors=True)
    else:  # no locks here: nobody takes anything away
        folder = _made(place, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def _made(place: Path, prefix: str) -> Path:
    """A new folder for the user alone; its name ends as those of `files.LEFT_OVER` do."""
    folder = place / f"{prefix}{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    return folder


def _held(folder: Path) -> int | None:
    """A folder opened and locked; None where another process holds it, it is gone, or there are no locks."""
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        return None
    with contextlib.suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(handle), os.stat(folder)):
            return handle
    os.close(handle)
    return None


def building_place(library: Path) -> contextlib.AbstractContextManager[Path]:
    """A folder beside a library to build it in."""
    return passing_folder(library.parent, f"{library.stem}.", "spikeseq_*.*")


def is_whole(library: Path) -> bool:
    """Whether a library is there as it was written; a part of one would end the process that loads it."""
    try:
        return _sum_of(library).read_text().strip() == hashlib.sha256(library.read_bytes()).hexdigest()
    except (OSError, ValueError):
        return False


def keep(built: Path, library: Path) -> None:
    """Moves what was built to its place, and notes its checksum."""
    beside = built.with_name("sum")
    beside.write_text(hashlib.sha256(built.read_bytes()).hexdigest())
    library.unlink(missing_ok=True)  # a former one is never beside another's sum
    os.replace(beside, _sum_of(library))
    os.replace(built, library)


def share(folder: Path) -> None:
    """Lets another cache have the kernels of this one, by links, so that they need not be built anew."""
    folder.mkdir(parents=True, exist_ok=True)
    for library in cache_folder().glob("*.so"):
        for path in (library, _sum_of(library)):
            if path.exists():
                (folder / path.name).symlink_to(path.resolve())


def check_private(library: Path) -> None:
    """That nobody but the user, or the system's owner, can have put a library there.

    Raises:
        PermissionError: naming the file or folder that is another's, or that everybody can write to.
    """
    if not hasattr(os, "getuid"):  # a system without owners of this kind
        return
    path = library.resolve()
    for one in (path, path.parent):
        if one.exists() and one.stat().st_uid not in (0, os.getuid()):
            raise PermissionError(f"{one} belongs to another user; {ELSEWHERE}")
    for one in (path, *path.parents):
        # In a sticky folder, as /tmp is, nobody can replace what is another's.
        if one.exists() and one.stat().st_mode & (stat.S_IWOTH | stat.S_ISVTX) == stat.S_IWOTH:
            raise PermissionError(f"{one} can be written by every user; {ELSEWHERE}")


def _sum_of(library: Path) -> Path:
    return library.with_suffix(".sha256")
