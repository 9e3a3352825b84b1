"""`docs/results/tables.yaml`: which figures the page of results shows, and what each rests on.

Its parts: `thesis`, tables with the thesis's figures; `ablations`, tables whose first row is what the others
change; `limits`, figures of a spiking model beside another's. A row has a `run` (and the table's `key` is
read of it), or a `figure` (an expression, `figures.py`), or `waits`, the reason why there is none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikeseq.evaluation.results.evidence import FORMAT, Evidence, EvidenceError
from spikeseq.evaluation.results.figures import Figure, figure

TABLES = "tables.yaml"
STATES = ("kept run", "earlier run", "not run")


@dataclass(frozen=True)
class Row:
    """A line of a table.

    Args:
        thesis: its figure; text where it has none; None in tables that are not the thesis's.
        ours: None where nothing was run.
        against: what ours is compared with: the thesis, the first row, the other model.
        note: what differs from the thesis's run, why there is none, or why a spiking model loses.
        digits: after the point.
    """

    what: str
    thesis: float | str | None
    ours: Figure | None
    against: float | None
    note: str
    digits: int
    other: Figure | None = None

    @property
    def difference(self) -> float | None:
        return None if self.ours is None or self.against is None else self.ours.value - self.against

    @property
    def state(self) -> str:
        """Of STATES: a row is no better than the worst that it rests on."""
        if self.ours is None:
            return "not run"
        rests = [*self.ours.evidence, *(self.other.evidence if self.other else ())]
        return "earlier run" if any(one.kind == "former" for one in rests) else "kept run"


@dataclass(frozen=True)
class Table:
    """Rows under a title; `says` stands above them, `unit` in the head.

    better: higher, lower, or "" where rows cannot be ranked.
    """

    title: str
    says: str
    unit: str
    rows: tuple[Row, ...]
    better: str = ""


@dataclass(frozen=True)
class Contents:
    """All that the page shows."""

    chapters: Mapping[str, tuple[Table, ...]]
    ablations: tuple[Table, ...]
    limits: Table


def read_tables(results: Path, known: Mapping[str, Evidence]) -> tuple[Contents, list[str]]:
    """The tables with their figures, and a line for every row that has none and does not say why.

    Raises:
        EvidenceError: the file cannot be read, or is of another form.
    """
    content = read_yaml(results / TABLES)
    faults: list[str] = []
    try:
        chapters: dict[str, tuple[Table, ...]] = {}
        for entry in content["thesis"]:
            chapters[entry["chapter"]] = (
                *chapters.get(entry["chapter"], ()),
                table(entry, known, faults),
            )
        ablations = tuple(ablation(entry, known, faults) for entry in content.get("ablations", ()))
        return Contents(chapters, ablations, limits(content["limits"], known, faults)), faults
    except (LookupError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{TABLES} is of another form: {type(error).__name__}: {error}") from None


def tied(results: Path) -> list[str]:
    """The pages on which every number in bold in a table is tied to a run."""
    return list(map(str, read_yaml(results / TABLES).get("tied", ())))


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file of FORMAT."""
    import yaml

    try:
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise EvidenceError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EvidenceError(f"{path.name} has no format {FORMAT}, which this version reads")
    return content


def table(entry: Mapping[str, Any], known: Mapping[str, Evidence], faults: list[str]) -> Table:
    """One of the thesis's."""
    rows = []
    for row in entry["rows"]:
        ours, digits = ours_of(row, entry, known, faults), row.get("digits", entry.get("digits", 2))
        for one in ours.evidence if ours else ():
            if one.kind == "run" and one.split != "test":
                faults.append(
                    f"{TABLES}: {entry['title']}: {row['what']}: {one.name} was read on {one.split}"
                )
        thesis, note = row["thesis"], row.get("waits") or row.get("differs", "")
        against = thesis if isinstance(thesis, int | float) else None
        rows.append(Row(str(row["what"]), thesis, ours, against, note, digits))
    return Table(
        entry["title"], entry.get("says", ""), entry.get("unit", ""), tuple(rows), entry.get("better", "")
    )


def ablation(entry: Mapping[str, Any], known: Mapping[str, Evidence], faults: list[str]) -> Table:
    """Rows beside the first of them."""
    found = [(row, ours_of(row, entry, known, faults)) for row in entry["rows"]]
    base = found[0][1].value if found[0][1] is not None else None
    rows = tuple(
        Row(str(row["what"]), None, ours, base if at else None, row.get("note", ""), entry.get("digits", 2))
        for at, (row, ours) in enumerate(found)
    )
    return Table(entry["title"], entry.get("says", ""), entry.get("unit", ""), rows, entry.get("better", ""))


def limits(entries: Any, known: Mapping[str, Evidence], faults: list[str]) -> Table:
    """Where a spiking model loses: its figure, the other's, and why."""
    rows = []
    for entry in entries:
        ours, against, other = ours_of(entry, {"title": "limits"}, known, faults), entry["other"], None
        if isinstance(against, str):
            other = ours_of({**entry, "figure": against}, {"title": "limits"}, known, faults)
            against = None if other is None else other.value
        rows.append(Row(str(entry["what"]), None, ours, against, entry["why"], entry.get("digits", 2), other))
    return Table("limits", "", "", tuple(rows))


def ours_of(
    row: Mapping[str, Any], table: Mapping[str, Any], known: Mapping[str, Evidence], faults: list[str]
) -> Figure | None:
    """A row's figure; a line into `faults` where it has none and says nothing."""
    where = f"{TABLES}: {table['title']}: {row['what']}"
    if "run" not in row and "figure" not in row:
        if not row.get("waits"):
            faults.append(f"{where}: no run, and no reason (waits) why there is none")
        return None
    text = row.get("figure", table.get("figure", "{RUN KEY}"))
    key = row.get("key", table.get("key", ""))
    text = text.replace("{RUN KEY}", f"{{RUN {key}}}").replace("{RUN ", f"{{{row.get('run')} ")
    try:
        return figure(text, known)
    except EvidenceError as error:
        faults.append(f"{where}: {error}")
        return None
