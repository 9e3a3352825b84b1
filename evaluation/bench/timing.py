"""How a benchmark is run: contenders take turns, on equal terms.

What is timed is first checked against the oracle, and not timed if it disagrees. Then
every contender runs twice to warm up, and then they take turns, A B C A B C, with the same number of threads,
until the benchmark's share of time is spent. A turn is one step, or, where a step is short, steps for 20 ms
and their median; the turn's first step, which meets the caches and the fragmented heap that another contender
left behind, is reported beside it as "first". On a GPU, phases are timed by its own events, and it is kept
busy before each step until the step is queued, so that a phase is what the GPU does and not what it waits
for; what the host needs to queue a step is reported beside it as "host": a training loop takes the longer of
the two. A ratio is taken within each round, and its median is reported, so that a machine that slows down for
a while slows both sides down. Every step makes a new graph and new gradients, and whatever a step makes is
kept until its clock has stopped. Garbage is collected between rounds.
"""

import gc
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor

TOTAL = "total"  # of a step's phases
FIRST = "first"  # the total of a turn's first step
HOST = "host"  # the host's time for a step that a GPU does
WARM_UPS = 2
FEWEST, MOST = 5, 100  # rounds
TURN = 0.02  # seconds that a turn lasts at least
HEAD_START = 10_000_000  # cycles that a GPU idles before a step, about 5 ms

Step = tuple[tuple[str, Callable[[Any], Any]], ...]
"""Named phases of one step, each timed by itself; a phase is given what the one before returned."""

Laps = dict[str, float]
"""Seconds of every phase."""

Turn = Callable[[Step], Laps]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Args:
        name: in tables and results.
        note: what it is, in words.
        make_step: makes its weights and inputs, untimed, and returns what one step does.
        facts: more for the results.
    """

    name: str
    note: str
    make_step: Callable[[], Step]
    facts: dict[str, Any] | None = None


@dataclass(frozen=True)
class Benchmark:
    """Contenders for the same work, ours first, and the check without which ours is not timed."""

    title: str
    note: str
    contenders: tuple[Contender, ...]
    check: Callable[[], None]
    share: float = 1.0  # of the usual time, for one of many points
    at: tuple[str, int] | None = None  # what was changed, and to what
    device: str = "cpu"  # whose clock counts: cpu; busy, seconds of all threads; cuda; process, see below
    work: tuple[int, str] | None = None  # what a step gets through, and of what, as in (20, "images")


def measure(benchmark: Benchmark, seconds: float) -> dict[str, Any]:
    """Checks, warms up, lets the contenders take turns, and sums up."""
    benchmark.check()
    steps = {contender.name: contender.make_step() for contender in benchmark.contenders}
    rounds = take_turns(steps, seconds, TURNS[benchmark.device])
    first = benchmark.contenders[0].name
    return {
        "title": benchmark.title,
        "note": benchmark.note,
        "rounds": len(rounds),
        **({"at": list(benchmark.at)} if benchmark.at else {}),
        "contenders": {
            contender.name: {
                "note": contender.note,
                **(contender.facts or {}),
                "milliseconds": {
                    phase: 1000 * median(laps[contender.name][phase] for laps in rounds)
                    for phase in rounds[0][contender.name]
                },
                "ratio": {
                    phase: median(laps[contender.name][phase] / laps[first][phase] for laps in rounds)
                    for phase in rounds[0][contender.name]
                },
                **rate_of(benchmark, [laps[contender.name] for laps in rounds]),
            }
            for contender in benchmark.contenders
        },
    }


def rate_of(benchmark: Benchmark, laps: Sequence[Laps]) -> dict[str, Any]:
    """How much of its work a contender gets through in a second, if that was said."""
    if not benchmark.work:
        return {}
    count, unit = benchmark.work
    return {"rate": [count / median(lap[TOTAL] for lap in laps), f"{unit}/s"]}


def take_turns(steps: dict[str, Step], seconds: float, turn: Turn | None = None) -> list[dict[str, Laps]]:
    """Seconds of every phase, by contender, in every round."""
    turn = turn or one_turn
    gc.collect()
    gc.freeze()  # what there is now need not be searched for garbage in every round
    try:
        started = 0.0
        for _ in range(WARM_UPS):
            started = time.perf_counter()
            one_round(steps, turn)
        count = int(seconds / (time.perf_counter() - started))
        return [one_round(steps, turn) for _ in range(min(max(count, FEWEST), MOST))]
    finally:
        gc.unfreeze()


def one_round(steps: dict[str, Step], turn: Turn) -> dict[str, Laps]:
    """Every contender's turn, without garbage collection in between."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        return {name: turn(step) for name, step in steps.items()}
    finally:
        if was_on:
            gc.enable()


def one_turn(step: Step, clock: Clock | None = None) -> Laps:
    """Seconds of every phase: of one step, or medians over as many short ones as fill a turn; and FIRST."""
    laps = [time_step(step, clock)]
    while sum(lap[TOTAL] for lap in laps) < TURN:
        laps.append(time_step(step, clock))
    return summary(laps)


def busy_turn(step: Step) -> Laps:
    """The same in seconds that all threads together compute, however busy the machine is."""
    return one_turn(step, time.process_time)


def summary(laps: Sequence[Laps]) -> Laps:
    """Medians over the steps of a turn, and FIRST."""
    return {**{phase: median(lap[phase] for lap in laps) for phase in laps[0]}, FIRST: laps[0][TOTAL]}


def queued_turn(step: Step) -> Laps:
    """The same on a GPU, by its own clock; and HOST."""
    torch.cuda.synchronize()
    marks: list[list[torch.cuda.Event]] = []
    hosts: list[float] = []
    started = time.perf_counter()
    while not marks or time.perf_counter() - started < TURN:
        torch.cuda._sleep(HEAD_START)
        queued = time.perf_counter()
        marks.append([mark()])
        result = None
        for _, phase in step:
            result = phase(result)
            marks[-1].append(mark())
        hosts.append(time.perf_counter() - queued)
    torch.cuda.synchronize()
    names = [name for name, _ in step]
    laps = [
        {
            **{name: a.elapsed_time(b) / 1000 for name, a, b in zip(names, row, row[1:], strict=False)},
            TOTAL: row[0].elapsed_time(row[-1]) / 1000,
            HOST: host,
        }
        for row, host in zip(marks, hosts, strict=True)
    ]
    return summary(laps)


def process_turn(step: Step) -> Laps:
    """Seconds of user time that the processes of one step take, however busy the machine is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    time_step(step)
    taken = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    return {**{name: taken for name, _ in step}, TOTAL: taken, FIRST: taken}


TURNS: dict[str, Turn] = {"cpu": one_turn, "busy": busy_turn, "cuda": queued_turn, "process": process_turn}


def mark() -> torch.cuda.Event:
    """The moment at which the GPU has done all that was asked of it so far."""
    event = torch.cuda.Event(enable_timing=True)
    event.record()  # type: ignore[no-untyped-call]
    return event


def time_step(step: Step, clock: Clock | None = None) -> Laps:
    """Seconds of every phase and of all together. Results are let go after the last clock has stopped."""
    clock = clock or time.perf_counter
    laps, kept = {}, [None]
    for name, phase in step:
        start = clock()
        kept.append(phase(kept[-1]))
        laps[name] = clock() - start
    return {**laps, TOTAL: sum(laps.values())}


def training(run: Callable[[], Tensor], leaves: Sequence[Tensor], grad: Tensor) -> Step:
    """Forward, and backward from a given gradient to new gradients of the leaves."""
    return ("forward", lambda _: run()), ("backward", lambda out: torch.autograd.grad(out, leaves, grad))


def inference(run: Callable[[], Any]) -> Step:
    """Forward without a graph."""
    return (("forward", torch.no_grad()(lambda _: run())),)
