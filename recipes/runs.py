"""Run folders: made by `spikeseq train`, read by everything else."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikeseq.recipes.budget import Budget, TooLargeError
from spikeseq.recipes.history import LOG_FILE, check_record
from spikeseq.recipes.manifest import CONFIG_FILE, METRICS_FILE, RunError, checked, read_json, reason
from spikeseq.recipes.plain import Settings, check_kept, read_complete
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.resume import can_resume
from spikeseq.recipes.shipped.fetched import PREFIX, SHIPPED, fetched
from spikeseq.recipes.weights import MODEL_FILE, load_weights

# What every finished run says of itself.
METRICS = [
    "recipe",
    "model",
    "data",
    "seed",
    "epochs",
    "parameters",
    "parameters_without_embeddings",
    "validation",
    "test",
    "spike_rate",
    "energy",
    "seconds",
    "hardware",
]


UNREADABLE = (LookupError, TypeError, AttributeError, ValueError, ArithmeticError)
"""What comes of values of other kinds, or of none, where figures are shown."""


def run_name(recipe: str, model: str, method: str | None, seed: int) -> str:
    """The name of a run folder where no other is asked for."""
    return "-".join(filter(None, (recipe, model, method, str(seed))))


def read_config(folder: Path) -> Settings:
    """The configuration of a run.

    Raises:
        RunError: not a run folder, or a file that is not YAML.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        hint = "no such folder" if not folder.exists() else f"it has no {CONFIG_FILE}"
        raise RunError(f"{folder} is not a run folder: {hint}")
    checked(path)
    try:
        config = read_complete(path)
        if config is None:
            from spikeseq.recipes.config import completed  # late: it imports OmegaConf

            config = completed(path)
        check_kept(config)
    except Exception as error:  # the readers of YAML have many
        key = getattr(error, "full_key", None)  # which omegaconf tells in a line of its own
        reason = [f"{key}: "] * bool(key) + (str(error).splitlines() or [type(error).__name__])[:1]
        raise RunError(f"{path} is damaged: {''.join(reason)}") from None
    return config


def read_metrics(folder: Path) -> dict[str, Any] | None:
    """`metrics.json`, or None for a run that is not finished."""
    path = folder / METRICS_FILE
    # A kill between the manifest and this file leaves what the training goes on from.
    if not path.exists() and (can_resume(folder) or not checked(path).exists()):
        return None
    try:
        metrics = read_json(path)
        if not isinstance(metrics, dict):
            raise ValueError("not an object")
        for key in METRICS:
            if key not in metrics:
                raise ValueError(f"it has no {key!r}")
        return metrics
    except RunError:
        raise
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from None


def read_log(folder: Path) -> list[dict[str, Any]]:
    """A record per epoch of `log.jsonl`; none where there is no such file.

    Raises:
        RunError: a line that is not a record.
    """
    path = folder / LOG_FILE
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if checked(path).exists() else []
        records = [json.loads(line) for line in lines]
        for record in records:
            check_record(record)
        return records
    except RunError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None


def finished(folder: Path) -> dict[str, Any]:
    """`metrics.json` of a finished run; RunError for another."""
    read_config(folder)
    metrics = read_metrics(folder)
    if metrics is None:
        raise RunError(f"{folder} has no {METRICS_FILE}: the run is not finished; go on with --resume")
    check_account(folder, metrics)
    return metrics


def check_account(folder: Path, metrics: dict[str, Any]) -> None:
    """Raises RunError for metrics of which no table of energy can be made."""
    from spikeseq.evaluation.energy.table import compute_rows, memory_rows

    try:
        for key, kind in (("data", str), ("test", dict), ("validation", dict), ("seconds", dict)):
            if not isinstance(metrics[key], kind):
                raise ValueError(f"{key} is {metrics[key]!r:.40}")
        compute_rows({"run": metrics}, metrics["recipe"])
        memory_rows({"run": metrics})
    except UNREADABLE as error:
        raise RunError(f"{folder / METRICS_FILE} is damaged: {reason(error)}") from None


def row_of(folder: Path, metrics: dict[str, Any]) -> dict[str, str]:
    """A run's line of the comparison table. Raises RunError for metrics that have none."""
    try:
        return RECIPES[metrics["recipe"]].row(metrics)
    except UNREADABLE as error:
        raise RunError(f"{folder / METRICS_FILE} is damaged: {reason(error)}") from None


def cut_off(start: Path, recipe: str, method: str | None, folders: Iterable[Path]) -> Settings | None:
    """The configuration of the run in one of `folders` that began with `start`, which may be gone since.

    Other runs may be among them, and damaged ones: what is wrong with the run's own folder is told later.
    """
    for folder in folders:
        with suppress(RunError):
            config = read_config(folder)
            began = (config.recipe, config.model.get("method"), config.model.get("start"))
            if began == (recipe, method, str(start.resolve())):
                return config
    return None


def load(run: str | Path | None = None) -> Any:
    """What a run folder holds, ready for use: an `Opened`, with the methods that it says it has.

    Args:
        run: the folder, or the name of one that was published on the Hugging Face hub, "hf://OWNER/NAME",
            which is fetched into its cache. Default None: the one that comes with the package, which
            classifies film reviews (`fetched.SHIPPED`).
    Raises:
        RunError: the folder is not a finished run, or a file in it is damaged or of another model.
        ValueError: a name on the hub that cannot be had.
    """
    run = SHIPPED if run is None else run
    folder = fetched(run) if isinstance(run, str) and run.startswith(PREFIX) else Path(run)
    config = read_config(folder)
    if not (folder / MODEL_FILE).exists():
        checked(folder / MODEL_FILE)  # a manifest that lists it misses it
        raise RunError(f"{folder} has no {MODEL_FILE}: the run is not finished; go on with --resume")
    size = (folder / MODEL_FILE).stat().st_size
    try:
        with Budget(size):
            opened = RECIPES[config.recipe].open(folder, config)
    except RunError:
        raise
    except TooLargeError as error:
        why = f"{CONFIG_FILE} and the files beside it ask for a model of {error}"
        raise RunError(f"{folder}: {why}; {MODEL_FILE} has {size:,} bytes") from None
    except (OSError, ValueError, TypeError) as error:
        raise RunError(f"{folder}: {error}") from None
    load_weights(folder, opened.model)
    return opened
