"""Answers of a trained ANN as targets beside the labels (Hinton et al., 2015, arXiv:1503.02531)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeseq.recipes.shared.distillation import check_mixture, divergences


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
        """Scalar: `by_labels`, mixed with the divergence of the answers `logits` (B, classes) to `images`."""
        with torch.no_grad():
            answers = self.network.to(images.device)(images)
        divergence = divergences(logits, answers, self.temperature).mean()
        return (1 - self.weight) * by_labels + self.weight * divergence
