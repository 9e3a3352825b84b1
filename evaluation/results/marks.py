"""Figures on other pages that are tied to what they rest on: by a comment behind them, which no reader sees.

    | spiking | 90.20 %<!-- = {imdb-snn test.accuracy} --> |

The number before the mark is what the expression gives, rounded to as many digits as are written.
"""

import re
from collections.abc import Iterator, Mapping
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from spikeseq.evaluation.results.evidence import Evidence, EvidenceError
from spikeseq.evaluation.results.figures import figure

BOLD = re.compile(r"\*\*(?P<number>-?\d[\d,.]*)\*\*(?!<!-- = )")
MARK = re.compile(r"<!-- = (?P<what>.*?) -->")
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def marked(text: str) -> Iterator[tuple[int, str | None, str]]:
    """Line, number before the mark (None: there is none), and expression, of every mark on a page."""
    for at, line in enumerate(text.splitlines(), start=1):
        start = 0
        for mark in MARK.finditer(line):
            numbers = NUMBER.findall(line[start : mark.start()])
            yield at, numbers[-1] if numbers else None, mark["what"]
            start = mark.end()


def check_marks(page: Path, name: str, known: Mapping[str, Evidence]) -> Iterator[str]:
    """A line for every marked figure that its evidence does not give."""
    try:
        text = page.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        yield f"{name} cannot be read: {' '.join(str(error).split())}"
        return
    for line, written, what in marked(text):
        if written is None:
            yield f"{name}:{line}: no number stands before the mark of {what}"
            continue
        try:
            value = figure(what, known).value
        except EvidenceError as error:
            yield f"{name}:{line}: {written}: {error}"
            continue
        if not agrees(written, value):
            yield f"{name}:{line}: {written} is {rounded(value, digits(written)):,} by {what}"


def untied(page: Path, name: str) -> Iterator[str]:
    """A line for every number in bold in a table that no mark ties to anything."""
    for at, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        if line.lstrip().startswith("|"):
            for found in BOLD.finditer(line):
                yield f"{name}:{at}: {found['number']} stands in bold without a run (CONTRIBUTING.md)"


def agrees(written: str, value: float) -> bool:
    """Whether a number as it is written is the value, rounded; what ends in 5 may go either way."""
    step = Decimal(1).scaleb(-digits(written))
    return abs(Decimal(written.replace(",", "")) - Decimal(repr(value))) <= step / 2


def digits(written: str) -> int:
    """After the point."""
    return len(written.partition(".")[2])


def rounded(value: float, places: int) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)
