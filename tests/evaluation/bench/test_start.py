"""Starts are whole processes, counted in user time."""

import sys

import pytest

from spikeseq.evaluation.bench import goals, start, timing


def test_user_time_of_processes_is_counted():
    busy = start.python_step("for i in range(4_000_000): pass")
    idle = start.python_step("import time; time.sleep(0.1)")
    assert timing.process_turn(busy)["total"] > timing.process_turn(idle)["total"] > 0


def test_what_fails_is_not_timed():
    with pytest.raises(RuntimeError, match=r"exit\(3\).*status 3"):
        timing.process_turn(start.python_step("exit(3)"))


def test_benchmarks_of_imports_and_commands():
    made = list(zip(range(4), start.start_benchmarks(["torch"]), strict=False))
    assert [one.title for _, one in made] == ["start import", "start import all", "start help", "start info"]
    assert {contender.name for _, one in made for contender in one.contenders} == {"spikeseq", "torch"}


@pytest.mark.parametrize(("taken", "met"), [(2400.0, True), (2600.0, False)])
def test_a_goal_beyond_a_peer(taken, met):
    goal = goals.Goal("info", "start info", ("torch",), beyond=0.5)
    times = {"spikeseq": taken, "torch": 2000.0}
    contenders = {
        name: {"milliseconds": {"total": value}, "ratio": {"total": 1.0}} for name, value in times.items()
    }
    judged = goals.judge(goal, [{"title": "start info", "contenders": contenders}])
    assert judged["met"] is met and judged["unit"] == "s" and judged["at_most"] == 0.5
    assert judged["measured"] == pytest.approx(taken / 1000 - 2)


def test_the_interpreter_is_this_one():
    ((_, run),) = start.python_step(f"import sys; assert sys.executable == {sys.executable!r}")
    run(None)
