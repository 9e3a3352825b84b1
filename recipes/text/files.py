"""Reading labelled texts from one parquet, CSV or JSONL file: every row checked, every failure one line.

CSV and JSONL are read by the standard library and not by pyarrow, because so an error names its line, a text
"42" or a label "001" stays a string, and a JSONL file may mix label types.
"""

import csv
import html
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikeseq.recipes.shared import parquet
from spikeseq.recipes.shared.errors import DataError, listed, quoted, shown
from spikeseq.recipes.shared.utf8 import decoded, lines, read_bytes

UNLABELLED = -1
LONGEST_FIELD = 2**31 - 1  # characters, the most that the csv module takes on every system
LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)

Row = tuple[int, tuple[Any, ...]]  # line or row number, then the text and, where asked for, the label
Contents = tuple[str, Iterable[Row], list[str]]  # what the numbers count, the rows, the classes' names


@dataclass
class Rows:
    """The checked rows of one file; a label is what the file says, `class_names` what its metadata adds."""

    origin: str
    texts: list[str] = field(default_factory=list)
    labels: list[int | str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    class_names: list[str] = field(default_factory=list)


def clean(text: str) -> str:
    """HTML entities unescaped, `<br />` and every run of white space made one space, none at the ends."""
    return " ".join(LINE_BREAK.sub(" ", html.unescape(text)).split())


def read(path: Path, columns: tuple[str, ...]) -> Rows:
    """The rows of one file; with the text column alone, all of them are texts without a label."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise DataError(f"{path}: unknown extension {path.suffix!r}; expected one of {listed(READERS)}")
    unit, rows, class_names = reader(path, columns)
    result = checked(str(path), unit, rows, class_names)
    if not result.texts and not result.unlabelled:
        raise DataError(f"{path}: holds no rows; expected rows with {listed(columns)}")
    return result


def checked(origin: str, unit: str, rows: Iterable[Row], class_names: list[str]) -> Rows:
    """Rows of (number, (text, label)) or (number, (text,)), checked and cleaned."""
    result = Rows(origin, class_names=class_names)
    for number, values in rows:
        where = f"{origin}, {unit} {number}"
        text = _text(values[0], where)
        label = _label(values[1], where) if len(values) > 1 else UNLABELLED
        if label == UNLABELLED:
            result.unlabelled.append(text)
        else:
            result.texts.append(text)
            result.labels.append(label)
    return result


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        found = "null" if value is None else f"{shown(value)}, of type {type(value).__name__}"
        raise DataError(f"{where}: the text is {found}; expected a string")
    text = clean(value)
    if not text:
        raise DataError(f"{where}: the text is {shown(value)}; expected at least one word")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise DataError(f"{where}: the text holds half of a surrogate pair; expected Unicode text")
    return text


def _label(value: Any, where: str) -> int | str:
    """An int where it is one, also written "1" or (by pandas, beside gaps) 1.0 or "1.0"; else a string."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return value
        case float() if value.is_integer():
            return int(value)
        case str() if label := value.strip():
            number = re.fullmatch(r"(0|-?[1-9][0-9]{0,17})(\.0)?", label)
            return int(number[1]) if number else label
    found = "null" if value is None else shown(value)
    raise DataError(
        f"{where}: the label is {found}; expected an integer or a string, -1 for an unlabelled text"
    )


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
