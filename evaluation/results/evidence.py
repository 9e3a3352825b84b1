"""What the page of results rests on, read from `docs/results`.

Four kinds, each under a name:

- `runs/NAME-SEED.json`: what is kept of a finished run (`taken.py` writes it). Runs whose names differ in the
  seed alone are one piece of evidence, a value for each seed.
- `runs/NAME.bench.json`: what is kept of `spikeseq bench --json`.
- `runs/former.yaml`: figures copied from a page, of runs whose folders were not kept: they cannot be checked.
- `speed-*.txt`: what `spikeseq bench` printed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FORMAT = 1
RUNS, FORMER = "runs", "former.yaml"
SEEDED = re.compile(r"(?P<name>.+)-(?P<seed>\d+)")
SAME = ("recipe", "model", "method", "settings", "from", "folds")
"""What runs of one name must agree in; and their data."""


class EvidenceError(ValueError):
    """A piece of evidence, a table or a page that cannot be used; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Figures under one name.

    Args:
        kind: "run", "former" or "bench".
        files: relative to `docs/results`; of a former run the page that its figures stand on.
        seeds: figures by seed, nested as in `metrics.json`.
        commands: that give them.
        hardware, seconds: of the training, where it is known; the longest of several seeds.
        date: of the page's commit, for a former run.
        folds: of a cross-validation, whose mean a figure is.
        about: recipe, model, method and changed settings of a run.
    """

    name: str
    kind: str
    files: tuple[str, ...]
    seeds: Mapping[int, Mapping[str, Any]]
    commands: tuple[str, ...] = ()
    hardware: str = ""
    seconds: float | None = None
    date: str = ""
    folds: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def split(self) -> str:
        """The one that a run was read on; runs of an earlier version do not say it."""
        return str(next(iter(self.seeds.values())).get("split", "test"))

    def values(self, key: str) -> list[float]:
        """A figure for every seed. Raises KeyError where one has none."""
        return [number(figures, key) for figures in self.seeds.values()]


def number(figures: Any, key: str) -> float:
    """The number under a dotted key; names in it may have dots, and parts of lists are counted from 0.

    Raises:
        KeyError: there is none.
    """
    found = _find(figures, key)
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise KeyError(key)
    return found


def _find(figures: Any, key: str) -> Any:
    if not key:
        return figures
    if isinstance(figures, list):
        figures = {str(at): value for at, value in enumerate(figures)}
    if isinstance(figures, Mapping):
        for name, value in figures.items():
            if key == str(name) or key.startswith(f"{name}."):
                found = _find(value, key[len(str(name)) + 1 :])
                if found is not None:
                    return found
    return None


def read_evidence(results: Path) -> tuple[dict[str, Evidence], list[str]]:
    """All of it by name, and a line for every file that cannot be used."""
    found: dict[str, Evidence] = {}
    faults: list[str] = []
    runs: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}

    def read(path: Path, take: Any) -> None:
        try:
            take(path)
        except EvidenceError as error:
            faults.append(str(error))

    def take_run(path: Path) -> None:
        name, seed = seeded(path.stem, path)
        runs.setdefault(name, []).append((seed, f"{RUNS}/{path.name}", read_run(path)))

    def take_bench(path: Path) -> None:
        name = path.name.removesuffix(".bench.json")
        found[name] = Evidence(name, "bench", (f"{RUNS}/{path.name}",), {1: read_bench(path)})

    def take_text(path: Path) -> None:
        found[path.stem] = Evidence(path.stem, "bench", (path.name,), {1: bench_text(path)})

    for path in sorted((results / RUNS).glob("*.json")):
        read(path, take_bench if path.name.endswith(".bench.json") else take_run)
    for path in sorted(results.glob("speed-*.txt")):
        read(path, take_text)
    for name, members in runs.items():
        try:
            found[name] = grouped(name, members)
        except EvidenceError as error:
            faults.append(str(error))
    try:
        former = read_former(results / RUNS / FORMER)
    except EvidenceError as error:
        return found, [*faults, str(error)]
    for name in former.keys() & found.keys():
        faults.append(f"{RUNS}/{FORMER}: {name} has a kept run now; take its entry out")
    return former | found, faults


def seeded(stem: str, path: Path) -> tuple[str, int]:
    match = SEEDED.fullmatch(stem)
    if match is None:
        raise EvidenceError(f"{RUNS}/{path.name}: expected a name that ends in the seed, NAME-SEED.json")
    return match["name"], int(match["seed"])


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file of FORMAT. Raises EvidenceError for another one."""
    where = f"{RUNS}/{path.name}"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise EvidenceError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict):
        raise EvidenceError(f"{where} is no object but {type(found).__name__}")
    if found.get("format") != FORMAT:
        raise EvidenceError(f"{where} has format {found.get('format')!r:.20}; this version reads {FORMAT}")
    return found


def read_run(path: Path) -> dict[str, Any]:
    """What is kept of a run."""
    run = read_object(path)
    kinds = {"recipe": str, "model": str, "seed": int, "settings": dict, "command": str, "figures": dict}
    for key, kind in kinds.items():
        if type(run.get(key)) is not kind:
            raise EvidenceError(
                f"{RUNS}/{path.name}: {key} is {run.get(key)!r:.40}; expected {kind.__name__}"
            )
    if path.stem.rpartition("-")[2] != str(run["seed"]):
        raise EvidenceError(f"{RUNS}/{path.name} is of seed {run['seed']}; its name must end in it")
    return run


def read_bench(path: Path) -> dict[str, Any]:
    """Figures of a bench: contenders by benchmark, and its goals by their texts."""
    bench = read_object(path)
    if not isinstance(bench.get("figures"), dict):
        raise EvidenceError(f"{RUNS}/{path.name}: it has no figures")
    return bench["figures"]


def grouped(name: str, members: Iterable[tuple[int, str, dict[str, Any]]]) -> Evidence:
    """Runs whose names differ in the seed, as one piece of evidence."""
    ordered = sorted(members, key=lambda member: member[0])
    (_, first_file, first), runs = ordered[0], [run for _, _, run in ordered]
    for _, file, run in ordered[1:]:
        for key in (*SAME, "data"):
            one, other = (_said(key, at) for at in (run, first))
            if one != other:
                raise EvidenceError(f"{file}: {key} is not that of {first_file}: {one!r:.60}, {other!r:.60}")
    seconds = [run["figures"].get("seconds", {}).get("train") for run in runs]
    return Evidence(
        name,
        "run",
        tuple(file for _, file, _ in ordered),
        {seed: run["figures"] for seed, _, run in ordered},
        tuple(line for run in runs for line in run["command"].splitlines()),
        "; ".join(dict.fromkeys(str(run["figures"].get("hardware", "")) for run in runs)),
        max((second for second in seconds if second is not None), default=None),
        folds=first.get("folds"),
        about={key: first.get(key) for key in ("recipe", "model", "method", "settings")},
    )


def _said(key: str, run: Mapping[str, Any]) -> Any:
    """Where runs start from runs of their own seeds, the seed is left out."""
    if key == "data":
        return run["figures"].get("data"), run["figures"].get("used")
    value = run.get(key)
    match = SEEDED.fullmatch(value) if key == "from" and isinstance(value, str) else None
    return match["name"] if match else value


def read_former(path: Path) -> dict[str, Evidence]:
    """Figures of runs that were not kept, by name; none where there is no such file."""
    import yaml

    where = f"{RUNS}/{path.name}"
    if not path.exists():
        return {}
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise EvidenceError(f"{where} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise EvidenceError(f"{where} has no format {FORMAT}, which this version reads")
    found = {}
    for name, entry in content.get("runs", {}).items():
        missing = {"page", "command", "date", "figures"} - set(entry if isinstance(entry, dict) else ())
        if missing:
            raise EvidenceError(f"{where}: {name} has no {sorted(missing)[0]}")
        if not isinstance(entry["figures"], dict):
            raise EvidenceError(f"{where}: {name}: figures are {entry['figures']!r:.40}; expected a mapping")
        found[name] = Evidence(
            name,
            "former",
            tuple(map(str, entry["page"] if isinstance(entry["page"], list) else [entry["page"]])),
            by_seed(entry["figures"]),
            tuple(line for line in str(entry["command"]).splitlines() if line),
            str(entry.get("hardware", "")),
            entry.get("seconds"),
            str(entry["date"]),
        )
    return found


def by_seed(figures: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """Figures where those of several seeds stand in a list, as one mapping for each seed."""
    count = max((len(value) for value in figures.values() if isinstance(value, list)), default=1)
    return {
        seed + 1: {key: value[seed] if isinstance(value, list) else value for key, value in figures.items()
                   if not isinstance(value, list) or seed < len(value)}
        for seed in range(count)
    }  # fmt: skip


def bench_text(path: Path) -> dict[str, Any]:
    """What `spikeseq bench` printed, as its JSON has it: times and ratios by benchmark and contender."""
    try:
        blocks = path.read_text(encoding="utf-8").split("\n\n")
    except (OSError, ValueError) as error:
        raise EvidenceError(f"{path.name} cannot be read: {' '.join(str(error).split())}") from None
    found: dict[str, Any] = {}
    for block in blocks:
        title, *lines = block.splitlines() or [""]
        phases = re.split(r"\s{2,}", lines[0].strip()) if lines else []
        for line in lines[1:]:
            row = re.fullmatch(r"  (\S+)((?: +[\d.,]+ \([\d.]+x\))+).*", line)
            if row is not None:
                cells = re.findall(r"([\d.,]+) \(([\d.]+)x\)", row[2])
                found.setdefault(title.partition(": ")[0], {})[row[1]] = {
                    "milliseconds": {p: float(c[0].replace(",", "")) for p, c in zip(phases, cells)},  # noqa: B905
                    "ratio": {p: float(c[1]) for p, c in zip(phases, cells)},  # noqa: B905
                }
    if not found:
        raise EvidenceError(f"{path.name} holds no times that `spikeseq bench` printed")
    return found
