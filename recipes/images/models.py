"""The model of an image recipe, as a configuration describes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from spikeseq.models.backbones import build_backbone
from spikeseq.recipes.images.settings import is_plain, is_spiking
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.settings import LearntNeuronSettings, names_of
from spikeseq.recipes.shared.neurons import neuron_arguments

NEURONS = names_of(LearntNeuronSettings)
# Settings by the arguments that they become, whose names begin the errors about them.
ARGUMENTS = {
    **{
        name: f"model.{name}" for name in (*NEURONS, "width", "hidden", "dropout", "norm", "stem", "encoding")
    },
    "size": "data.size",
    "method": "conversion.statistic",
    "percentile": "conversion.percentile",
    "threshold_scale": "conversion.scale",
    "calibration_substeps": "conversion.substeps",
}


@contextmanager
def settings_named() -> Iterator[None]:
    """An error about an argument becomes one about the setting."""
    try:
        yield
    except (TypeError, ValueError) as error:
        name, space, rest = str(error).partition(" ")
        if name not in ARGUMENTS:
            raise
        raise ConfigError(ARGUMENTS[name] + space + rest) from None


def shape_settings(config: Any) -> tuple[str, ...]:
    """Of the section `model`: what the weights of a backbone fix."""
    return ("width", "norm", "hidden" if is_plain(config) else "stem")


def fresh(config: Any, classes: int, channels: int, size: int, *, spiking: bool) -> nn.Module:
    """The backbone of a configuration with weights of its seed."""
    model = config.model
    torch.manual_seed(config.seed)
    options: dict[str, Any] = {
        "classes": classes, "channels": channels, "size": size,
        **{key: model[key] for key in ("dropout", *shape_settings(config))},
    }  # fmt: skip
    if spiking:
        options |= {"activation": "spiking", "substeps": model.substeps, "encoding": model.encoding}
        options |= neuron_arguments(model)
    with settings_named():
        return build_backbone(model.name, **options)


def empty(config: Any, classes: int, channels: int, size: int) -> nn.Module:
    """The model of a run, its weights still to be loaded."""
    return fresh(config, classes, channels, size, spiking=is_spiking(config))
