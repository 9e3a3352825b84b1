"""Columns of one parquet, CSV or JSONL file: every failure one line.

CSV and JSONL are read by the standard library and not by pyarrow, because so an error names its line, a text
"42" or a label "001" stays a string, and a JSONL file may mix types.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from spikeseq.recipes.shared.errors import DataError, listed, quoted, shown
from spikeseq.recipes.shared.files import parquet
from spikeseq.recipes.shared.files.utf8 import decoded, lines, read_bytes

LONGEST_FIELD = 2**31 - 1  # characters, the most that the csv module takes on every system

Row = tuple[int, tuple[Any, ...]]  # line or row number, then the values of the columns asked for
Contents = tuple[str, Iterable[Row], list[str]]  # what the numbers count, the rows, the last column's classes


def _read_parquet(path: Path, columns: tuple[str, ...]) -> Contents:
    with parquet.opened(path) as file:
        schema = file.schema_arrow
        _check_columns(str(path), schema.names, columns)
        table = file.read(columns=list(columns))
    return (
        "row",
        _parquet_rows(path, columns, [table.column(name) for name in columns]),
        parquet.class_names(schema.metadata, columns[-1]),
    )


def _parquet_rows(path: Path, names: tuple[str, ...], columns: list[Any]) -> Iterator[Row]:
    for number, scalars in enumerate(zip(*columns, strict=True), start=1):
        where = f"{path}, row {number}"
        yield number, tuple(parquet.value(one, where, name) for name, one in zip(names, scalars, strict=True))


def _read_csv(path: Path, columns: tuple[str, ...]) -> Contents:
    return "line", _csv_rows(path, columns), []


def _csv_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    records = csv.reader(io.StringIO(decoded(read_bytes(path), str(path)), newline=""), strict=True)
    header: list[str] | None = None
    line = 1
    limit = csv.field_size_limit(LONGEST_FIELD)  # of the whole process, so it is put back
    try:
        for record in records:
            if header is None:
                header = record
                _check_columns(str(path), header, columns)
                wanted = [header.index(name) for name in columns]
            elif record and len(record) != len(header):
                names = quoted(header)
                raise DataError(f"{path}, line {line}: {len(record)} fields; expected {len(header)}: {names}")
            elif record:
                yield line, tuple(record[i] for i in wanted)
            line = records.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {line}: malformed CSV ({error}); expected quotes around texts"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _read_jsonl(path: Path, columns: tuple[str, ...]) -> Contents:
    return "line", _jsonl_rows(path, columns), []


def _jsonl_rows(path: Path, columns: tuple[str, ...]) -> Iterator[Row]:
    for line, content in enumerate(lines(io.BytesIO(read_bytes(path)), str(path)), start=1):
        if not content.strip():
            continue
        where = f"{path}, line {line}"
        try:
            record = json.loads(content, object_pairs_hook=_once)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{where}: malformed JSON ({error}) in {shown(content)}; expected one object"
            ) from None
        if not isinstance(record, dict):
            raise DataError(f"{where}: {shown(record)}; expected a JSON object with {listed(columns)}")
        _check_columns(where, list(record), columns)
        yield line, tuple(record[name] for name in columns)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError for a key that it has twice, of which `json` keeps the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {shown(next(name for name in names if names.count(name) > 1))} twice")
    return found


READERS: dict[str, Callable[[Path, tuple[str, ...]], Contents]] = {
    ".parquet": _read_parquet,
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
}


def _check_columns(where: str, present: Sequence[str], columns: Iterable[str]) -> None:
    for name in columns:
        if present.count(name) != 1:
            problem = "no column" if name not in present else "more than one column"
            raise DataError(
                f"{where}: {problem} {shown(name)}; the columns are {quoted(present)};"
                " data.text_column and data.label_column choose"
            )
