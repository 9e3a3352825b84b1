"""Files that are either whole or not there."""

import contextlib
import os
import secrets
from pathlib import Path


def write_whole(path: Path, data: bytes | str) -> None:
    """Writes beside `path` and renames, so that a full disk or a kill leaves the former file as it was.

    Raises:
        OSError: naming the path, when it cannot be written; nothing is left behind.
    """
    content = data.encode() if isinstance(data, str) else data
    # Not `tempfile`: its files are closed to other users, and the rename would keep that.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        try:
            with beside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            with contextlib.suppress(OSError):
                beside.unlink()
            raise
    except OSError as error:
        raise OSError(error.errno, f"cannot write {path}: {error.strerror}") from None
