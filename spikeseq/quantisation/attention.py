"""Attention with rounded operands, as it is trained."""

import math

from torch import Tensor

from ..nn import AdditiveAttention, DotAttention
from ..nn.attention import Prepared, masked_softmax
from .rounded import HALF, RoundedLinear
from .step import Quantiser


class RoundedDotAttention(DotAttention):
    """A `DotAttention` of `bits` bits: its maps, queries, keys, values and weights.

    Args:
        attention: whose maps it takes over. bits: as `Quantiser`.
    """

    def __init__(self, attention: DotAttention, bits: int) -> None:
        query_map, context_map = attention.query_map, attention.context_map
        super().__init__(query_map.in_features, query_map.out_features, context_map.out_features)
        self.bits = bits
        self.query_map, self.context_map = RoundedLinear(query_map, bits), RoundedLinear(context_map, bits)
        self.queries, self.keys, self.values = (Quantiser(bits, mean=mean) for mean in (0.5, HALF, 1.0))
        self.shares = Quantiser(bits, signed=False, mean=0.1)

    def forward(
        self, query: Tensor, prepared: Prepared, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `DotAttention`."""
        keys, values = prepared.within(lengths)
        queries = self.queries(self.query_map(query)).transpose(0, 1)
        scores = queries @ self.keys(keys).permute(1, 2, 0) / math.sqrt(keys.shape[2])
        weights = masked_softmax(scores.transpose(0, 1), lengths)
        context = self.shares(weights).transpose(0, 1) @ self.values(values).transpose(0, 1)
        return self.context_map(context.transpose(0, 1)), weights


class RoundedAdditiveAttention(AdditiveAttention):
    """An `AdditiveAttention` of `bits` bits: its maps, what is compared, values and weights.

    Args:
        attention: whose maps it takes over. bits: as `Quantiser`.
        queries, states: mean size of both to start with.
    """

    def __init__(
        self, attention: AdditiveAttention, bits: int, queries: float = HALF, states: float = HALF
    ) -> None:
        query_map, key_map = attention.query_map, attention.key_map
        super().__init__(query_map.in_features, key_map.in_features, key_map.out_features)
        self.bits = bits
        self.query_map = RoundedLinear(query_map, bits, queries)
        self.key_map = RoundedLinear(key_map, bits, states)
        self.score = RoundedLinear(attention.score, bits, mean=0.5)
        self.values = Quantiser(bits, mean=states)
        self.shares = Quantiser(bits, signed=False, mean=0.1)

    def gather(self, weights: Tensor, values: Tensor) -> Tensor:
        return super().gather(self.shares(weights), self.values(values))
