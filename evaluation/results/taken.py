"""Keeping what a finished run, or a bench, says: small files without places of the machine that it ran on."""

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from spikeseq.evaluation.results.evidence import FORMAT, SEEDED, EvidenceError
from spikeseq.files import write_whole

PLACE = re.compile(r"(?<![\w.~:/])(?:~|[A-Za-z]:)?[/\\](?:[\w.+@ -]+[/\\])+[\w.+@-]*")
"""A path that begins at the root of a machine."""
LEFT_OUT = {"confusion", "layers", "signatures", "manifest", "by_image", "records"}
FOLDS_FILE = "folds.json"
LONGEST = 64  # numbers in a list of figures


def take(path: Path) -> tuple[str, str]:
    """What is kept of a run folder, or of a file of `spikeseq bench --json`: a file's name and its text.

    Raises:
        ValueError: naming the path: no finished run, a file that cannot be read, or one of something else.
    """
    if path.is_file():
        kept, name = take_bench(path), f"{path.stem}.bench"
    else:
        kept, name = take_folds(path) if (path / FOLDS_FILE).exists() else take_run(path)
    return f"{name}.json", json.dumps(portable(kept), indent=1, ensure_ascii=False) + "\n"


def take_run(folder: Path) -> tuple[dict[str, Any], str]:
    """What is kept of a finished run, and its name, which ends in the seed."""
    from spikeseq.recipes.config import changes

    config, metrics = read_run(folder)
    start = config.model.get("start")
    settings, inherited = changes(config), given_by(start, config)
    kept = {
        "format": FORMAT,
        "recipe": config.recipe,
        "model": config.model.name,
        "method": config.model.get("method"),
        "seed": config.seed,
        "settings": settings,
        "from": named(Path(start), config.seed, config.data.source == "sample") if start else None,
    }
    own = {key: value for key, value in settings.items() if key not in inherited or inherited[key] != value}
    name = named(folder, config.seed, config.data.source == "sample")
    origin, place = Path(start).name if start else None, folder.resolve().name
    kept["command"] = command(kept, own, str(config.data.source), origin, place)
    if metrics.get("weights") == "int8":  # they were rounded after the training, and tested again
        rounded = f"runs/{place}", "--to", "int8", "--out", f"runs/{place}-int8"
        kept["command"] += "\n" + shlex.join(("spikeseq", "export", *rounded))
    kept["figures"] = short(metrics)
    return kept, name


def read_run(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Configuration and metrics of a finished run, or of a folder that has a copy of these two files alone.

    Raises:
        RunError: naming the file; also where the two are of different runs.
    """
    from spikeseq.recipes.manifest import MARK
    from spikeseq.recipes.runs import CONFIG_FILE, METRICS_FILE, RunError, finished, read_config

    with TemporaryDirectory() as bare:
        place = folder
        if folder.is_dir() and {path.name for path in folder.iterdir()} == {CONFIG_FILE, METRICS_FILE}:
            place = Path(bare)  # where nothing tells of the manifest, which the copy is without
            shutil.copy(folder / CONFIG_FILE, place)
            text = (folder / METRICS_FILE).read_text(encoding="utf-8", errors="replace")
            (place / METRICS_FILE).write_text(re.sub(rf',\s*"{MARK}": \d+(?=\s*\}}\s*$)', "", text), "utf-8")
        try:
            config, metrics = read_config(place), finished(place)
        except RunError as error:
            raise RunError(str(error).replace(str(place), str(folder))) from None
    for key, said in (("recipe", config.recipe), ("model", config.model.name), ("seed", config.seed)):
        if metrics[key] != said:
            path = folder / METRICS_FILE
            raise RunError(
                f"{path} is of another run: {key} is {metrics[key]!r:.40}, {said!r} in {CONFIG_FILE}"
            )
    return config, metrics


def take_folds(folder: Path) -> tuple[dict[str, Any], str]:
    """What is kept of a cross-validation: its means, and what its first round says of the rest."""
    from spikeseq.recipes.config import changes
    from spikeseq.recipes.manifest import read_json
    from spikeseq.recipes.runs import RunError

    path = folder / FOLDS_FILE
    (config, metrics), means = read_run(folder / "fold-1"), read_json(path)
    try:
        test = {means["figure"]: means["mean"]}
        cost = {"spike_rate": means["spike_rate"], "energy": {"picojoules": means["picojoules"]}}
        cost["seconds"] = {"train": means["seconds"]}
        of_folds = {key: means[key] for key in ("folds", "least", "most", "deviation", "each")}
    except (LookupError, TypeError):
        raise RunError(f"{path} is damaged: it is no summary of rounds") from None
    settings = {
        key: value for key, value in changes(config).items() if key not in ("data.folds", "data.fold")
    }
    kept = {
        "format": FORMAT,
        "recipe": config.recipe,
        "model": config.model.name,
        "method": config.model.get("method"),
        "seed": config.seed,
        "settings": settings,
        "from": None,
        "folds": means["folds"],
    }
    words = ["--folds", str(means["folds"])]
    kept["command"] = command(kept, settings, str(config.data.source), None, folder.resolve().name, words)
    kept["figures"] = short(metrics) | {"test": test, "rounds": of_folds} | cost
    return kept, named(folder, config.seed, config.data.source == "sample")


def named(folder: Path, seed: int, sample: bool) -> str:
    """NAME-SEED for a run folder; NAME-sample-SEED for one of the sample, which is not the data."""
    name = re.sub(r"[^\w.+-]", "_", folder.resolve().name)
    match = SEEDED.fullmatch(name)
    name = match["name"] if match and int(match["seed"]) == seed else name
    return f"{name}-sample-{seed}" if sample and "sample" not in name else f"{name}-{seed}"


def given_by(start: str | None, config: Any) -> dict[str, Any]:
    """Settings that a run has from the one that it started from, which may be gone."""
    import yaml

    from spikeseq.recipes.registry import RECIPES

    if not start:
        return {}
    try:
        recipe = RECIPES[config.recipe]
        taken = recipe.inherited(Path(start), config.recipe, config.model.name, config.model.get("method"))
    except ValueError:
        return {}
    pairs = (text.partition("=") for text in taken.settings)
    return {key: yaml.safe_load(value) for key, _, value in pairs}


def command(
    kept: Mapping[str, Any],
    settings: Mapping[str, Any],
    source: str,
    start: str | None,
    folder: str,
    more: Sequence[str] = (),
) -> str:
    """The command that trains such a run, in folders of the names that it had; `more` options go with it."""
    from spikeseq.recipes.runs import run_name

    words = ["spikeseq", "train", kept["recipe"]]
    if not start:
        words += ["--model", kept["model"]]
    words += ["--method", kept["method"]] if kept["method"] else []
    if start:
        words += ["--from", f"runs/{start}"]
    else:
        words += ["--data", source if source in ("sample", "hub") else "DIR"]
    words += [word for key, value in settings.items() for word in ("--set", f"{key}={written(value)}")]
    words += more
    words += ["--seed", str(kept["seed"])] * (kept["seed"] != 1)
    usual = run_name(kept["recipe"], kept["model"], kept["method"], kept["seed"])
    words += ["--out", f"runs/{folder}"] * (folder != usual)
    return shlex.join(words)


def written(value: Any) -> str:
    """A setting as `--set` reads it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, separators=(",", ":")) if isinstance(value, list) else str(value)


def short(metrics: Any) -> Any:
    """Metrics without what is long: figures by layer, signatures, lists of more than LONGEST."""
    if isinstance(metrics, Mapping):
        return {
            key: short(value)
            for key, value in metrics.items()
            if key not in LEFT_OUT and not (isinstance(value, list) and len(value) > LONGEST)
        }
    return metrics


def portable(kept: Any) -> Any:
    """The same, DIR in the place of every path of a machine."""
    if isinstance(kept, Mapping):
        return {key: portable(value) for key, value in kept.items()}
    if isinstance(kept, list):
        return [portable(value) for value in kept]
    if isinstance(kept, str):
        return "DIR" if os.path.isabs(kept) else PLACE.sub("DIR", kept)
    return kept


def take_bench(path: Path) -> dict[str, Any]:
    """What is kept of a file of `spikeseq bench --json`: the machine, times and ratios, goals."""
    try:
        bench = json.loads(path.read_text(encoding="utf-8"))
        figures = {
            one["title"]: {
                name: {key: value for key, value in contender.items() if not isinstance(value, list)}
                for name, contender in one["contenders"].items()
            }
            for one in bench["benchmarks"]
        }
        goals = {goal["goal"]: goal["measured"] for goal in bench["goals"] if goal["measured"] is not None}
        machine = bench["machine"]
    except OSError as error:
        raise EvidenceError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise EvidenceError(f"{path} is no run folder and no file of `spikeseq bench --json`") from None
    return {"format": FORMAT, "machine": machine, "figures": figures | {"goals": goals}}


def keep(paths: list[Path], runs: Path) -> list[Path]:
    """Writes what is kept of all of `paths` into a folder, once all of them can be read; the files."""
    content: dict[str, str] = {}
    for path in paths:
        if not path.exists():
            raise EvidenceError(f"{path}: no such run folder or file")
        name, text = take(path)
        if content.get(name, text) != text:
            raise EvidenceError(f"{path}: another run of those is to be {name}; rename one of the folders")
        content[name] = text
    for name, text in content.items():
        known = runs / name
        if known.exists() and known.read_text(encoding="utf-8") != text:
            raise EvidenceError(f"{known} is of another run; take it away first, or rename the folder")
    runs.mkdir(exist_ok=True)
    for name, text in content.items():
        write_whole(runs / name, text)
    return [runs / name for name in content]
