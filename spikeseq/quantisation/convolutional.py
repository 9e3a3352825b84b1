"""Convolutional encoder-decoders with rounded operands, as they are trained.

The opponent of a spiking one, and the spiking one itself, whose spikes need no rounding.
"""

import math
from typing import Any

from torch import Tensor, nn

from ..functional.taps import add_taps
from ..nn import LIF, TokenConv1d
from ..nn.start import begin, normal, zero
from .attention import RoundedDotAttention
from .rounded import HALF, RoundedEmbedding, RoundedLinear, spare_bytes
from .step import Quantiser

RECTIFIED = HALF / 2


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


def round_convolutions(model: Any, bits: int) -> None:
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
