"""Trainings that are killed at every operation on their files, and go on: they end as undisturbed ones do."""

import contextlib
import importlib
import json
import math
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from spikeseq.evaluation.reliability.children import NEVER, counted, in_children
from spikeseq.evaluation.reliability.tiny import TINY, train_tiny, write_recordings


class Blow(NamedTuple):
    """A kill: before an operation of the first process, or `seconds` after the start. victims: processes."""

    operation: int | None
    seconds: float = NEVER
    victims: tuple[int, ...] = (0,)


class Killed(NamedTuple):
    """A training that was killed `kills` times, by these blows, and how it ended."""

    name: str
    blows: list[Blow]
    kills: int
    fault: str


class Undisturbed(NamedTuple):
    """What a training does to files when nobody kills it, the seconds that it takes, and what it leaves."""

    operations: list[str]
    seconds: float
    result: list[Any]


def run(name: str, folder: Path, resume: bool = False, blow: Blow | None = None) -> list[int]:
    """A training in a process or several, and how each ended; `blow` kills some."""
    blow = blow or Blow(None)

    def first(others: list[int]) -> None:
        def does(number: int, what: str) -> None:
            if number == blow.operation:
                for rank in sorted(blow.victims, reverse=True):  # itself the last
                    os.kill(others[rank - 1] if rank else os.getpid(), signal.SIGKILL)

        counted(folder, does)
        train_tiny(name, folder, resume)

    others = [lambda others: train_tiny(name, folder, resume)] * (TINY[name].processes - 1)
    return in_children([first, *others], kill_after=blow.seconds, victims=blow.victims)


def undisturbed(name: str, folder: Path) -> Undisturbed:
    """Trains twice, and leaves the run in `folder`. What the first training imports is imported here, so that
    those that come need not."""
    note = folder.with_name("note")

    def first(others: list[int]) -> None:
        noted: list[str] = []
        counted(folder, lambda number, what: noted.append(what))
        train_tiny(name, folder)
        note.write_text("\n".join([" ".join(sys.modules), *noted]))

    others = [lambda others: train_tiny(name, folder)] * (TINY[name].processes - 1)
    if any(in_children([first, *others])):
        raise RuntimeError(f"the training of {name} did not come to its end")
    modules, *operations = note.read_text().split("\n")
    for module in modules.split():
        with contextlib.suppress(Exception):  # some are names only
            importlib.import_module(module)
    wanted, started = result(folder), time.monotonic()
    shutil.rmtree(folder)
    if any(run(name, folder)) or result(folder) != wanted:
        raise RuntimeError(f"two trainings of {name} end otherwise")
    return Undisturbed(operations, time.monotonic() - started, wanted)


def result(folder: Path) -> list[Any]:
    """What must be equal however a run came to its end: all but times. Its manifest must be right."""
    from spikeseq.recipes.manifest import checked, read_manifest

    listed = read_manifest(folder) or {}
    for name in listed:
        checked(folder / name)
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    metrics, log = json.loads(files.pop("metrics.json")), files.pop("log.jsonl", b"").splitlines()
    test = {key: value for key, value in metrics.pop("test").items() if not key.endswith("per_second")}
    del metrics["seconds"], files["manifest.json"]
    timed = ("seconds", "per_second", "shown")
    records = [{k: v for k, v in json.loads(line).items() if not k.endswith(timed)} for line in log]
    return [metrics, test, records, sorted(listed), files]


def kill(name: str, place: Path, blows: list[Blow], wanted: list[Any]) -> Killed:
    """Kills a training by the first blow, what goes on by the next, and so on; lets it end and compares."""
    folder, kills = place / "killed", 0
    shutil.rmtree(folder, ignore_errors=True)
    for number, blow in enumerate(blows):
        kills += run(name, folder, number > 0, blow).count(-signal.SIGKILL) > 0
    told = partial(Killed, name, blows, kills)
    if statuses := [status for status in run(name, folder, True) if status]:
        return told(f"did not go on: status {statuses}")
    try:
        return told("" if result(folder) == wanted else "ended otherwise")
    except (OSError, ValueError, KeyError) as error:
        return told(f"ended damaged: {error}")


def planned(turn: int, done: Undisturbed, processes: int, rng: random.Random, seed: int) -> list[Blow]:
    """Every operation once, in strides, so that a few blows are spread over all; every fourth blow comes at a
    random moment, and every fifth training is killed again when it goes on."""
    count = len(done.operations)
    stride = next(n for n in range(round(0.618 * count), count + 1) if math.gcd(n, count) == 1)
    ranks = (0,) if processes == 1 else [(0,), (1,), (0, 1)][turn % 3]
    if turn % 4 == 3:
        blows = [Blow(None, rng.uniform(0.02, done.seconds), ranks)]
    else:
        blows = [Blow((stride * (turn - turn // 4) + seed) % count, victims=ranks)]
    if turn % 5 == 4:
        blows.append(Blow(rng.randrange(count), victims=ranks))
    return blows


def warm() -> None:
    """Imports what trainings do, which children then need not."""
    import accelerate  # noqa: F401
    import torch._dynamo  # which optimisers import, for seconds
    import torch.utils.tensorboard  # noqa: F401

    import spikeseq.recipes.config
    import spikeseq.recipes.train  # noqa: F401


def kills(
    names: Sequence[str],
    count: int,
    place: Path,
    *,
    seed: int = 0,
    seconds: float = NEVER,
    say: Callable[[str], None] = print,
) -> list[Killed]:
    """At least `count` kills in all, `planned` for each training in turn.

    place: a folder for the runs. seconds: after which no other is begun.
    """
    started = time.monotonic()
    warm()
    if any(TINY[name].recipe == "dvs128" for name in names):
        write_recordings(place / "recordings")
    for name in dict.fromkeys(chain(names)):
        run(name, place / name)
    done = {}
    for name in names:
        folder = place / name if name in chain(names) else place / "undisturbed"
        shutil.rmtree(folder, ignore_errors=True)
        done[name] = undisturbed(name, folder)
        say(f"{name}: {len(done[name].operations)} operations on files, {done[name].seconds:.1f} s")
    found: list[Killed] = []
    draws = {name: random.Random(f"{seed} {name}") for name in names}
    for turn in range(2 * count):
        for name in names:
            if sum(one.kills for one in found) >= count or time.monotonic() - started > seconds:
                return found
            blows = planned(turn, done[name], TINY[name].processes, draws[name], seed)
            found.append(kill(name, place, blows, done[name].result))
            if found[-1].fault:
                say(f"{name}: {found[-1].fault} after {blows}")
        ended, wrong = sum(one.kills for one in found), sum(bool(one.fault) for one in found)
        say(f"{ended} kills of {len(found)} trainings, {wrong} wrong, {time.monotonic() - started:.0f} s")
    return found


def chain(names: Sequence[str]) -> list[str]:
    """The trainings that others of `names` start from, the first of each chain first."""
    before = [start for name in names if (start := TINY[name].start) is not None]
    return [*chain(before), *before] if before else []


def table(found: Sequence[Killed]) -> str:
    """For the page."""
    lines = ["| training | trained | kills | ended otherwise, or not at all |", "|---|--:|--:|--:|"]
    for name in [*dict.fromkeys(one.name for one in found), "all"]:
        own = [one for one in found if name in (one.name, "all")]
        ended, wrong = sum(one.kills for one in own), sum(bool(one.fault) for one in own)
        lines.append(f"| {name} | {len(own):,} | {ended:,} | {wrong} |")
    return "\n".join(lines)
