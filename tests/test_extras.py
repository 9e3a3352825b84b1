"""What the resolver says becomes the table of docs/installing.md. `make extras` runs the resolver itself."""

import importlib.util
import re
from importlib.metadata import metadata
from pathlib import Path
from subprocess import CompletedProcess

import pytest

ROOT = Path(__file__).resolve().parent.parent
SPEC = importlib.util.spec_from_file_location("extras", ROOT / ".ci" / "extras.py")
extras = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(extras)

GENSIM = """error: No solution found when resolving dependencies
  cause: Because gensim>=4.3.0 has no usable wheels and spikeseq depends on gensim>=4.3, we can
         conclude that your requirements are unsatisfiable."""
OLD = """error: No solution found when resolving dependencies
  cause: Because the requested Python version (>=3.10) does not satisfy Python>=3.11 and all versions of
         a depend on Python>=3.11, we can conclude that a cannot be used."""


def resolver(*said):
    """Answers in turn: what each says, lines if it resolves, and what it is to be asked without."""
    turns = iter(said)

    def ask(python, without):
        text, expected = next(turns)
        assert tuple(without) == expected
        resolves = text.endswith("\n")
        return CompletedProcess([], not resolves, text if resolves else "", "" if resolves else text)

    return ask


def test_names_are_read():
    found = extras.resolved(
        resolver(("numpy==2.5.5\ntyping-extensions==4.16.0\nruamel.yaml==1\n", ())), "3.12"
    )
    assert found == extras.Answer(frozenset({"numpy", "typing-extensions", "ruamel.yaml"}))


@pytest.mark.parametrize(
    "said",
    [
        GENSIM,
        "Because gensim==4.4.0 has no wheels with a matching\nPython ABI tag",
        "all of gensim have no usable wheels",
    ],
    ids=["usable", "matching", "all"],
)
def test_what_has_no_wheel_is_told_and_the_rest_counted(said):
    ask = resolver(
        (said, ()), (said.replace("gensim", "norse"), ("gensim",)), ("numpy==2\n", ("gensim", "norse"))
    )
    assert extras.resolved(ask, "3.14") == extras.Answer(frozenset({"numpy"}), ("gensim", "norse"))


def test_what_cannot_be_resolved_says_why():
    found = extras.resolved(resolver((OLD, ())), "3.10")
    wanted = (
        "the requested Python version (>=3.10) does not satisfy Python>=3.11 and all versions of a depend on"
    )
    assert not found.packages and found.refusal == f"{wanted} Python>=3.11"
    assert extras.resolved(resolver(("no network", ())), "3.10").refusal == "no network"


def test_the_same_package_twice_ends():
    assert extras.resolved(resolver((GENSIM, ()), (GENSIM, ("gensim",))), "3.14").refusal.startswith("gensim")


def test_rows_count_beyond_the_first():
    base = extras.Answer(frozenset({"torch", "numpy"}))
    found = {
        "none": {"3.10": base, "3.14": base},
        "`a`": {
            "3.10": extras.Answer(frozenset({"torch", "numpy", "x", "y"})),
            "3.14": extras.Answer(frozenset({"numpy", "x"}), ("y", "z")),
        },
        "`b`": {"3.10": extras.Answer(frozenset(), (), "too old"), "3.14": base},
    }
    assert extras.table(found).splitlines() == [
        "| | 3.10 | 3.14 |",
        "|---|---|---|",
        "| none | 2 | 2 |",
        "| `a` | 2 | 1, y and z from source |",
        "| `b` | no: too old | 0 |",
    ]


def test_the_page_has_a_row_for_every_extra_and_a_column_for_every_python():
    page = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
    rows = page.partition("<!-- begin extras -->")[2].partition("<!-- end extras -->")[0]
    assert f"| | {' | '.join(extras.PYTHONS)} |" in rows
    named = set(re.findall(r"^\| `?([^`|]+?)`? \|", rows, re.MULTILINE))
    assert named == {"none", *metadata("spikeseq").get_all("Provides-Extra"), *extras.APART}


def test_what_is_apart_is_what_the_makefile_installs_so():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"--no-deps {' '.join(repr(one) for one in extras.APART)}\n" in makefile
