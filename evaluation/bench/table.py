"""Benchmark results as plain text."""

from typing import Any

from spikeseq.evaluation.bench.timing import FIRST, HOST, TOTAL


def format_table(result: dict[str, Any]) -> str:
    """The results as plain text."""
    machine = result["machine"]
    gpu = f"{machine['gpu']}, " if machine["gpu"] else ""
    lines = [
        f"{gpu}{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']};"
        " milliseconds (times ours)"
    ]
    for benchmark in result["benchmarks"]:
        lines += ["", f"{benchmark['title']}: {benchmark['note']}; {benchmark['rounds']} rounds"]
        lines += align(rows_of(benchmark["contenders"]))
        lines += [f"  {name}: {one['note']}" for name, one in benchmark["contenders"].items()]
    known = [goal for goal in result["goals"] if goal["measured"] is not None]
    lines += ["", *map(goal_line, known)]
    if others := len(result["goals"]) - len(known):
        lines.append(f"{others} other goals are of benchmarks or contenders that were not run")
    lines += [f"left out: {reason}" for reason in result["left_out"].values()]
    return "\n".join(lines)


def rows_of(contenders: dict[str, Any]) -> list[list[str]]:
    """Header and one row per contender."""
    phases = list(next(iter(contenders.values()))["milliseconds"])
    if len({*phases} - {TOTAL, FIRST, HOST}) == 1:  # it is the total
        phases.remove(TOTAL)
    cells = [
        [name, *(f"{one['milliseconds'][phase]:.2f} ({one['ratio'][phase]:.2f}x)" for phase in phases)]
        for name, one in contenders.items()
    ]
    if rates := [one["rate"] for one in contenders.values() if "rate" in one]:
        phases = [*phases, rates[0][1]]
        cells = [[*row, f"{rate:,.4g}"] for row, (rate, _) in zip(cells, rates, strict=True)]
    return [["", *phases], *cells]


def align(rows: list[list[str]]) -> list[str]:
    """Columns of equal width, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def goal_line(goal: dict[str, Any]) -> str:
    """A goal that something was measured for, and how it stands: its figure, and what it should be."""
    stands = {True: "met", False: "missed", None: "not decided"}[goal["met"]]
    unit = goal["unit"]
    if unit == "x":
        measured = f"{goal['against']} takes {goal['measured']:.2f} x our time"
    else:
        against = f" ({goal['against']})" if goal["against"] else ""
        measured = f"{goal['measured']:.2f} {unit.replace('_', ' ')}{against}"
    limit = f"at least {goal['at_least']:.2f}" if "at_least" in goal else f"at most {goal['at_most']:.2f}"
    return f"goal {stands}: {goal['goal']}: {measured}, {limit} wanted"
