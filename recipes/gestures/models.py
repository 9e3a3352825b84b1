"""The network that a gesture configuration describes."""

from typing import Any

import torch
from torch import nn

from spikeseq.models.gesture import build_gesture_network
from spikeseq.recipes.gestures.frames import encoding_of
from spikeseq.recipes.shared.neurons import neuron_arguments


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
    torch.manual_seed(config.seed)
    return build_gesture_network(
        model.name,
        classes=classes,
        channels=encoding.frames if whole else encoding.channels,
        size=encoding.size,
        widths=list(model.widths),
        kernel=model.kernel,
        pool=model.pool,
        hidden=model.hidden,
        dropout=model.dropout,
        norm=model.norm,
        substeps=model.substeps,
        memory=model.memory,
        leaks=(tuple(model.leaks) or None) if spiking else None,
        **(neuron_arguments(model) if spiking else {}),
    )


def one_by_one(config: Any) -> bool:
    """Whether blocks are a sequence, as for the GRU, and not the channels of one image (thesis 6.3)."""
    return bool(config.model.name == "gru" and config.data.encoding == "blocks")
