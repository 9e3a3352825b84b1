"""Settings of an image recipe that are wrong together, or that its network cannot have."""

from typing import Any

import torch

from spikeseq.recipes.images.models import fresh
from spikeseq.recipes.images.settings import converts, is_spiking
from spikeseq.recipes.shared.images.augmentation import Augmentation


def check_settings(config: Any) -> None:
    """Raises ValueError naming the setting, its value and what is accepted."""
    model, train = config.model, config.train
    augmentation(config)
    if model.chunk is not None and train.spike_penalty:
        raise ValueError("train.spike_penalty must be 0 with model.chunk, which computes spikes twice")
    if train.batch_size == 1 and model.norm != "none" and not converts(config):
        raise ValueError(f"train.batch_size must be at least 2 with model.norm={model.norm}, got 1")
    with torch.device("meta"):  # no memory, only the checks
        fresh(config, 2, 1, config.data.size or 256, spiking=is_spiking(config))


def augmentation(config: Any, side: int | None = None) -> Augmentation:
    """Raises ValueError for settings that are none, or leave nothing of a training image of that side."""
    data = config.data
    if side is not None and not converts(config) and (data.shift >= side or data.erase > side):
        got = f"{data.shift} and {data.erase}"
        raise ValueError(
            f"data.shift must be below, and data.erase at most, the image's {side} pixels; got {got}"
        )
    return Augmentation(data.shift, data.flip, data.erase)
