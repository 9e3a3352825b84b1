"""What the optimiser makes of the section `train`: groups of parameters, and the rate of every update."""

import math
from typing import Any

from torch import nn

from spikeseq.modules import of_kind
from spikeseq.recipes.settings import TrainSettings


def parameter_groups(model: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """AdamW's groups: matrices with weight decay; vectors, scalars without; embeddings at their own rate.

    At the rate 0 embeddings are held fixed, and no gradient of theirs is computed.
    """
    tables = {id(p) for p in embedding_tables(model, nn.Embedding, nn.EmbeddingBag)}
    if settings.embedding_rate == 0:
        for p in model.parameters():
            p.requires_grad_(p.requires_grad and id(p) not in tables)
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


def embedding_tables(model: nn.Module, *kinds: type[nn.Module]) -> list[nn.Parameter]:
    """The parameters of a model's look-ups."""
    return [p for module in of_kind(model, *kinds).values() for p in module.parameters()]


def rate_at(step: int, steps: int, warmup: int, schedule: str = "cosine") -> float:
    """The learning rate's factor: linear warm-up over at most a quarter of the steps, then down to zero.

    The cosine is that of all steps; the line falls from 1 at the end of the warm-up.
    """
    warmup, step = min(warmup, steps // 4), min(step, steps)
    rise = min(1.0, (step + 1) / max(1, warmup))
    if schedule == "linear":
        return min(rise, (steps - step) / (steps - warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * step / steps))
