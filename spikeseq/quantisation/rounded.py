"""Maps and look-ups with rounded operands, as they are trained."""

import math
from typing import Any

from torch import Tensor, nn

from .step import Quantiser

HALF = math.sqrt(2 / math.pi)  # mean size of values of unit variance


def spare_bytes(module: Any) -> float:
    """Bytes that a weight takes here beyond those that its bits need."""
    return float(module.weight.numel() * (module.weight.element_size() - module.bits / 8))


class RoundedEmbedding(nn.Embedding):
    """An nn.Embedding whose rows have `bits` bits.

    Args:
        embedding: whose table it takes over. bits: as `Quantiser`. mean: as there.
    """

    def __init__(self, embedding: nn.Embedding, bits: int, mean: float) -> None:
        super().__init__(embedding.num_embeddings, embedding.embedding_dim, padding_idx=embedding.padding_idx)
        self.weight, self.bits = embedding.weight, bits
        self.weights = Quantiser(bits, mean=mean, constant=True)

    @property
    def spare_bytes(self) -> float:
        return spare_bytes(self)

    def forward(self, ids: Tensor) -> Tensor:
        return self.weights(super().forward(ids))  # type: ignore[no-any-return]


class RoundedLinear(nn.Linear):
    """An nn.Linear of `bits` bits.

    Args:
        linear: whose weights it takes over. bits: as `Quantiser`.
        mean: mean size of its inputs to start with.
        weights: the rounding of its weights, where a table is an embedding's, too.
        size: mean size of its weights to start with; default that of an nn.Linear.
        spiking: what comes in is spikes, or sums of them, and stays as it is.
    """

    def __init__(
        self,
        linear: nn.Linear,
        bits: int,
        mean: float = HALF,
        weights: Quantiser | None = None,
        *,
        size: float | None = None,
        spiking: bool = False,
    ) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias, self.bits = linear.weight, linear.bias, bits
        size = 0.5 / math.sqrt(linear.in_features) if size is None else size
        self.shared = weights is not None
        self.weights = Quantiser(bits, mean=size, constant=True) if weights is None else weights
        self.inputs = None if spiking else Quantiser(bits, mean=mean)

    @property
    def spare_bytes(self) -> float:
        return 0.0 if self.shared else spare_bytes(self)

    def forward(self, x: Tensor) -> Tensor:
        given = x if self.inputs is None else self.inputs(x)
        return nn.functional.linear(given, self.weights(self.weight), self.bias)
