"""Two versions of the library against each other: the same steps in two environments, taking turns.

    python -m spikeseq.evaluation.bench.versions OLD/bin/python NEW/bin/python [NAME ...] [--shared]

Each environment gets a process of its own, which makes the benchmarks of its own version. The processes take
turns, one computes while the other waits, and a ratio is taken within each round, so that a machine that
slows down for a while slows both down. It ends with status 1 if a median is more than 5 % slower.

With `--shared`, for a machine that others use too, steps have one thread, and what counts is the time that
the processor gave them, not the time that they waited for it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

NAMES = ("lif", "layer", "recurrent", "model", "step", "translate", "events")
SLOWER = 1.05
FEWEST, MOST = 7, 200  # rounds
WARM_UPS = 2
# Runs in either version, so it knows the folders of both, and times by itself.
WORKER = """
import gc, json, sys, time
from statistics import median
try:
    from spikeseq.evaluation.bench.run import FAMILIES, Sizes
except ImportError:
    from spikeseq.evaluation.bench import FAMILIES, Sizes
shared, *names = sys.argv[1:]
clock = time.perf_counter
if shared == "shared":
    import torch
    torch.set_num_threads(1)
    clock = time.process_time
def lap(step):
    started, kept = clock(), [None]
    for _, phase in step:
        kept.append(phase(kept[-1]))
    return clock() - started
def turn(step, least=0.02):
    laps = [lap(step)]
    while sum(laps) < least:
        laps.append(lap(step))
    return median(laps)
steps = {
    benchmark.title: benchmark.contenders[0].make_step
    for name in names
    for benchmark in FAMILIES[name].make(Sizes(), ['gru', 'recompute'] if name == 'translate' else [])
}
print(json.dumps(list(steps)), flush=True)
made = None, None
for line in sys.stdin:
    title = json.loads(line)
    if made[0] != title:
        made = title, steps[title]()
    gc.collect()
    gc.disable()
    taken = turn(made[1])
    gc.enable()
    print(json.dumps(taken), flush=True)
"""


@dataclass
class Worker:
    """A process of one environment that makes a step whenever it is asked to."""

    process: "subprocess.Popen[str]"
    titles: list[str]

    @classmethod
    def start(cls, python: str, names: Sequence[str], shared: bool = False) -> "Worker":
        """Raises RuntimeError if the environment has no benchmarks of those names."""
        command = [str(Path(python).absolute()), "-c", WORKER, "shared" if shared else "alone", *names]
        # Not from here: a source tree in the current folder would come before the environment's version.
        elsewhere = tempfile.gettempdir()
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=elsewhere
        )
        return cls(process, json.loads(cls.read(process, python)))

    @staticmethod
    def read(process: "subprocess.Popen[str]", python: str) -> str:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise RuntimeError(f"{python} ended with status {process.wait()}; its error stands above")
        return line

    def turn(self, title: str) -> float:
        """Seconds of a step, the median over a turn."""
        assert self.process.stdin is not None
        print(json.dumps(title), file=self.process.stdin, flush=True)
        return float(json.loads(self.read(self.process, str(self.process.args))))

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def compare(
    old: str, new: str, names: Sequence[str] = NAMES, seconds: float = 20.0, shared: bool = False
) -> list[dict[str, Any]]:
    """By benchmark: median milliseconds of a step in both versions, and the median ratio of a round.

    Args:
        old, new: interpreters of the two environments.
        names: families of `spikeseq bench`.
        seconds: about how long each benchmark takes.
        shared: one thread, and time of the processor.
    Raises:
        RuntimeError: an environment that cannot run them.
    """
    workers: list[Worker] = []
    rows = []
    try:
        for python in (old, new):
            workers.append(Worker.start(python, names, shared))
        for title in [title for title in workers[0].titles if title in workers[1].titles]:
            started = time.perf_counter()
            for _ in range(WARM_UPS):
                started = time.perf_counter()
                for worker in workers:
                    worker.turn(title)
            rounds = int(seconds / (time.perf_counter() - started))
            laps = []
            for number in range(min(max(rounds, FEWEST), MOST)):
                order = workers if number % 2 else workers[::-1]  # who is first meets other caches
                taken = {worker is workers[1]: worker.turn(title) for worker in order}
                laps.append((taken[False], taken[True]))
            rows.append(
                {
                    "benchmark": title,
                    "rounds": len(laps),
                    "old": 1000 * median(a for a, _ in laps),
                    "new": 1000 * median(b for _, b in laps),
                    "ratio": median(b / a for a, b in laps),
                }
            )
    finally:
        for worker in workers:
            worker.stop()
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("old", help="interpreter of the older version")
    parser.add_argument("new", help="interpreter of the newer version")
    parser.add_argument("names", nargs="*", default=[], help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--seconds", type=float, default=20.0, help="for each benchmark")
    parser.add_argument("--shared", action="store_true", help="one thread, and time of the processor")
    asked = parser.parse_args()
    for name in asked.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; choose from {', '.join(NAMES)}")
    rows = compare(asked.old, asked.new, asked.names or NAMES, asked.seconds, asked.shared)
    for row in rows:
        print(
            f"{row['benchmark']:40} {row['old']:10.3f} ms {row['new']:10.3f} ms  x {row['ratio']:.3f}"
            f"  ({row['rounds']} rounds)"
        )
    slow = [row["benchmark"] for row in rows if row["ratio"] > SLOWER]
    print(f"more than {SLOWER - 1:.0%} slower: {', '.join(slow) or 'none'}", file=sys.stderr)
    return int(bool(slow))


if __name__ == "__main__":
    sys.exit(main())
