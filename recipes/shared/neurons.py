"""Neurons as the section `model` of a configuration describes them."""

import math
from typing import Any

from spikeseq.functional import SURROGATES


def neuron_arguments(model: Any) -> dict[str, Any]:
    """The arguments of `SpikingActivation` in the section `model` of a configuration."""
    if model.surrogate not in SURROGATES:
        raise ValueError(f"model.surrogate must be one of {', '.join(SURROGATES)}, got {model.surrogate!r}")
    shape = {"height": model.height, "surrogate_width": model.surrogate_width}
    for key, value in shape.items():
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"model.{key} must be a positive number, got {value}")
    given = {key.removeprefix("surrogate_"): value for key, value in shape.items() if value is not None}
    return {
        "leak": model.leak,
        "threshold": model.threshold,
        "initial": model.initial,
        "learn_leak": model.learn_leak,
        "learn_threshold": model.learn_threshold,
        "reset": model.reset,
        "detach_reset": model.detach_reset,
        "surrogate": SURROGATES[model.surrogate](**given),
    }
