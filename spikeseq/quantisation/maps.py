"""Look-ups and maps whose values are kept in few bits, as they are deployed."""

from typing import Any

import torch
from torch import Tensor, nn

from .step import check_bits, levels


class Packed(nn.Module):
    """Values of `bits` bits: whole numbers times one step.

    Here a byte holds each; `spare_bytes` are those that a packed store does without.
    """

    values: Tensor
    step: Tensor

    def __init__(self, values: Tensor, step: Tensor, bits: int) -> None:
        super().__init__()
        low, high = levels(check_bits(bits))
        whole = (values.detach() / step).round().clamp(low, high)
        self.bits = bits
        self.register_buffer("values", whole.to(torch.int8))
        self.register_buffer("step", step.detach().clone())

    @property
    def spare_bytes(self) -> float:
        return self.values.numel() * (1 - self.bits / 8)

    @property
    def weight(self) -> Tensor:
        """The values as numbers."""
        return self.values * self.step

    def extra_repr(self) -> str:
        return f"{tuple(self.values.shape)}, {self.bits} bits"


class QuantisedTable(Packed):
    """An embedding for inference whose rows have `bits` bits: ids (*) in, rows (*, E) out.

    Args:
        values: (V, E) multiples of the step. step: (). bits: as `Quantiser`.
    """

    padding_idx = None

    @property
    def embedding_dim(self) -> int:
        return self.values.shape[1]

    def forward(self, ids: Tensor) -> Tensor:
        return nn.functional.embedding(ids, self.values) * self.step


class QuantisedBag(QuantisedTable):
    """An nn.EmbeddingBag for inference whose rows have `bits` bits: ids (N, K) in, sums of rows (N, E) out.

    Args: as `QuantisedTable`.
    """

    def forward(self, ids: Tensor) -> Tensor:
        return super().forward(ids).sum(1)


class QuantisedLinear(Packed):
    """A linear map for inference whose weights have `bits` bits: (*, I) in, (*, O) out.

    Args:
        linear: what it stands for; one step for all of its weights, that of the least mean squared error.
        bits: as `Quantiser`.
    """

    def __init__(self, linear: Any, bits: int) -> None:
        super().__init__(linear.weight, best_step(linear.weight, bits), bits)
        self.out_features, self.in_features = linear.weight.shape
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        out = nn.functional.linear(x, self.values.to(x.dtype)) * self.step  # of spikes the sum is exact
        return out if self.bias is None else out + self.bias


def best_step(values: Tensor, bits: int, tries: int = 60) -> Tensor:
    """Of `tries` steps, up to the largest value over the largest level, that of the least squared error."""
    values = values.detach()
    high = levels(bits)[1]
    largest = (values.abs().max() / high).clamp(min=torch.finfo(values.dtype).tiny)
    shares = torch.linspace(1 / tries, 1, tries)
    sample = values.flatten()[:: max(1, values.numel() // 100_000)]
    errors = [float((((sample / (largest * s)).round().clamp(-high, high) * largest * s - sample) ** 2).sum())
              for s in shares]  # fmt: skip
    return largest * shares[errors.index(min(errors))]
