"""Reading labelled texts from one table: every row checked, every failure one line."""

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spikeseq.recipes.shared.errors import DataError, listed, shown
from spikeseq.recipes.shared.files.tables import READERS, Row

UNLABELLED = -1
LINE_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)


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
