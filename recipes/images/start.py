"""What a run of images takes over from the run that `--from` names: settings, weights, an ANN's answers."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.conversion import to_spiking
from spikeseq.nn import SpikingNetwork
from spikeseq.recipes import runs
from spikeseq.recipes.images.classifier import read_images
from spikeseq.recipes.images.distillation import Teacher
from spikeseq.recipes.images.models import empty, settings_named, shape_settings
from spikeseq.recipes.images.settings import METHODS, idle_after, is_spiking
from spikeseq.recipes.images.task import largest_value, normalised
from spikeseq.recipes.plain import ConfigError, refuse_idle
from spikeseq.recipes.recipe import Start
from spikeseq.recipes.shared.errors import listed
from spikeseq.recipes.shared.images.data import ImageData
from spikeseq.recipes.shared.neurons import neuron_arguments
from spikeseq.recipes.shared.progress import steps_bar
from spikeseq.recipes.weights import load_weights

DATA = ("validation_share", "split_seed", "limit", "size")
"""Settings that decide which images the weights have been trained on."""


def inherited(start: Path, recipe: str, model: str | None, method: str | None) -> Start:
    """What a run that starts from another takes over, as `taken_over`.

    Raises:
        ConfigError: the run is of another recipe, model or method than can be started from.
        runs.RunError: it is not a finished run.
    """
    config = predecessor(start, recipe, method)
    if model is not None and model != config.model.name:
        raise ConfigError(f"--from {start} is of the model {config.model.name!r}, --model says {model!r}")
    return taken_over(config)


def taken_over(config: Any) -> Start:
    """Model, data source, and settings as `--set` has them, of the configuration of an image run."""
    settings = [f"model.{key}={config.model[key]}" for key in shape_settings(config)]
    if is_spiking(config):
        settings.append(f"model.initial={config.model.initial}")
    taken = {key: config.data[key] for key in DATA}
    settings += [f"data.{key}={'null' if value is None else value}" for key, value in taken.items()]
    return Start(config.model.name, config.data.source, settings)


def predecessor(start: Path, recipe: str, method: str | None) -> Any:
    """The configuration of a run that a method can start from; raises as `inherited`."""
    runs.finished(start)
    config = runs.read_config(start)
    if "method" not in config.model:
        raise ConfigError(f"--from goes on from a run of images; {start} is a run of {config.recipe!r}")
    if config.recipe != recipe:
        raise ConfigError(f"--from {start} is a run of the recipe {config.recipe!r}, not of {recipe!r}")
    wanted = METHODS.get(method or "", ())
    if not wanted:
        known = ", ".join(name for name in METHODS if METHODS[name])
        raise ConfigError(f"--from goes with --method, one of {known}; got {method or 'none'}")
    if config.model.method not in wanted:
        known = " or ".join(wanted)
        raise ConfigError(
            f"--method {method} starts from a run of {known}; {start} was trained by {config.model.method!r}"
        )
    return config


def check_start(config: Any) -> None:
    """What can be told of the run that a method starts from before data is read.

    Raises:
        ConfigError, runs.RunError: it is not there, is of another shape, or leaves a setting without effect.
    """
    method, start = config.model.method, config.model.start
    if not METHODS[method]:
        return
    if start is None:
        known = " or ".join(METHODS[method])
        raise ConfigError(f"--method {method} needs --from RUN, a finished run of the method {known}")
    before = predecessor(Path(start), config.recipe, method)
    for key in ("name", *shape_settings(config)):
        if config.model[key] != before.model[key]:
            values = f"{config.model[key]}, the run {start} has {before.model[key]}"
            raise ConfigError(f"model.{key} is {values}; they must be equal")
    from spikeseq.recipes.config import changes  # late: it imports OmegaConf

    refuse_idle(config, changes(config), idle_after(before, start))
    teacher_run(config)


def start_model(config: Any, data: ImageData) -> nn.Module:
    """What a run trains, or for `convert` only tests."""
    if not METHODS[config.model.method]:
        return empty(config, *data.shape)
    folder = Path(config.model.start)
    before = runs.read_config(folder)
    if is_spiking(before):
        return restored(folder, config, data)
    before.model.dropout = config.model.dropout  # the ANN's own goes no further than its training
    return converted(restored(folder, before, data).eval(), config, data)


def restored(folder: Path, config: Any, data: ImageData) -> nn.Module:
    """The model of a configuration with the weights of a run, trained on images like these."""
    same_images(folder, data)
    model = empty(config, *data.shape)
    load_weights(folder, model)
    return model


def same_images(folder: Path, data: ImageData) -> None:
    """Raises ConfigError for a run that was trained on images of other classes, channels or sizes."""
    theirs, ours = read_images(folder), data.about()
    for key in ("classes", "channels", "size"):
        if theirs[key] != ours[key]:
            one, other = (told(about[key]) for about in (theirs, ours))
            raise ConfigError(
                f"{folder} was trained on images of {key} {one}, those of {data.name} have {other}: what goes"
                " on from a run needs the data of that run"
            )


def told(value: Any) -> str:
    return listed(map(str, value if isinstance(value, list) else [value]))


def teacher_run(config: Any) -> Path | None:
    """The run of the ANN that a run goes back to; None where its answers have no weight.

    Raises:
        ConfigError, runs.RunError: a run on the way back to it is not there.
    """
    start = config.model.start
    if not config.distillation.weight:
        return None
    seen: list[Path] = []
    while start is not None:
        if Path(start).resolve() in seen:
            raise ConfigError(f"{seen[0]} starts from itself: {start} leads back to it; give another --from")
        seen.append(Path(start).resolve())
        before = runs.read_config(Path(start))
        if not is_spiking(before):
            return Path(start)
        start = before.model.start
    raise ConfigError("distillation.weight needs --from RUN, a run that goes back to an ANN's")


def open_teacher(config: Any, data: ImageData) -> Teacher | None:
    """The ANN that a run goes back to, as `teacher_run` finds it."""
    folder = teacher_run(config)
    if folder is None:
        return None
    network = restored(folder, runs.read_config(folder), data)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    settings = config.distillation
    return Teacher(network.eval().requires_grad_(False), settings.weight, settings.temperature)


def converted(ann: nn.Module, config: Any, data: ImageData) -> SpikingNetwork:
    """The spiking network of an ANN, thresholds measured on training images."""
    settings = config.conversion
    batches = calibration_batches(data, settings.images, config.data.split_seed)
    with steps_bar("measuring thresholds") as step, settings_named():
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
