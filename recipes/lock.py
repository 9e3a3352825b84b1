"""One training a run folder: a lock that dies with its process, however that ends."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from spikeseq.files import guarded
from spikeseq.recipes.runs import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".lock"
NO_LOCKS = "no locks on files here: nothing keeps two trainings out of one run folder"


@contextlib.contextmanager
def held(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keeps other trainings out of a folder that exists, until the end of the block or of the process.

    Before the block writes anything there by `spikeseq.files`, it looks whether the folder still has the
    lock: one that was moved or removed may have made room for another training's.

    Where the system or the folder's disk knows no locks, that is said, and nothing is kept out.

    Raises:
        RunError: another process, or another thread of this one, trains there; the disk does not tell; at a
            write, that the folder is not the same any more.
    """
    file = _locked(folder, say)
    if file is None:
        yield
        return

    def check() -> None:
        if not _is_lock_of(file, folder):
            why = "it was moved, removed or replaced (a moved one goes on with --resume where it is)"
            raise RunError(f"{folder} is not the folder any more that this training began in: {why}")

    try:
        with guarded(folder, check):
            yield
    finally:
        # Gone before it is open to others: who waited for it finds that it is not the folder's any more.
        with contextlib.suppress(OSError, RunError):
            if _is_lock_of(file, folder):
                (folder / LOCK_FILE).unlink()
        os.close(file)


def _is_lock_of(file: int, folder: Path) -> bool:
    """Whether an open file is the one that a folder has for its lock.

    Raises:
        RunError: the disk does not tell, as of a folder of another machine that is out of reach.
    """
    try:
        return os.path.samestat(os.fstat(file), os.stat(folder / LOCK_FILE))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        why = f"{LOCK_FILE}: {error.strerror}"
        raise RunError(
            f"{folder} cannot be asked whether this training still has it ({why}); go on with --resume"
        ) from None


def _locked(folder: Path, say: Callable[[str], None]) -> int | None:
    """The open lock file of a folder; None where there are no locks."""
    if fcntl is None:
        say(NO_LOCKS)
        return None
    path = folder / LOCK_FILE
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_lock_of(file, folder):  # else the one that held it ended since it was opened
                return file
        except RunError:
            os.close(file)
            raise
        except BlockingIOError:
            os.close(file)
            why = "another training writes to it; choose another --out"
            raise RunError(f"{folder} is in use: {why}") from None
        except OSError as error:
            os.close(file)
            say(f"{NO_LOCKS} ({folder}: {error.strerror})")
            return None
        os.close(file)
