"""Run folders: made by `spikeseq train`, read by everything else."""

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from spikeseq.files import write_whole
from spikeseq.recipes.budget import Budget, TooLargeError
from spikeseq.recipes.fetched import PREFIX, fetched
from spikeseq.recipes.history import LOG_FILE, check_record
from spikeseq.recipes.manifest import METRICS_FILE, RunError, checked, read_json, reason
from spikeseq.recipes.plain import Settings, check_kept, read_complete
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.resume import can_resume

FORMAT = "1"
MODEL_FILE, CONFIG_FILE = "model.safetensors", "config.yaml"
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


def save_model(folder: Path, model: nn.Module, config: Any) -> None:
    """`model.safetensors`, with the format's version and what the model is."""
    tied = tied_names(model)
    tensors = {
        name: value.detach().cpu().contiguous()
        for name, value in model.state_dict().items()
        if name not in tied
    }
    about = {"format": FORMAT, "recipe": config.recipe, "model": config.model.name}
    write_whole(folder / MODEL_FILE, in_order(save(tensors, about)))


def in_order(content: bytes) -> bytes:
    """A safetensors file with its metadata sorted: else the same weights have another digest each time."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return content[:8] + text.ljust(end - 8) + content[end:]


def tied_names(model: nn.Module) -> set[str]:
    """Further names of tensors that have one already: an output map may share an embedding's table."""
    names = (nn.Module.named_parameters, nn.Module.named_buffers)
    once = {name for listed in names for name, _ in listed(model)}
    return {name for listed in names for name, _ in listed(model, remove_duplicate=False)} - once


def load_weights(folder: Path, model: nn.Module) -> None:
    """Puts a run's weights into `model`.

    Raises:
        RunError: no such file, a truncated one, another format, or weights of another model.
    """
    path = folder / MODEL_FILE
    try:
        with safe_open(checked(path), framework="pt") as file:
            version = (file.metadata() or {}).get("format")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path} is damaged ({error}); expected a whole safetensors file") from None
    if version != FORMAT:
        raise RunError(f"{path} has format {version!r}; this version reads {FORMAT!r}")
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise RunError(f"{path} is damaged: {name} holds {float(tensor[~tensor.isfinite()][0])}")
    try:
        tied = tied_names(model)
        whole = model.state_dict()
        model.load_state_dict({**{name: whole[name] for name in tied}, **tensors})
    except (RuntimeError, ValueError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise RunError(
            f"{path} is of another model than {folder / CONFIG_FILE}: {' '.join(lines[1:3] or lines)}"
        ) from None


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


def load(run: str | Path) -> Any:
    """What a run folder holds, ready for use: an `Opened`, with the methods that it says it has.

    Args:
        run: the folder, or the name of one that was published on the Hugging Face hub, "hf://OWNER/NAME",
            which is fetched into its cache.
    Raises:
        RunError: the folder is not a finished run, or a file in it is damaged or of another model.
        ValueError: a name on the hub that cannot be had.
    """
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
