"""The page of results, written or checked. Nothing here needs torch."""

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path

from spikeseq.evaluation.results.evidence import FORMER, RUNS, Evidence, EvidenceError, read_evidence
from spikeseq.evaluation.results.marks import NUMBER, check_marks, untied
from spikeseq.evaluation.results.page import page
from spikeseq.evaluation.results.tables import TABLES, read_tables, tied

PAGE, RESULTS = "README.md", Path("docs/results")


def built(root: Path) -> tuple[str, list[str]]:
    """The page that the evidence gives, and what is wrong with the evidence, a line each.

    Raises:
        EvidenceError: there are no results here, or their tables cannot be read.
    """
    results = results_of(root)
    known, faults = read_evidence(results)
    contents, missing = read_tables(results, known)
    return page(contents, known), faults + missing


def results_of(root: Path) -> Path:
    """The folder of results of a copy of the project."""
    results = root / RESULTS
    if not results.is_dir():
        raise EvidenceError(
            f"there is no folder {results}; run it in a copy of the project, or name one by --root"
        )
    return results


def check(root: Path) -> list[str]:
    """All that is wrong with the page, the evidence and the figures that are tied to it, a line each."""
    results = results_of(root)
    try:
        text, faults = built(root)
    except EvidenceError as error:
        return [str(error)]
    written = results / PAGE
    try:
        if written.read_text(encoding="utf-8") != text:
            faults.append(f"{RESULTS / PAGE} is not what the evidence gives; run `spikeseq results`")
    except (OSError, ValueError) as error:
        faults.append(f"{RESULTS / PAGE} cannot be read: {error}")
    known, _ = read_evidence(results)
    for path in [root / PAGE, *sorted(results.glob("*.md"))]:
        faults += check_marks(path, str(path.relative_to(root)), known)
    for name in tied(results):
        try:
            faults += untied(results / name, str(RESULTS / name))
        except (OSError, ValueError) as error:
            faults.append(f"{TABLES}: tied: {name} cannot be read: {error}")
    return [*faults, *copied(results, known)]


def copied(results: Path, known: Mapping[str, Evidence]) -> Iterator[str]:
    """A line for every figure of a former run that no longer stands on a page that it was copied from.

    Pages have thousands and millions of what `metrics.json` has (nJ, uJ, M).
    """
    pages: dict[str, set[Decimal]] = {}
    for name, one in known.items():
        if one.kind != "former":
            continue
        stand: set[Decimal] = set()
        for file in one.files:
            if file not in pages:
                try:
                    pages[file] = numbers_of((results / file).read_text(encoding="utf-8"))
                except (OSError, ValueError) as error:
                    yield f"{RUNS}/{FORMER}: {name}: {file} cannot be read: {error}"
                    pages[file] = set()
            stand |= pages[file]
        for key, number in numbers([*one.seeds.values()]):
            exact = abs(Decimal(repr(number)))
            if not any(exact.scaleb(-power) in stand for power in (0, 3, 6)):
                yield f"{RUNS}/{FORMER}: {name}: {key}: {number} does not stand on {' or '.join(one.files)}"


def numbers_of(page: str) -> set[Decimal]:
    """All numbers on a page, without signs."""
    text = re.sub(r"<!--.*?-->", "", page, flags=re.DOTALL)
    return {Decimal(number.replace(",", "")).copy_abs() for number in NUMBER.findall(text)}


def numbers(figures: object, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers of nested figures, and the keys of each."""
    if isinstance(figures, list):
        for value in figures:
            yield from numbers(value, key)
    elif isinstance(figures, Mapping):
        for name, value in figures.items():
            yield from numbers(value, f"{key}.{name}".lstrip("."))
    elif isinstance(figures, int | float):
        yield key, figures
