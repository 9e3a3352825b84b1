"""What becomes of lines that are given to commands: judged, and put into a table."""

import sys

import pytest

from spikeseq.evaluation.reliability.filters import ODD, Load, sentences, streamed, table, under_load, wrong

ECHO = [sys.executable, "-c", "import sys\nfor line in sys.stdin.buffer: print(len(line), flush=True)"]
SUM = [sys.executable, "-c", "import sys; print(len(sys.stdin.buffer.read())); x = b'x' * (80 << 20)"]


def test_a_line_for_a_line_is_right_and_another_number_is_wrong():
    found = under_load("echo", ECHO, ODD, ended=False)
    assert found[:5] == ("echo", len(ODD), len(ODD), 0, "") and wrong(found) is None
    found = under_load("sum", SUM, sentences(50))
    assert wrong(found) == "sum: 1 of 50 lines, status 0, " and found.seconds > 0 and found.memory > 80 << 20
    assert f"| sum | 50 | 1 | 0 s | {found.memory / 1e6:,.0f} MB |" in table([found])


@pytest.mark.parametrize(
    ("given", "right"),
    [
        ((3, 3, 0, ""), True),
        ((1, 0, 2, "spikeseq: 59,318 tokens; expected at most 2,000"), True),
        ((3, 1, 2, "spikeseq: 59,318 tokens; expected at most 2,000"), False),
        ((3, 3, 0, "a warning"), False),
        ((3, 2, 0, ""), False),
        ((3, 0, 1, "Traceback\nat most"), False),
    ],
)
def test_what_is_right(given, right):
    assert (wrong(Load("some", *given, 1.0, 10**6)) is None) == right


def test_who_waits_for_all_lines_answers_none_at_once():
    assert streamed(ECHO, [b"one", b"two"])[0] == 2
    with_reader = "import os, sys; print(1, flush=True); sys.stdin.buffer.read(); print(2)"
    answered, status, told = streamed([sys.executable, "-c", with_reader], [b"one"])
    assert answered == 1 and status and "BrokenPipe" in told  # nothing of it is hidden
