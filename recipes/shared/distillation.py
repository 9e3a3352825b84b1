"""Answers of a trained network as targets: the loss by them (Hinton et al., 2015, arXiv:1503.02531)."""

import math

from torch import Tensor, nn


def check_mixture(weight: float, temperature: float) -> None:
    """Raises ValueError for values that no distillation can have, naming the setting."""
    if not 0 <= weight <= 1:
        raise ValueError(f"distillation.weight must lie in [0, 1], got {weight}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"distillation.temperature must be a positive number, got {temperature}")


def divergences(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """(B,): how far the classes' shares by `logits` (B, classes) are from those by a teacher's `answers`.

    The divergence of both divided by the temperature, so that unlikely classes count, too; multiplied by the
    squared temperature, by which its gradient shrinks.
    """
    target = (answers.float() / temperature).log_softmax(1)
    found = (logits / temperature).log_softmax(1)
    return temperature**2 * nn.functional.kl_div(found, target, reduction="none", log_target=True).sum(1)
