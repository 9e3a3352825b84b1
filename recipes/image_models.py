"""The model of an image recipe: fresh, or made from the run that `--from` names."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from spikeseq.conversion import to_spiking
from spikeseq.functional import SURROGATES
from spikeseq.models.backbones import build_backbone
from spikeseq.nn import SpikingNetwork
from spikeseq.recipes import runs
from spikeseq.recipes.config import ConfigError, changes
from spikeseq.recipes.distillation import Teacher
from spikeseq.recipes.image_data import ImageData
from spikeseq.recipes.image_task import largest_value, normalised
from spikeseq.recipes.progress import steps_bar

METHODS = {
    "ann": (),
    "direct": (),
    "convert": ("ann",),
    "hybrid": ("ann", "convert", "hybrid"),
    "diet": ("ann", "convert", "hybrid", "diet"),
}
"""The methods, and those whose runs they start from."""
SHAPE = ("width", "hidden", "stem", "norm")
"""Settings that the weights of a run fix."""
SPIKING = (
    *("substeps", "encoding", "leak", "threshold", "initial", "learn_leak", "learn_threshold"),
    *("reset", "detach_reset", "surrogate", "height", "surrogate_width"),
)
"""Of the section `model`: what only neurons have."""
DATA = ("validation_share", "split_seed", "limit", "size")
"""Settings that decide which images the weights have been trained on."""


def inherited(start: Path, recipe: str, model: str | None, method: str | None) -> tuple[str, str, list[str]]:
    """What a run that starts from another takes over: model, data source, and settings as `--set` has them.

    Raises:
        ConfigError: the run is of another recipe, model or method than can be started from.
        runs.RunError: it is not a finished run.
    """
    runs.finished(start)
    config = runs.read_config(start)
    if "method" not in config.model:
        raise ConfigError(f"--from goes on from a run of images; {start} is a run of {config.recipe!r}")
    if config.recipe != recipe:
        raise ConfigError(f"--from {start} is a run of the recipe {config.recipe!r}, not of {recipe!r}")
    if model is not None and model != config.model.name:
        raise ConfigError(f"--from {start} is of the model {config.model.name!r}, --model says {model!r}")
    if method is None:
        raise ConfigError(
            f"--from goes with --method, one of {', '.join(name for name in METHODS if METHODS[name])}"
        )
    wanted = METHODS.get(method, ())
    if config.model.method not in wanted:
        known = " or ".join(wanted) or "none"
        raise ConfigError(
            f"--method {method} starts from a run of {known}; {start} was trained by {config.model.method!r}"
        )
    settings = [f"model.{key}={config.model[key]}" for key in SHAPE]
    if is_spiking(config):
        settings.append(f"model.initial={config.model.initial}")
    taken = {key: config.data[key] for key in DATA}
    settings += [f"data.{key}={'null' if value is None else value}" for key, value in taken.items()]
    return config.model.name, config.data.source, settings


def neuron_arguments(model: Any) -> dict[str, Any]:
    """The arguments of `SpikingActivation` in the section `model` of a configuration."""
    if model.surrogate not in SURROGATES:
        raise ValueError(f"model.surrogate must be one of {', '.join(SURROGATES)}, got {model.surrogate!r}")
    return {
        "leak": model.leak,
        "threshold": model.threshold,
        "initial": model.initial,
        "learn_leak": model.learn_leak,
        "learn_threshold": model.learn_threshold,
        "reset": model.reset,
        "detach_reset": model.detach_reset,
        "surrogate": SURROGATES[model.surrogate](height=model.height, width=model.surrogate_width),
    }


def fresh(config: DictConfig, classes: int, channels: int, size: int, *, spiking: bool) -> nn.Module:
    """The backbone of a configuration with weights of its seed."""
    model = config.model
    torch.manual_seed(config.seed)
    options: dict[str, Any] = {
        "classes": classes, "channels": channels, "size": size,
        **{key: model[key] for key in ("width", "hidden", "dropout", "norm", "stem")},
    }  # fmt: skip
    if not spiking:
        return build_backbone(model.name, **options)
    return build_backbone(
        model.name, activation="spiking", substeps=model.substeps, encoding=model.encoding,
        **options, **neuron_arguments(model),
    )  # fmt: skip


def is_spiking(config: DictConfig) -> bool:
    return bool(config.model.method != "ann")


def empty(config: DictConfig, classes: int, channels: int, size: int) -> nn.Module:
    """The model of a run, its weights still to be loaded."""
    return fresh(config, classes, channels, size, spiking=is_spiking(config))


def start_model(config: DictConfig, data: ImageData) -> nn.Module:
    """What a run trains, or for `convert` only tests."""
    channels, size = data.splits["train"].pixels.shape[1:3]
    shape = (len(data.classes), channels, size)
    method, start = config.model.method, config.model.start
    if not METHODS[method]:
        return fresh(config, *shape, spiking=is_spiking(config))
    if start is None:
        known = " or ".join(METHODS[method])
        raise ConfigError(f"--method {method} needs --from RUN, a finished run of the method {known}")
    folder = Path(start)
    before = runs.read_config(folder)
    for key in ("name", *SHAPE):
        if config.model[key] != before.model[key]:
            values = f"{config.model[key]}, the run {start} has {before.model[key]}"
            raise ConfigError(f"model.{key} is {values}; they must be equal")
    source = fresh(before, *shape, spiking=is_spiking(before))
    runs.load_weights(folder, source)
    if before.model.method == "ann":
        model: nn.Module = converted(source.eval(), config, data)
    else:
        if idle := [key for key in changes(config) if key.startswith("conversion.")]:
            why = f"{start} is no run of --method ann, its thresholds are kept"
            raise ConfigError(f"{idle[0]} has no effect: {why}")
        model = fresh(config, *shape, spiking=True)
        model.load_state_dict(source.state_dict())
    return model


def open_teacher(config: DictConfig, data: ImageData) -> Teacher | None:
    """The ANN that a run goes back to; None where its answers have no weight.

    Raises:
        ConfigError, runs.RunError: a run on the way back to it is not there.
    """
    settings, start = config.distillation, config.model.start
    if not settings.weight:
        return None
    while True:
        if start is None:
            raise ConfigError("distillation.weight needs --from RUN, a run that goes back to an ANN's")
        before = runs.read_config(Path(start))
        if before.model.method == "ann":
            break
        start = before.model.start
    channels, size = data.splits["train"].pixels.shape[1:3]
    network = fresh(before, len(data.classes), channels, size, spiking=False)
    runs.load_weights(Path(start), network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(network.eval().requires_grad_(False), settings.weight, settings.temperature)


def converted(ann: nn.Module, config: DictConfig, data: ImageData) -> SpikingNetwork:
    """The spiking network of an ANN, thresholds measured on training images."""
    settings = config.conversion
    batches = calibration_batches(data, settings.images, config.data.split_seed)
    with steps_bar("measuring thresholds") as step:
        return to_spiking(
            ann, batches,
            method=settings.statistic, percentile=settings.percentile, threshold_scale=settings.scale,
            substeps=config.model.substeps, calibration_substeps=settings.substeps,
            encoding=config.model.encoding, largest=largest_value(data.mean, data.std), batch_norm="keep",
            seed=config.seed, progress=step, **neuron_arguments(config.model),
        )  # fmt: skip


def calibration_batches(data: ImageData, images: int, seed: int, size: int = 128) -> list[Tensor]:
    """Training images as the network sees them, without augmentation."""
    split = data.splits["train"]
    if images < 1:
        raise ValueError(f"conversion.images must be at least 1, got {images}")
    chosen = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))[:images]
    return list(normalised(split.pixels[chosen], data.mean, data.std).split(size))
