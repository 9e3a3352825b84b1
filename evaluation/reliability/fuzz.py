"""All targets, some cases of each, and the table of what became of them."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from spikeseq.evaluation.reliability.cases import FAULTS, OUTCOMES, Target, many


class Case(NamedTuple):
    """A damaged file: its number, what came of it (one of OUTCOMES), the file, and what was said."""

    seed: int
    outcome: str
    file: str
    told: str


MEANINGS = {
    "refused": "one line that names the file",
    "same": "what the whole file gives",
    "other": "other data, which nothing tells from what was meant",
    "silent": "another answer of a file that says what it is",
    "raw": "an error that is not ours, or does not name the file",
    "ended": "the process ended",
    "hang": "longer than the limit",
    "memory": "more memory than the limit",
    "code": "code of the file ran",
}


def fuzz(
    targets: Iterable[Target], cases: int, work: Path, *, seed: int = 0, say: Callable[[str], None] = print
) -> dict[str, list[Case]]:
    """As many cases of each target, `cases` in all or a few more, by target."""
    targets, found = list(targets), {}
    each = -(-cases // len(targets))
    for target in targets:
        folder = shutil.copytree(target.folder, work)
        mine: list[Case] = []
        many(target, folder, list(range(seed, seed + each)), lambda one, mine=mine: mine.append(Case(*one)))  # type: ignore[misc]
        shutil.rmtree(folder)
        found[target.name] = mine
        counts = Counter(case.outcome for case in mine)
        say(f"{target.name}: " + ", ".join(f"{counts[name]} {name}" for name in OUTCOMES if counts[name]))
    return found


def faults(found: dict[str, list[Case]]) -> list[str]:
    """A line for each case that is wrong."""
    return [
        f"{target}, case {case.seed}, {case.file}: {case.outcome}: {case.told}"
        for target, cases in found.items()
        for case in cases
        if case.outcome in FAULTS
    ]


def table(found: dict[str, list[Case]]) -> str:
    """For the page: a row for each target, a column for each outcome that came or must not come."""
    columns = ["refused", "same", "other"]
    lines = ["| damaged | cases | refused | same | other | wrong |", "|---|--:|--:|--:|--:|--:|"]
    total: Counter[str] = Counter()
    for target, cases in found.items():
        counts = Counter(case.outcome for case in cases)
        total += counts
        lines.append(row(target, counts, columns))
    lines.append(row("all", total, columns))
    meant = "; ".join(f"{name}: {MEANINGS[name]}" for name in columns)
    wrong = "; ".join(f"{total[name]} {MEANINGS[name]}" for name in FAULTS)
    return "\n".join([*lines, "", f"{meant[0].upper()}{meant[1:]}. Wrong: {wrong}."])


def row(name: str, counts: Counter[str], columns: list[str]) -> str:
    values = [sum(counts.values()), *(counts[one] for one in columns), sum(counts[one] for one in FAULTS)]
    return f"| {name} | {' | '.join(f'{value:,}' for value in values)} |"
