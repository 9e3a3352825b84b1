"""Data-parallel training by arithmetic: what an all-reduce of gradients carries and how long it takes.

    python -m spikeseq.evaluation.scaling [--write docs/scaling.md]

measures the tables of that page (`spikeseq bench scaling`).
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from spikeseq.evaluation.pages import between
from spikeseq.files import write_whole


class Expected(NamedTuple):
    """A step of data-parallel training by arithmetic; seconds, and shares of the speed of one process.

    sent: bytes that each process sends, and receives, in a step.
    reduce: seconds of the all-reduce.
    hidden, bare: sequences a second in each process, of one process's alone, where the backward pass hides
        all of the all-reduce that it can, and where it hides nothing. The truth is between.
    """

    sent: float
    reduce: float
    hidden: float
    bare: float


def expected(
    gradients: int, seconds: float, processes: int, bandwidth: float, latency: float = 0.0
) -> Expected:
    """What a network lets expect, with an all-reduce in a ring (Patarasuk and Yuan, 2009).

    Args:
        gradients: bytes, as `gradient_bytes` gives them.
        seconds: a step of one process alone, with the batch of one process.
        processes: 1 or more, one to a node of the network.
        bandwidth: bytes a second that a node can send while it receives as many: 1.25e9 for 10 Gbit/s.
        latency: seconds until a message of no length is there; a ring has 2 (processes - 1) after each other.
    Raises:
        ValueError: a number that is too small.
    """
    for name, value, least in (
        ("gradients", gradients, 0),
        ("processes", processes, 1),
        ("latency", latency, 0),
    ):
        if not value >= least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    for name, value in (("seconds", seconds), ("bandwidth", bandwidth)):
        if not value > 0:
            raise ValueError(f"{name} is {value}; it must be more than 0")
    sent = 2 * (processes - 1) / processes * gradients
    reduce = sent / bandwidth + 2 * (processes - 1) * latency
    return Expected(sent, reduce, min(1.0, seconds / reduce) if reduce else 1.0, seconds / (seconds + reduce))


# --- The page

Rows = Sequence[dict[str, Any]]
"""Contenders of each benchmark of `spikeseq bench scaling`, by name."""


def page(result: dict[str, Any]) -> dict[str, str]:
    """The tables of docs/scaling.md by the names of their marks, from what `spikeseq bench scaling` gives."""
    rows = [one["contenders"] for one in result["benchmarks"]]
    models = [list(group) for _, group in groupby(rows, lambda row: row["spikeseq"]["work"]["model"])]
    machine = result["machine"]
    where = f"{machine['cpu']}, torch {machine['torch']}, one thread in each process, {date.today()}."
    return {
        "bytes": bytes_table([model[0]["spikeseq"] for model in models]),
        "steps": "\n\n".join([steps_table(rows), where, *map(saturation, models)]),
    }


def bytes_table(models: Rows) -> str:
    """A row for each model."""
    lines = ["| model | parameters trained | bytes a step | in embeddings |", "|---|---|---|---|"]
    for one in models:
        share = one["embedding_bytes"] / one["bytes"]
        lines.append(
            f"| {one['work']['model']} | {one['parameters']:,} | {one['bytes']:,} | {100 * share:.1f} % |"
        )
    return "\n".join(lines)


def steps_table(rows: Rows) -> str:
    """A row for each model and batch: medians, and ratios that were taken within each round."""
    heads = ["model", "batch of each", "one process, ms", "steps/s", "two, ms", "all-reduce alone, ms"]
    heads += ["of a step of one", "sequences/s, two of one"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        work = row["spikeseq"]["work"]
        one, two, reduce = (row[name]["milliseconds"]["total"] for name in ("spikeseq", "two", "all-reduce"))
        share, slower = (row[name]["ratio"]["total"] for name in ("all-reduce", "two"))
        times = f"{one:,.1f} | {1000 / one:,.1f} | {two:,.1f} | {reduce:,.2f}"
        lines.append(
            f"| {work['model']} | {work['batch']} | {times} | {100 * share:.1f} % | {2 / slower:.2f} x |"
        )
    return "\n".join(lines)


def saturation(rows: Rows) -> str:
    """Where sequences a second stop growing: the least batch that gets nine tenths of the most."""
    rates = {}
    for row in rows:
        batch = row["spikeseq"]["work"]["batch"]
        rates[batch] = 1000 * batch / row["spikeseq"]["milliseconds"]["total"]
    least = min(batch for batch, rate in rates.items() if rate >= 0.9 * max(rates.values()))
    name = rows[0]["spikeseq"]["work"]["model"]
    told = ", ".join(f"{rate:,.0f} at batch {batch}" for batch, rate in rates.items())
    end = f"; nine tenths of the most are reached at {least}" if len(rates) > 1 else ""
    return f"{name}, one process: {told} sequences a second{end}."


def main() -> None:
    from spikeseq.evaluation.bench.run import run_bench

    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python -m spikeseq.evaluation.scaling", description=about)
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this page")
    given = parser.parse_args()
    found = page(run_bench(["scaling"], [], lambda line: print(line, file=sys.stderr)))
    if given.write is None:
        print("\n\n".join(found.values()))
        return
    text = given.write.read_text(encoding="utf-8")
    for name, content in found.items():
        text = between(text, name, content)
    write_whole(given.write, text)
    print(f"wrote {given.write}", file=sys.stderr)


if __name__ == "__main__":
    main()
