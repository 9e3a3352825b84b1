"""Maps, convolutions, look-ups and attention with rounded operands, as they are trained.

`round_operands` puts them into a convolutional encoder-decoder: the opponent of a spiking one, and the
spiking one itself, whose spikes need no rounding.
"""

import math
from typing import Any

from torch import Tensor, nn

from ..functional.taps import add_taps
from ..nn import LIF, DotAttention, TokenConv1d
from ..nn.attention import Prepared, masked_softmax
from ..nn.start import begin, normal, zero
from .step import Quantiser

HALF = math.sqrt(2 / math.pi)  # mean size of values of unit variance
RECTIFIED = HALF / 2


def spare_bytes(module: Any) -> float:
    """Bytes that a weight takes here beyond those that its bits need."""
    return float(module.weight.numel() * (module.weight.element_size() - module.bits / 8))


class RoundedTokenConv1d(TokenConv1d):
    """A `TokenConv1d` of `bits` bits behind rectified units, or behind spikes.

    Args:
        conv: whose weights it takes over. bits: as `Quantiser`.
        spiking: what comes in is spikes, and stays as it is.
    """

    def __init__(self, conv: TokenConv1d, bits: int, spiking: bool = False) -> None:
        super().__init__(
            conv.in_channels, conv.out_channels, conv.kernel_size, causal=conv.causal,
            bias=conv.bias is not None,
        )  # fmt: skip
        self.weight, self.bias, self.bits = conv.weight, conv.bias, bits
        std = 1 / math.sqrt(conv.kernel_size * conv.in_channels)
        self.weights = Quantiser(bits, mean=HALF * std, constant=True)
        self.inputs = None if spiking else Quantiser(bits, signed=False, mean=RECTIFIED)

    @property
    def spare_bytes(self) -> float:
        return spare_bytes(self)

    def given(self, x: Tensor) -> Tensor:
        """What goes through the weights."""
        return x if self.inputs is None else self.inputs(x)

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, plus: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As `TokenConv1d`; the state is of rounded values."""
        return super().forward(self.given(x), state, plus=plus)

    def add(self, base: Tensor, x: Tensor, before: int) -> Tensor:
        return add_taps(base, x, self.weights(self.weight), before)


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
    """

    def __init__(
        self, linear: nn.Linear, bits: int, mean: float = HALF, weights: Quantiser | None = None
    ) -> None:
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None)
        self.weight, self.bias, self.bits = linear.weight, linear.bias, bits
        bound = 1 / math.sqrt(linear.in_features)
        self.shared = weights is not None
        self.weights = Quantiser(bits, mean=bound / 2, constant=True) if weights is None else weights
        self.inputs = Quantiser(bits, mean=mean)

    @property
    def spare_bytes(self) -> float:
        return 0.0 if self.shared else spare_bytes(self)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(self.inputs(x), self.weights(self.weight), self.bias)


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


def round_operands(model: Any, bits: int) -> None:
    """Gives a `ConvSeq2Seq` rounded operands, in place; normalisations and neurons stay as they are."""
    for side in (model.encoder, model.decoder):
        for block in side.blocks:
            block.conv = RoundedTokenConv1d(block.conv, bits, isinstance(block.activation, LIF))
        for name in ("tokens", "positions"):
            table = getattr(side.embedding, name)
            std = table.reset_parameters.arguments["std"]
            setattr(side.embedding, name, begin(RoundedEmbedding(table, bits, HALF * std), normal, std=std))
    model.attention = nn.ModuleList(RoundedDotAttention(one, bits) for one in model.attention)
    tokens = model.decoder.embedding.tokens
    output_map = RoundedLinear(model.output_map, bits, weights=tokens.weights)
    model.output_map = begin(output_map, zero, own=False, bias=True)


__all__ = [
    "RoundedDotAttention",
    "RoundedEmbedding",
    "RoundedLinear",
    "RoundedTokenConv1d",
    "round_operands",
]
