"""The page of results as Markdown: figures in, text out."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from spikeseq.evaluation.results.evidence import Evidence
from spikeseq.evaluation.results.figures import Figure
from spikeseq.evaluation.results.tables import STATES, Contents, Row, Table

HEAD = """\
# What is reproduced, and what is not

<!-- Written by `spikeseq results` from tables.yaml and runs/; what is changed here by hand is lost. -->

Every figure of the thesis's tables (chapters 4 to 6), ours beside it, and what ours rests on:

- **a kept run**: the link leads to what its `metrics.json` says, the figure is read from there, and the
  commands give it again;
- *an earlier run*: its folder was not kept. The figure was copied from the page that the link leads to. The
  command repeats it; until somebody has done so, it cannot be checked;
- **not run**, and why.

`spikeseq results --check` fails when a figure here is not what the evidence gives, and `make test` runs it.
A difference is ours minus the thesis's. *n* is the number of seeds; of several the mean is shown, and the
range. DIR is the folder of the data. Seconds may hold other work on the same machine.
"""
ABLATIONS = """\
## What made the difference

One factor at a time, the same budget; the difference is to the first row of each table.
"""
LIMITS = """\
## Where a spiking model loses

Ours on the left; what is behind, by how much, and why.
"""
BESIDE = """\
## Kept runs that no table shows
"""


def page(contents: Contents, known: Mapping[str, Evidence]) -> str:
    """The whole page."""
    parts = [HEAD, summary(contents)]
    for chapter, tables in contents.chapters.items():
        parts += [f"## {chapter}\n", *(thesis_table(table) for table in tables)]
    parts += [ABLATIONS, *(ablation_table(table) for table in contents.ablations)]
    parts += [LIMITS, limits_table(contents.limits)]
    if beside := kept_beside(contents, known):
        parts += [BESIDE, beside]
    return "\n".join(parts).rstrip() + "\n"


def summary(contents: Contents) -> str:
    """A line for each of the thesis's tables."""
    lines = []
    total: Counter[str] = Counter()
    for tables in contents.chapters.values():
        for table in tables:
            counts = counted(table)
            total += counts
            lines.append(counts_line(f"[{table.title}](#{anchor(table.title)})", counts))
    lines.append(counts_line("**all**", total))
    head = [
        "table",
        "figures",
        "from a kept run",
        "from an earlier run",
        "not run",
        "as good as the thesis's, or better",
    ]
    kept, earlier = total["kept run"], total["earlier run"]
    beside = f"Ours stand beside {kept + earlier} of {kept + earlier + total['not run']} figures"
    said = f"{beside}: {kept} can be checked against a kept run, {earlier} wait to be run again."
    return f"## In a minute\n\n{said}\n\n" + markdown(head, lines)


def counted(table: Table) -> Counter[str]:
    """How many rows there are of each of STATES, and how many are no worse than the thesis's."""
    counts = Counter(row.state for row in table.rows if row.thesis != "")  # without rows that it has not
    if table.better:
        sign = {"higher": 1, "lower": -1}[table.better]
        compared = [sign * row.difference for row in table.rows if row.difference is not None]
        counts["compared"], counts["reached"] = len(compared), sum(difference >= 0 for difference in compared)
    return counts


def counts_line(name: str, counts: Counter[str]) -> list[str]:
    states = [counts[state] for state in STATES]
    reached = f"{counts['reached']} of {counts['compared']}" if counts["compared"] else ""
    return [name, *map(str, (sum(states), *states)), reached]


def thesis_table(table: Table) -> str:
    """One of the thesis's tables, and the commands below it."""
    head = [
        "",
        f"thesis{unit(table)}",
        "ours",
        "difference",
        "n",
        "rests on",
        "hardware",
        "training s",
        "what differs",
    ]
    rows = [
        [row.what, shown(row.thesis, row.digits), *ours(row), row.note]
        if row.ours
        else [row.what, shown(row.thesis, row.digits), f"**not run**: {row.note}", *[""] * 6]
        for row in table.rows
    ]
    columns = [at for at in range(len(head)) if at < 4 or any(line[at] for line in rows)]
    cut = [[line[at] for at in columns] for line in rows]
    return titled(table, markdown([head[at] for at in columns], cut))


def ablation_table(table: Table) -> str:
    head = ["change", f"figure{unit(table)}", "difference", "n", "rests on", "note"]
    rows = []
    for row in table.rows:
        value, difference, n, link = ours(row)[:4] if row.ours else ("**not run**", "", "", "")
        rows.append([row.what, value, difference, n, link, row.note])
    return titled(table, markdown(head, rows))


def limits_table(table: Table) -> str:
    head = ["what", "spiking", "the other", "difference", "rests on", "why"]
    rows = []
    for row in table.rows:
        value, difference, _, link = ours(row)[:4] if row.ours else ("**not run**", "", "", "")
        rests = "; ".join(dict.fromkeys(filter(None, (link, links(row.other) if row.other else ""))))
        rows.append([row.what, value, shown(row.against, row.digits), difference, rests, row.note])
    return markdown(head, rows)


def titled(table: Table, text: str) -> str:
    """A table under its title, with what is said of it and the commands of its runs."""
    said = f"{table.says.strip()}\n\n" if table.says else ""
    listed = commands(table.rows)
    block = f"\n```sh\n{listed}\n```\n" if listed else ""
    return f"### {table.title}\n\n{said}{text}{block}"


def ours(row: Row) -> list[str]:
    """Figure, difference, seeds, evidence, hardware, seconds."""
    assert row.ours is not None
    value = shown(row.ours.value, row.digits)
    if row.ours.seeds:
        value += f" ({shown(min(row.ours.seeds), row.digits)} to {shown(max(row.ours.seeds), row.digits)})"
    first = row.ours.evidence[0]
    count = len(row.ours.seeds) or 1
    n = (
        ""
        if first.kind == "bench"
        else str(count)
        if first.folds is None
        else f"{count}, {first.folds} folds"
    )
    return [
        value,
        "" if row.difference is None else f"{row.difference:+,.{row.digits}f}",
        n,
        links(row.ours),
        first.hardware,
        "" if first.seconds is None else f"{first.seconds:,.0f}",
    ]


def links(figure: Figure) -> str:
    """To what a figure rests on."""
    former = any(one.kind == "former" for one in figure.evidence)
    return "*earlier*: " * former + ", ".join(link(one) for one in figure.evidence)


def link(one: Evidence) -> str:
    if one.kind == "former":
        return f"[{one.name}]({one.files[0]})"
    listed = " ".join(f"[{at}]({file})" for at, file in enumerate(one.files[1:], start=2))
    return f"[{one.name}]({one.files[0]}){' ' if listed else ''}{listed}"


def commands(rows: Iterable[Row]) -> str:
    """Those of all runs of some rows, each once, under the name of its evidence."""
    found: dict[str, str] = {}
    for row in rows:
        for one in row.ours.evidence if row.ours else ():
            if one.commands:
                found[one.name] = "\n".join(dict.fromkeys(one.commands))
    shared: dict[str, list[str]] = {}  # names of one command
    for name, command in found.items():
        shared.setdefault(command, []).append(name)
    return "\n".join(f"# {', '.join(names)}\n{command}" for command, names in shared.items())


def kept_beside(contents: Contents, known: Mapping[str, Evidence]) -> str:
    """What is kept of runs and stands in no table."""
    tables = [
        *(t for tables in contents.chapters.values() for t in tables),
        *contents.ablations,
        contents.limits,
    ]
    figures = [f for table in tables for row in table.rows for f in (row.ours, row.other) if f is not None]
    shown_names = {one.name for found in figures for one in found.evidence}
    beside = [one for name, one in sorted(known.items()) if one.kind == "run" and name not in shown_names]
    rows = [[link(one), scores(one), one.split, str(len(one.seeds)), one.hardware,
             "" if one.seconds is None else f"{one.seconds:,.0f}"] for one in beside]  # fmt: skip
    if not rows:
        return ""
    listed = "\n".join(f"# {one.name}\n" + "\n".join(dict.fromkeys(one.commands)) for one in beside)
    return (
        markdown(["run", "figures", "of split", "n", "hardware", "training s"], rows)
        + f"\n```sh\n{listed}\n```\n"
    )


def scores(one: Evidence) -> str:
    """The numbers under "test", each the mean over seeds; and whether weights were rounded after training."""
    first = next(iter(one.seeds.values()))
    said = []
    for key, value in first.get("test", {}).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            numbers = one.values(f"test.{key}")
            said.append(f"{key} {sum(numbers) / len(numbers):,.2f}")
    rounded = f" (weights: {first['weights']})" if "weights" in first else ""
    return ", ".join(said) + rounded


# ---- Markdown


def shown(value: Any, digits: int) -> str:
    """A number with its digits, text as it is."""
    if value is None:
        return ""
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else str(value)


def unit(table: Table) -> str:
    return f", {table.unit}" if table.unit else ""


def anchor(title: str) -> str:
    """As GitHub names a heading: lower case, hyphens for spaces, no punctuation."""
    return "".join(c for c in title.lower().replace(" ", "-") if c.isalnum() or c in "-_")


def markdown(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
