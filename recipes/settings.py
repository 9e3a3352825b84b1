"""How a model is trained: the section `train` of a configuration, and what the optimiser makes of it."""

import math
from dataclasses import dataclass
from typing import Any

from torch import nn

SCHEDULES = ("cosine", "linear")
PRECISIONS = ("auto", "float32", "bf16")


@dataclass
class TrainSettings:
    """How a model is trained. The section `train` of a recipe's configuration.

    epochs: passes over the training texts at most.
    batch_size: texts per batch.
    batch_tokens: padded tokens per batch, for recipes that batch by tokens; 0: not used.
    learning_rate: of AdamW, after `warmup` updates; then down to zero over all epochs.
    schedule: how it comes down, `cosine` or `linear`.
    beta2: decay of AdamW's mean of squared gradients.
    embedding_rate: learning rate of embedding tables relative to that of the rest.
    weight_decay: of weight matrices; vectors, leaks, thresholds and embeddings have none.
    clip: largest norm of the gradient.
    average: decay of the exponential moving average of the weights, which is what is validated and kept.
    spike_penalty: weight, in the loss, of the share of neurons that fire per sub-step; in images, neurons
        weigh as much as the additions that their spikes cause.
    label_smoothing: share of the target that is spread over all classes.
    precision: of products, for recipes that leave it open: float32, bf16, or auto, bf16 where it is faster.
    patience: epochs without a better validation score before training stops; 0 to never stop early.

    Raises:
        ValueError: naming the setting, its value and what is accepted.
    """

    epochs: int = 10
    batch_size: int = 64
    batch_tokens: int = 0
    learning_rate: float = 2e-3
    schedule: str = "cosine"
    beta2: float = 0.999
    embedding_rate: float = 1.0
    weight_decay: float = 0.01
    warmup: int = 200
    clip: float = 1.0
    average: float = 0.998
    spike_penalty: float = 0.0
    label_smoothing: float = 0.0
    precision: str = "float32"
    patience: int = 3

    def __post_init__(self) -> None:
        share = "in [0, 1)"
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "batch_tokens": (self.batch_tokens >= 0, "0 (not used) or more padded tokens"),
            "learning_rate": (0 < self.learning_rate < math.inf, "a positive number"),
            "schedule": (self.schedule in SCHEDULES, " or ".join(SCHEDULES)),
            "beta2": (0 <= self.beta2 < 1, share),
            "embedding_rate": (0 <= self.embedding_rate < math.inf, "0 or a positive number"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or a positive number"),
            "warmup": (self.warmup >= 0, "0 or more updates"),
            "clip": (self.clip > 0, "a positive number"),
            "average": (0 <= self.average < 1, share),
            "spike_penalty": (0 <= self.spike_penalty < math.inf, "0 or a positive number"),
            "label_smoothing": (0 <= self.label_smoothing < 1, share),
            "precision": (self.precision in PRECISIONS, " or ".join(PRECISIONS)),
            "patience": (self.patience >= 0, "0 (never stop early) or more epochs"),
        }
        for name, (good, expected) in checks.items():
            if not good:
                raise ValueError(f"train.{name} must be {expected}, got {getattr(self, name)}")


def parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """AdamW's groups: matrices with weight decay; vectors, scalars without; embeddings at their own rate."""
    embeddings = [m for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag)]
    tables = {id(p) for module in embeddings for p in module.parameters()}
    trained = [p for p in model.parameters() if p.requires_grad]
    others = [p for p in trained if id(p) not in tables]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in others if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in others if p.dim() <= 1], "weight_decay": 0.0},
        {
            "params": [p for p in trained if id(p) in tables],
            "weight_decay": 0.0,
            "lr": settings.learning_rate * settings.embedding_rate,
        },
    ]
    return [group for group in groups if group["params"]]


def rate_at(step: int, steps: int, warmup: int, schedule: str = "cosine") -> float:
    """The learning rate's factor: linear warm-up over at most a quarter of the steps, then down to zero.

    The cosine is that of all steps; the line falls from 1 at the end of the warm-up.
    """
    warmup, step = min(warmup, steps // 4), min(step, steps)
    rise = min(1.0, (step + 1) / max(1, warmup))
    if schedule == "linear":
        return min(rise, (steps - step) / (steps - warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))
