"""One training a run folder: a lock that dies with its process, however that ends."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

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

    Where the system or the folder's disk knows no locks, that is said, and nothing is kept out.

    Raises:
        RunError: another process, or another thread of this one, trains there.
    """
    file = _locked(folder, say)
    try:
        yield
    finally:
        if file is not None:
            # Gone before it is open to others: who waited for it finds that it is not the folder's any more.
            with contextlib.suppress(OSError):
                (folder / LOCK_FILE).unlink()
            os.close(file)


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
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        except BlockingIOError:
            os.close(file)
            why = "another training writes to it; choose another --out"
            raise RunError(f"{folder} is in use: {why}") from None
        except FileNotFoundError:  # the one that held it ended since it was opened
            pass
        except OSError as error:
            os.close(file)
            say(f"{NO_LOCKS} ({folder}: {error.strerror})")
            return None
        os.close(file)
