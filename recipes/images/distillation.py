"""Answers of a trained ANN as targets beside the labels (Hinton et al., 2015, arXiv:1503.02531)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Teacher:
    """A network in evaluation mode whose answers are learnt.

    weight: share of the loss that its answers have; the labels have the rest.
    temperature: that both networks' logits are divided by, so that unlikely classes count, too.

    Raises:
        ValueError: naming the setting, its value and what is accepted.
    """

    network: nn.Module
    weight: float
    temperature: float

    def __post_init__(self) -> None:
        check_mixture(self.weight, self.temperature)

    def loss(self, logits: Tensor, images: Tensor, by_labels: Tensor) -> Tensor:
        """Scalar: `by_labels`, mixed with the divergence of the answers `logits` (B, classes) to `images`.

        The divergence is multiplied by the squared temperature, by which its gradient shrinks.
        """
        with torch.no_grad():
            target = self.network.to(images.device)(images).float() / self.temperature
        divergence = nn.functional.kl_div(
            (logits / self.temperature).log_softmax(1),
            target.log_softmax(1),
            reduction="batchmean",
            log_target=True,
        )
        return (1 - self.weight) * by_labels + self.weight * self.temperature**2 * divergence


def check_mixture(weight: float, temperature: float) -> None:
    """Raises ValueError for values that a `Teacher` cannot have."""
    if not 0 <= weight <= 1:
        raise ValueError(f"distillation.weight must lie in [0, 1], got {weight}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"distillation.temperature must be a positive number, got {temperature}")
