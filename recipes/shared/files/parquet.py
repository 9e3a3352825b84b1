"""Reading parquet files: whatever is wrong with one is one line that names it."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from spikeseq.recipes.shared.errors import DataError, check_one, quoted, shown

PIECE = re.compile(r"(?P<name>.+)-(?P<number>\d+)-of-(?P<count>\d+)(-[0-9a-f]+)?\.parquet")
"""One of several files of a table, as the hub names them: train-00000-of-00002.parquet."""


def check_whole(files: Iterable[Path]) -> None:
    """That of a table in several files none is missing, as after a download that broke off, and none double.

    Raises:
        DataError: naming one that is there, or two of one number, as of two versions.
    """
    tables = defaultdict[tuple[str, int], dict[int, list[Path]]](lambda: defaultdict(list))
    for path in files:
        if found := PIECE.fullmatch(path.name):
            tables[found["name"], int(found["count"])][int(found["number"])].append(path)
    for (_, count), pieces in tables.items():
        for paths in pieces.values():
            check_one(paths[0].parent, [path.name for path in paths])
        path = next(iter(pieces.values()))[0]
        if len(pieces) != count:
            where = f"{len(pieces)} of them in {path.parent}"
            raise DataError(f"{path}: {where}; expected {count}, as its name says")


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The `pyarrow.parquet.ParquetFile`.

    Raises:
        DataError: pyarrow is missing, the file is not there, no parquet file, or damaged, here or while it
            is read inside.
    """
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise DataError(f"{path}: pyarrow is missing ({error}); pip install 'spikeseq[recipes]'") from None
    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (ArrowException, OSError, UnicodeDecodeError) as error:  # names of columns may be any bytes
        raise DataError(f"{path}: not a readable parquet file ({shown(str(error), 120)})") from None


def value(scalar: Any, where: str, column: str) -> Any:
    """What Python has for a scalar of pyarrow.

    Raises:
        DataError: a string that is not UTF-8, or a value that Python has nothing for, such as a date of the
            year 300,000.
    """
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: byte {error.start} of {shown(error.object)} is not UTF-8") from None
    except (ArithmeticError, ValueError, TypeError, NotImplementedError) as error:
        kind = f"column {shown(column)} holds {scalar.type}"
        raise DataError(f"{where}: {kind}, of which a value cannot be read ({error})") from None


def class_names(metadata: dict[bytes, bytes] | None, column: str) -> list[str]:
    """The names that `datasets` stores for a ClassLabel column, or none."""
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"][column]["names"]
    except (KeyError, TypeError, ValueError, RecursionError):
        return []
    return [str(name) for name in names] if isinstance(names, list) else []


def column_of(where: str, present: Sequence[str], accepted: Sequence[str]) -> str:
    """The first of the accepted columns that is there, once."""
    found = [name for name in accepted if name in present]
    if not found or present.count(found[0]) > 1:
        missing = " or ".join(map(shown, accepted))
        problem = f"more than one column {shown(found[0])}" if found else f"no column {missing}"
        raise DataError(f"{where}: {problem}; the columns are {quoted(present)}")
    return found[0]
