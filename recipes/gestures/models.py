"""The network that a gesture configuration describes."""

from typing import Any

import torch
from omegaconf import ListConfig
from torch import nn

from spikeseq.models.gesture import build_gesture_network
from spikeseq.recipes.config import changes
from spikeseq.recipes.gestures.frames import encoding_of
from spikeseq.recipes.shared.neurons import SPIKING, neuron_arguments


def gesture_network(config: Any, classes: int) -> nn.Module:
    """With weights of the configuration's seed.

    Raises:
        ValueError: naming a setting that cannot be used.
    """
    model, encoding = config.model, encoding_of(config.data)
    if model.method != encoding.encoding:
        raise ValueError(f"data.encoding must be that of --method {model.method}, got {encoding.encoding!r}")
    spiking = model.name == "snn"
    whole = encoding.encoding == "blocks" and not one_by_one(config)
    for key, value in changes(config).items():
        section, _, name = key.partition(".")
        if section == "model" and name in (*SPIKING, "leaks", "memory") and not spiking:
            raise ValueError(f"{key} is for the model snn, not for {model.name!r}; got {value}")
    if whole and not model.memory:
        raise ValueError("model.memory=false is for --method frames; blocks are one image")
    torch.manual_seed(config.seed)
    return build_gesture_network(
        model.name,
        classes=classes,
        channels=encoding.frames if whole else encoding.channels,
        size=encoding.size,
        widths=numbers("model.widths", model.widths),
        kernel=model.kernel,
        pool=model.pool,
        hidden=model.hidden,
        dropout=model.dropout,
        norm=model.norm,
        substeps=model.substeps,
        memory=model.memory,
        leaks=(tuple(numbers("model.leaks", model.leaks)) or None) if spiking else None,
        **(neuron_arguments(model) if spiking else {}),
    )


def numbers(name: str, value: Any) -> list[Any]:
    """Raises ValueError for one number: a list is meant."""
    if not isinstance(value, ListConfig):
        raise ValueError(f"{name} must be a list, such as [{value}, {value}], got {value}")
    return list(value)


def one_by_one(config: Any) -> bool:
    """Whether blocks are a sequence, as for the GRU, and not the channels of one image (thesis 6.3)."""
    return bool(config.model.name == "gru" and config.data.encoding == "blocks")
