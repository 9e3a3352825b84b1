"""The next token from logits: by temperature, among the k likeliest, or among those that hold a share p."""

import math

import torch
from torch import Tensor

from ...checks import check_number, positive_int


def check_sampling(temperature: float, top_k: int | None, top_p: float) -> None:
    """What `draw` accepts.

    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """
    check_number("temperature", temperature)
    if not 0 <= temperature < math.inf:
        raise ValueError(
            f"temperature must be 0 (the likeliest token) or a positive number, got {temperature}"
        )
    if top_k is not None:
        positive_int("top_k", top_k)
    check_number("top_p", top_p)
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p must lie in (0, 1], got {top_p}")


def draw(
    logits: Tensor,
    generator: torch.Generator | None = None,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Tensor:
    """A token for every row of logits (B, V): (B,) int64.

    Args:
        generator: of random numbers; default torch's own.
        temperature: what logits are divided by; 0 takes the likeliest token. Default 1, the model as it is.
        top_k: only the k likeliest; default all.
        top_p: only the likeliest that together hold a share p (nucleus sampling, Holtzman et al., 2020).
            Default 1, all. Always one at least.
    Raises:
        TypeError, ValueError: as `check_sampling`.
    """
    check_sampling(temperature, top_k, top_p)
    if logits.is_cpu and bool(logits.isnan().any()):
        raise ValueError("logits must be numbers, got NaN: the model's weights are not finite")
    if temperature == 0:
        return logits.argmax(1)
    logits = logits.double()
    logits = (logits - logits.amax(1, keepdim=True)) / temperature  # however small that is, the largest is 0
    if top_k is not None and top_k < logits.shape[1]:
        kept = torch.full_like(logits, -math.inf)
        best = logits.topk(top_k, 1)
        logits = kept.scatter(1, best.indices, best.values)
    if top_p < 1:
        sorted_logits, order = logits.sort(1, descending=True)
        shares = sorted_logits.softmax(1)
        behind = shares.cumsum(1) - shares >= top_p
        logits = logits.masked_fill(behind.gather(1, order.argsort(1)), -math.inf)
    return torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
