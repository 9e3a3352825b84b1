"""The error of a file of data that cannot be used, and how its message shows values."""

from collections.abc import Iterable
from typing import Any


class DataError(ValueError):
    """Input that cannot be used. The message is one line: the file, the value, and what is expected."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


def listed(names: Iterable[str], most: int = 12) -> str:
    """The first `most` names, and how many more there are."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def check_one(folder: Any, names: Iterable[str]) -> None:
    """That one name stands for what is wanted once, as a split: of two, one would be missed by nobody.

    Raises:
        DataError: naming the folder and the first two names.
    """
    names = list(names)
    if len(names) > 1:
        raise DataError(f"{folder}: both {names[0]} and {names[1]}; expected one of the two")


def shown(value: Any, most: int = 40) -> str:
    """A value as Python writes it, in at most so many characters."""
    content = repr(value)
    return content if len(content) <= most else f"{content[: most - 3]}..."


def quoted(names: Iterable[str]) -> str:
    """As `listed`, in quotes, so that a space before a name can be seen."""
    return listed(map(shown, names))
