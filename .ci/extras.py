"""What each extra installs on each Python: `python .ci/extras.py --uv UV [--write PAGE]` (`make extras`).

Run by the Python of an environment that has spikeseq. uv resolves for Pythons that are not installed, for
Linux on x86-64, from wheels alone; it reads what packages say of themselves and fetches none. A package
without a wheel is left out, with what it would bring, and told by its name.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from importlib.metadata import metadata
from pathlib import Path
from typing import NamedTuple

from spikeseq.evaluation.pages import between
from spikeseq.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORM = "x86_64-manylinux_2_28"
APART = ("neurobench>=2.3", "snntorch>=1.0", "tonic>=1.7")
"""What the Makefile installs with --no-deps. They are asked about with all that they name."""
NO_WHEEL = re.compile(r"\b([a-z][a-z0-9-]*)\S* ha(?:s|ve) no (?:usable )?wheels", re.IGNORECASE)


class Answer(NamedTuple):
    """Names of what would be installed; of what has no wheel; or why there is no answer."""

    packages: frozenset[str]
    sources: tuple[str, ...] = ()
    refusal: str | None = None


Said = subprocess.CompletedProcess[str]
Ask = Callable[[str, Sequence[str]], Said]
"""Resolves for a Python, without some packages."""


def resolved(ask: Ask, python: str) -> Answer:
    """Asks again without each package that has no wheel, until there is an answer."""
    sources: tuple[str, ...] = ()
    while True:
        said = ask(python, sources)
        if said.returncode == 0:
            return Answer(frozenset(re.findall(r"^([\w.-]+)==", said.stdout, re.MULTILINE)), sources)
        words = " ".join(said.stderr.split())
        found = NO_WHEEL.search(words)
        if found is None or found[1] in sources:
            return Answer(frozenset(), sources, cause(words))
        sources += (found[1],)


def cause(words: str) -> str:
    """The first cause that the resolver gives, or its last words."""
    _, _, first = words.partition("Because ")
    return first.partition(", we can conclude")[0][:200] or words[-200:]


def cell(answer: Answer, base: frozenset[str]) -> str:
    """How many packages beyond those of `base`, or why none."""
    if answer.refusal is not None:
        return f"no: {answer.refusal}"
    count = str(len(answer.packages - base))
    return f"{count}, {' and '.join(answer.sources)} from source" if answer.sources else count


def table(found: Mapping[str, Mapping[str, Answer]]) -> str:
    """A row for each thing that was asked for, a column for each Python. The rows count beyond the first."""
    first, *_ = found
    pythons = list(found[first])
    lines = [f"| | {' | '.join(pythons)} |", "|---" * (len(pythons) + 1) + "|"]
    for name, answers in found.items():
        cells = [
            cell(answers[one], frozenset() if name == first else found[first][one].packages)
            for one in pythons
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def asking(uv: Path, given: Sequence[str], requirements: str = "") -> Ask:
    """uv with arguments that say what to resolve, "-" for lines of requirements."""

    def ask(python: str, without: Sequence[str]) -> Said:
        command = ["pip", "compile", *given, "--python-version", python, "--python-platform", PLATFORM]
        options = ["--only-binary", ":all:", "--no-python-downloads", "--no-annotate", "--no-header"]
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
            overrides.writelines(f'{name}; python_version < "3"\n' for name in without)
            overrides.flush()
            return subprocess.run(
                [uv, *command, *options, "--override", overrides.name],
                input=requirements, capture_output=True, text=True, cwd=ROOT,
            )  # fmt: skip

    return ask


def main() -> None:
    about = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(prog="python .ci/extras.py", description=about)
    parser.add_argument("--uv", type=Path, required=True, help="the resolver's program")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    given = parser.parse_args()
    extras = metadata("spikeseq").get_all("Provides-Extra") or []
    asked = {
        "none": asking(given.uv, ["pyproject.toml"]),
        **{f"`{extra}`": asking(given.uv, ["pyproject.toml", "--extra", extra]) for extra in extras},
        **{f"`{one}`": asking(given.uv, ["-"], one) for one in APART},
    }
    found: dict[str, dict[str, Answer]] = {}
    with ThreadPoolExecutor(len(PYTHONS)) as pool:  # which wait for the index, mostly
        for row, ask in asked.items():
            found[row] = dict(zip(PYTHONS, pool.map(partial(resolved, ask), PYTHONS), strict=True))
            print(f"{row} {' '.join(str(len(one.packages)) for one in found[row].values())}", file=sys.stderr)
    content = f"{table(found)}\n\nAsked on {date.today()}."
    if given.write is None:
        print(content)
    else:
        write_whole(given.write, between(given.write.read_text(encoding="utf-8"), "extras", content))
        print(f"wrote {given.write}", file=sys.stderr)


if __name__ == "__main__":
    main()
