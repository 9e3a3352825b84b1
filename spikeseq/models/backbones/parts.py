"""What all backbones are made of; one choice of parts makes an ANN, another its spiking twin."""

import math
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from torch import nn

from ...checks import check_share, choice, positive_int
from ...nn.activation import SpikingActivation, StepBatchNorm, TimedDropout
from ...nn.start import begin, normal

ACTIVATIONS = ("relu", "spiking")
NORMS = ("none", "batch", "batch-steps")


@dataclass(frozen=True)
class Parts:
    """The parts of a backbone.

    Args:
        activation: "relu" or "spiking".
        norm: of the currents of hidden layers: "none" (networks to be converted: thesis 4.3), "batch"
            (statistics shared by all sub-steps) or "batch-steps" (statistics for each; spiking only).
        dropout: share silenced behind activations, with one mask for all sub-steps. Default 0.2.
        substeps: T, for the statistics of "batch-steps".
        neuron: arguments of `LIF`, and `initial` of `SpikingActivation`.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """

    activation: str = "relu"
    norm: str = "none"
    dropout: float = 0.2
    substeps: int = 5
    neuron: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        choice("activation", self.activation, ACTIVATIONS)
        choice("norm", self.norm, NORMS)
        positive_int("substeps", self.substeps)
        try:
            check_share(self.dropout)
        except (TypeError, ValueError) as error:
            raise type(error)(f"dropout{str(error).removeprefix('p')}") from None
        if self.norm == "batch-steps" and self.activation == "relu":
            raise ValueError("norm must be 'none' or 'batch' with activation 'relu', got 'batch-steps'")
        if self.neuron and self.activation == "relu":
            raise ValueError(f"activation must be 'spiking' with {', '.join(self.neuron)}, got 'relu'")

    def fire(self) -> nn.Module:
        """An activation."""
        return SpikingActivation(**self.neuron) if self.activation == "spiking" else nn.ReLU()

    def drop(self) -> nn.Module:
        return TimedDropout(self.dropout) if self.dropout else nn.Identity()

    def normalise(self, features: int, kind: type[nn.Module] = nn.BatchNorm2d) -> list[nn.Module]:
        """What comes between a map and its neurons, if anything does."""
        if self.norm == "batch":
            return [kind(features)]
        return [StepBatchNorm(features, self.substeps)] if self.norm == "batch-steps" else []

    def conv(
        self, inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, gain: float = 1.0
    ) -> nn.Sequential:
        """Convolution without bias (thesis 4.3), normalised. gain: of its start weights."""
        conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False)
        begin(conv, normal, std=gain * math.sqrt(2 / (inputs * kernel**2)))
        return nn.Sequential(conv, *self.normalise(outputs))

    def hidden(self, inputs: int, outputs: int) -> list[nn.Module]:
        """Linear map, normalised, activation, dropout."""
        norm = self.normalise(outputs, nn.BatchNorm1d)
        return [self.linear(inputs, outputs), *norm, self.fire(), self.drop()]

    def linear(self, inputs: int, outputs: int) -> nn.Linear:
        return begin(nn.Linear(inputs, outputs, bias=False), normal, std=math.sqrt(2 / inputs))


def check_width(width: float) -> None:
    """Raises TypeError or ValueError for what is no factor on channels."""
    if isinstance(width, bool) or not isinstance(width, Real):
        raise TypeError(f"width must be a number, got {width!r}")
    if not 0 < width < math.inf:
        raise ValueError(f"width must be a positive number, got {width}")


def scaled_width(channels: int, width: float) -> int:
    """`channels` times `width`, a whole multiple of eight where there are so many."""
    scaled = channels * width
    return max(8 * round(scaled / 8), 8) if channels >= 8 else channels
