"""Settings of an image recipe that are wrong together, or that would silently do nothing."""

from typing import Any

import torch

from spikeseq.models.backbones.plain import PLANS
from spikeseq.recipes.config import changes
from spikeseq.recipes.images.distillation import check_mixture
from spikeseq.recipes.images.models import METHODS, fresh, is_spiking
from spikeseq.recipes.images.task import Augmentation
from spikeseq.recipes.shared.neurons import SPIKING

TEXTS = ("train.batch_tokens", "train.embedding_rate")
"""Settings of recipes for texts, whose section `train` is the same."""
GRADIENTS = (
    *("dropout", "learn_leak", "learn_threshold", "detach_reset"),
    *("surrogate", "height", "surrogate_width", "chunk"),
)
"""Of the section `model`: what nothing comes of without training."""
MEASURING = ("batch_size", "precision")
"""Of the section `train`: what validation and tests use, too."""
AUGMENTATION = ("shift", "flip", "erase")


def check_settings(config: Any) -> None:
    """Raises ValueError naming the setting, its value and what is accepted."""
    model, train = config.model, config.train
    for name in ("images", "energy_images"):
        value = config.evaluate[name]
        if value is not None and value < 1:
            raise ValueError(f"evaluate.{name} must be at least 1, got {value}")
    augmentation(config)
    if model.chunk is not None and (model.chunk < 1 or not is_spiking(config)):
        raise ValueError(f"model.chunk must be at least 1 sub-step of a spiking network, got {model.chunk}")
    if model.chunk is not None and train.spike_penalty:
        raise ValueError("train.spike_penalty must be 0 with model.chunk, which computes spikes twice")
    check_mixture(config.distillation.weight, config.distillation.temperature)
    if train.batch_size == 1 and model.norm != "none" and model.method != "convert":
        raise ValueError(f"train.batch_size must be at least 2 with model.norm={model.norm}, got 1")
    _check_effect(config)
    with torch.device("meta"):  # no memory, only the checks
        fresh(config, 2, 1, config.data.size or 256, spiking=is_spiking(config))


def _check_effect(config: Any) -> None:
    """Refuses what was changed of the defaults and has no effect on this model or method."""
    model, method = config.model, config.model.method
    untrained = {
        "model": GRADIENTS,
        "train": [str(name) for name in config.train if name not in MEASURING],
        "data": AUGMENTATION,
    }
    for key, value in changes(config).items():
        section, _, name = key.partition(".")
        idle = None
        if section == "model" and name in SPIKING and not is_spiking(config):
            idle = "with --method ann, which has no spikes"
        elif key == "model.stem" and model.name in PLANS:
            idle = f"on {model.name}, only on a resnet"
        elif key == "model.hidden" and model.name not in PLANS:
            idle = f"on {model.name}, which has no hidden linear layers"
        elif key in TEXTS:
            idle = "on images"
        elif method == "convert" and name in untrained.get(section, ()):
            idle = "with --method convert, which trains nothing"
        elif section == "conversion" and "ann" not in METHODS[method]:
            idle = f"with --method {method}, which converts nothing"
        elif key == "conversion.percentile" and config.conversion.statistic == "max":
            idle = "with conversion.statistic=max"
        elif section == "distillation" and (method == "convert" or not METHODS[method]):
            idle = f"with --method {method}, which has no teacher"
        elif key == "distillation.temperature" and not config.distillation.weight:
            idle = "without distillation.weight"
        if idle:
            raise ValueError(f"{key} has no effect {idle}; got {value}")


def augmentation(config: Any, side: int | None = None) -> Augmentation:
    """Raises ValueError for settings that are none, or leave nothing of a training image of that side."""
    data = config.data
    if side is not None and config.model.method != "convert" and (data.shift >= side or data.erase > side):
        got = f"{data.shift} and {data.erase}"
        raise ValueError(
            f"data.shift must be below, and data.erase at most, the image's {side} pixels; got {got}"
        )
    return Augmentation(data.shift, data.flip, data.erase)
