"""What commands print: results on standard output, everything for people on standard error."""

import json
import sys
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spikeseq.recipes.outputs import check_output

if TYPE_CHECKING:
    from rich.console import Console


@cache
def people() -> "Console":
    """Where tables and bars are drawn; imported late, so that commands which only answer start sooner."""
    from rich.console import Console

    return Console(stderr=True)


def emit(result: Any) -> None:
    """One JSON object on standard output."""
    print(json.dumps(result))


def say(text: str) -> None:
    """A line for people."""
    print(f"spikeseq: {text.removeprefix('spikeseq: ')}", file=sys.stderr, flush=True)


def show_runs(rows: list[dict[str, Any]], title: str) -> None:
    """The comparison table that a training ends with, one for each recipe among the runs.

    Runs whose models look alike are told apart by the names of their folders, `run`.
    """
    from spikeseq.recipes.registry import RECIPES

    for name in dict.fromkeys(row["recipe"] for row in rows):
        recipe, own = RECIPES[name], [row for row in rows if row["recipe"] == name]
        lines = [recipe.row(row) for row in own]
        models = Counter(line["model"] for line in lines)
        for row, line in zip(own, lines, strict=True):
            if models[line["model"]] > 1:
                line["model"] = row["run"].removeprefix(f"{name}-")
        show_table(lines, title)
        people().print(recipe.legend, highlight=False)


def show_table(lines: list[dict[str, str]], title: str) -> None:
    """Lines with the same columns, the first of them a name."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    for number, column in enumerate(lines[0]):  # short names: in 80 columns
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    for line in lines:
        table.add_row(*line.values())
    people().print(table)


def check_picture(option: str, path: Path, reads: Iterable[str | Path | None] = ()) -> None:
    """Raises ValueError for a file whose suffix names no picture; else as `check_output`."""
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise ValueError(f"{option} takes a .png, .pdf or .svg file, got {path}")
    check_output(path, reads)
