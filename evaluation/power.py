"""What a machine draws while a model answers, by its own energy counter: Linux's powercap (RAPL).

This is measured, where all of `evaluation.energy` is counted and priced. It is of the whole processor: the
model, Python, and whatever else runs meanwhile.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path("/sys/class/powercap")
MICRO = 1e-6


class NoCounter(ValueError):
    """There is no energy counter that can be read."""


@dataclass(frozen=True)
class Zone:
    """A counter of energy: microjoules since it last began at zero, and the largest that it shows."""

    folder: Path
    name: str
    most: int

    def read(self) -> int:
        return int((self.folder / "energy_uj").read_text())


def zones(root: Path | None = None) -> list[Zone]:
    """The counters of processor packages, and of memory where it has its own.

    Cores and graphics are part of their package, and a counter of the whole platform would count all twice.

    Args:
        root: where the kernel shows them; default `ROOT`.
    Raises:
        NoCounter: there are none, or they cannot be read.
    """
    root = ROOT if root is None else root
    found, closed = [], None
    for folder in sorted(root.glob("*:*")) if root.is_dir() else []:
        try:
            name = (folder / "name").read_text().strip()
            if not (name.startswith("package") or name == "dram"):
                continue
            zone = Zone(folder, name, int((folder / "max_energy_range_uj").read_text()))
            zone.read()
            found.append(zone)
        except PermissionError:
            closed = folder
        except (OSError, ValueError):
            continue  # a zone that shows no energy
    if not found:
        why = f"{closed} can be read by root alone" if closed else f"{root} has no counter of a processor"
        raise NoCounter(f"this machine shows no energy that could be measured: {why}")
    return found


class Meter:
    """Joules between two looks at the counters.

    Args:
        counters: those of `zones`.
    """

    def __init__(self, counters: list[Zone]) -> None:
        self.counters = counters
        self.last = [zone.read() for zone in counters]

    def joules(self) -> float:
        """Since the last look, or the start. Each counter may have gone over its end once."""
        now = [zone.read() for zone in self.counters]
        used = 0
        for zone, before, after in zip(self.counters, self.last, now, strict=True):
            used += after - before + (zone.most + 1 if after < before else 0)
        self.last = now
        return used * MICRO


def measure(
    run: Callable[[], Any],
    counters: list[Zone],
    *,
    repeats: int = 5,
    seconds: float = 2.0,
    clock: Callable[[], float] = time.perf_counter,
    wait: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Joules of a call of `run`, several times over, beside what the machine draws at rest.

    Args:
        run: answers one sentence.
        repeats: measurements, each of as many calls as fit into `seconds` (one at least); counters tick about
            a thousand times a second. One more, not counted, warms up. Rest is measured for as long.
    Returns:
        "joules" of a call and "joules_above_rest", as mean, least and most of the repeats; "watts_at_rest",
        "calls" in all, "seconds" of a call, "zones".
    """
    run()
    meter, start = Meter(counters), clock()
    wait(seconds)
    at_rest = meter.joules() / max(clock() - start, 1e-9)
    whole, above, calls, spent = [], [], 0, 0.0
    for _ in range(repeats):
        meter, start, done = Meter(counters), clock(), 0
        while not done or clock() - start < seconds:
            run()
            done += 1
        joules, took = meter.joules(), clock() - start
        whole.append(joules / done)
        above.append((joules - at_rest * took) / done)
        calls, spent = calls + done, spent + took
    return {
        "joules": spread(whole),
        "joules_above_rest": spread(above),
        "watts_at_rest": at_rest,
        "seconds": spent / calls,
        "calls": calls,
        "zones": [zone.name for zone in counters],
    }


def spread(values: list[float]) -> dict[str, float]:
    return {"mean": sum(values) / len(values), "least": min(values), "most": max(values)}


def answers(opened: Any, text: str) -> Callable[[], Any]:
    """A call that has a trained model answer `text`, one sentence at a time.

    Raises:
        ValueError: a model that reads no text.
    """
    if opened.reads != "text":
        raise ValueError(f"a model that reads a {opened.reads} answers no sentence; leave --measure out")
    if opened.classifies:
        return lambda: opened.predict([text])
    if opened.translates:
        return lambda: list(opened.translate_stream([text]))
    return lambda: opened.score(text)


def told(found: dict[str, Any]) -> str:
    """A measurement in a line."""
    whole, above = found["joules"], found["joules_above_rest"]
    return (
        f"{whole['mean']:.3g} J a sentence ({whole['least']:.3g} to {whole['most']:.3g}),"
        f" {above['mean']:.3g} J above the {found['watts_at_rest']:.3g} W at rest; {found['calls']} calls of"
        f" {1e3 * found['seconds']:.3g} ms; {', '.join(found['zones'])}"
    )
