"""One damaged file, what was made of it, and whether that is right."""

import math
import os
import random
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spikeseq.evaluation.reliability.mutate import CANARY, mutated

SECONDS = 20.0
"""A case that takes longer hangs. The slowest of them, alone, takes one."""
MEMORY = 512
"""MiB that a case may need beside 16 times the size of the file."""


@dataclass(frozen=True)
class Target:
    """A reader and what it reads.

    Args:
        name: in the table. folder: with everything that is read; a copy of it is damaged. files: names of
            those that are. read: the folder to what was made of it, which can be compared.
        strict: another answer than that of the whole file is wrong, for the file says what it is. Others hold
            data that can be anything.
    """

    name: str
    folder: Path
    files: tuple[str, ...]
    read: Callable[[Path], Any]
    strict: bool = False


FAULTS = ("silent", "raw", "ended", "hang", "memory", "code")
OUTCOMES = ("refused", "same", "other", *FAULTS)


def judge(error: BaseException, path: Path) -> tuple[str, str]:
    """Of an error: "refused" if it is one for people that names the file or its folder, else "raw"."""
    text = str(error)
    told = f"{type(error).__name__}: {' '.join(text.split())[:160]}"
    mine = isinstance(error, ValueError | OSError) and not isinstance(error, UnicodeError)
    named = path.name in text or path.parent.name in text
    if mine and named and "\n" not in text:
        return "refused", told
    where = traceback.extract_tb(error.__traceback__)[-1]
    return "raw", f"{told} [{Path(where.filename).name}:{where.lineno}]"


def one(target: Target, folder: Path, whole: Any, seed: int) -> tuple[str, str, str]:
    """Damages a file of a copy of the target's folder, reads, and puts it back: outcome, file, error."""
    rng = random.Random(f"{target.name} {seed}")
    path = folder / rng.choice(target.files)
    content = path.read_bytes()
    damaged = mutated(content, path.name, rng)
    path.write_bytes(damaged)
    before = memory("VmRSS", reset=True)
    try:
        found = target.read(folder)
        outcome = "same" if alike(found, whole) else "silent" if target.strict else "other"
        told = ""
    except Exception as error:
        outcome, told = judge(error, path)
    used = memory("VmHWM") - before
    path.write_bytes(content)
    if used > MEMORY + 16 * len(damaged) / 2**20:
        outcome, told = "memory", f"{used:.0f} MiB for {len(damaged):,} bytes"
    if os.path.exists(CANARY):
        outcome, told = "code", "code of the file ran"
        os.rmdir(CANARY)
    return outcome, path.name, told


def alike(one: Any, other: Any) -> bool:
    """Equal, NaNs too."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(alike, one, other))
    return type(one) is type(other) and bool(one == other)


def memory(what: str, reset: bool = False) -> float:
    """MiB: of now (VmRSS), or the most since the last reset (VmHWM); 0 where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(text.split()[1]) / 1024 for text in lines if text.startswith(what))
    except (OSError, StopIteration):
        return 0.0


def many(
    target: Target, folder: Path, seeds: list[int], note: Callable[[tuple[int, str, str, str]], None]
) -> None:
    """The cases of some seeds, in children of this process: one that ends or hangs is noted, and the next one
    goes on. folder: a copy of the target's, that is worked in."""
    whole = target.read(folder)
    waiting = list(seeds)
    while waiting:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(target, folder, whole, waiting, writing)
        os.close(writing)
        done, number = _listen(reading, child, note)
        waiting = waiting[done:]
        if waiting:
            hangs = number == signal.SIGALRM
            told = f"longer than {SECONDS:.0f} s" if hangs else f"the process ended, signal {number}"
            note((waiting.pop(0), "hang" if hangs else "ended", "", told))
            _put_back(target, folder)


def _put_back(target: Target, folder: Path) -> None:
    for name in target.files:
        (folder / name).write_bytes((target.folder / name).read_bytes())


def _work(target: Target, folder: Path, whole: Any, seeds: list[int], writing: int) -> None:
    """In the child: a line for each case."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + (4 << 30), resource.RLIM_INFINITY))
        for number in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        for seed in seeds:
            signal.setitimer(signal.ITIMER_REAL, SECONDS)  # which ends the process, wherever it is
            found = one(target, folder, whole, seed)
            signal.setitimer(signal.ITIMER_REAL, 0)
            text = "\t".join((str(seed), *found)).replace("\n", " ")
            os.write(writing, text.encode("utf-8", "replace") + b"\n")
    finally:
        os._exit(0)


def _listen(reading: int, child: int, note: Callable[[tuple[int, str, str, str]], None]) -> tuple[int, int]:
    """How many cases were done, and the signal that ended the child, 0 for none."""
    done = 0
    with os.fdopen(reading, "rb") as lines:
        for raw in lines:
            seed, *found = raw.decode().rstrip("\n").split("\t")
            note((int(seed), found[0], found[1], found[2]))
            done += 1
    _, status = os.waitpid(child, 0)
    return done, os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
