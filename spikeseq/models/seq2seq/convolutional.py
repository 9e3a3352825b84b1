"""Convolutional encoder-decoders with attention (thesis 6.5.3, Fig. 6.7): spiking or ReLU on either side.

All tokens are processed in parallel. Token and position embeddings are direct-coded: the constant current of
the first neurons. Every further layer adds to the current of the one before. The last layer of either side
ends in integrators, the current summed over sub-steps. Every decoder layer attends to the encoder's states,
asked by its accumulated current, and gets the context as a constant current.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import choice, positive_int
from ...nn import DotAttention, ReLUConvBlock, SpikingConvBlock
from ...nn.attention import Prepared
from ...nn.lengths import cut
from ...nn.start import begin, normal, zero
from ...quantisation.convolutional import round_convolutions
from .base import PAD, Decoded, Memory, Seq2Seq, part

SIDES = ("snn", "ann")


class TokenEmbedding(nn.Module):
    """Token and learned position embeddings, added.

    Args:
        vocabulary: rows; row 0 is padding.
        channels: features C.
        positions: rows of the position table. Later tokens share its last row.
        dropout: share of the features silenced.
    """

    def __init__(self, vocabulary: int, channels: int, positions: int, dropout: float) -> None:
        super().__init__()
        tokens = nn.Embedding(vocabulary, positive_int("channels", channels), padding_idx=PAD)
        places = nn.Embedding(positive_int("positions", positions), channels)
        self.dropout = nn.Dropout(dropout)
        self.scale, self.last = math.sqrt(channels), positions - 1
        self.tokens = begin(tokens, normal, std=channels**-0.5)  # unit variance after the scale
        self.positions = begin(places, normal, std=0.3 * channels**-0.5)  # words come first

    def forward(self, tokens: Tensor, start: Tensor | None = None) -> Tensor:
        """(L, B, C) of ids (L, B); `start` (1, B) is the position of the first token, default 0."""
        at = torch.arange(tokens.shape[0], device=tokens.device).unsqueeze(1)
        at = (at if start is None else at + start).clamp(max=self.last)
        embedded = (self.tokens(tokens) + self.positions(at)) * self.scale
        return self.dropout(embedded)  # type: ignore[no-any-return]


class ConvSide(nn.Module):
    """Embedding, a stack of blocks, integrators, and a last normalisation.

    Args: as `ConvSeq2Seq`; `kind` is "snn" or "ann".
    """

    batch_first = False

    def __init__(
        self,
        kind: str,
        vocabulary: int,
        *,
        causal: bool,
        channels: int,
        layers: int,
        kernel_size: int,
        positions: int,
        dropout: float,
        embedding_dropout: float,
        norm: str,
        residual: bool,
        substeps: int,
        stream: bool,
        **neuron: Any,
    ) -> None:
        super().__init__()
        choice("encoder and decoder", kind, SIDES)
        shared: dict[str, Any] = {"causal": causal, "norm": norm, "residual": residual, "dropout": dropout}
        self.embedding = TokenEmbedding(vocabulary, channels, positions, embedding_dropout)
        self.blocks = nn.ModuleList(
            SpikingConvBlock(channels, kernel_size, substeps=substeps, stream=stream, **shared, **neuron)
            if kind == "snn"
            else ReLUConvBlock(channels, kernel_size, **shared)
            for _ in range(positive_int("layers", layers))
        )
        self.norm = nn.LayerNorm(channels)

    def forward(
        self,
        embedded: Tensor,
        states: Any = None,
        *,
        lengths: Tensor | None = None,
        attend: Any = None,
    ) -> tuple[Tensor, list[Any]]:
        """(L, B, C) embedded tokens to (L, B, C) integrated currents, and the states of the blocks.

        attend: one `Attend` per block, or None.
        """
        current, new = embedded.unsqueeze(1), []
        for i, block in enumerate(self.blocks):
            current, state = block(
                current,
                None if states is None else states[i],
                lengths=lengths,
                attend=None if attend is None else attend[i],
                integrate=i == len(self.blocks) - 1,
            )
            new.append(state)
        return self.norm(current.squeeze(1)), new


class ConvSeq2Seq(Seq2Seq):
    """Convolutional encoder-decoder with attention in every decoder layer.

    Args:
        source_vocabulary, target_vocabulary: sizes.
        encoder, decoder: "snn" or "ann" (rectified linear units, otherwise the same).
        channels: C of all layers and embeddings.
        layers: convolutions on either side; the thesis has 5 and 10.
        kernel_size: tokens a convolution spans; 3 as in the thesis.
        substeps: T of the spiking sides.
        stream: membranes persist from token to token in the spiking sides, as in a spiking RNN.
        norm: "layer" or "batch" normalisation of currents, or "none".
        residual: add each layer's current to the next one's. The thesis's plain variant has neither.
        dropout: share of neurons silenced per token after each layer, and of the last states.
        embedding_dropout: of the embeddings.
        positions: rows of the position tables; later tokens share the last one.
        bits: None, or 8, 4 or 3: operands of all maps, convolutions and attention, rounded in training as
            they would be deployed (`quantisation.convolutional`).
        neuron: arguments of `nn.LIF`.

    The output map shares the target embedding's table.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        encoder: str = "snn",
        decoder: str = "snn",
        channels: int = 256,
        layers: int = 5,
        kernel_size: int = 3,
        substeps: int = 3,
        stream: bool = False,
        norm: str = "layer",
        residual: bool = True,
        dropout: float = 0.2,
        embedding_dropout: float = 0.2,
        positions: int = 256,
        bits: int | None = None,
        **neuron: Any,
    ) -> None:
        super().__init__()
        SpikingConvBlock(1, substeps=substeps, norm=norm, **neuron)  # checked where neither side spikes, too
        side: dict[str, Any] = {
            "channels": channels, "layers": layers, "kernel_size": kernel_size, "dropout": dropout,
            "embedding_dropout": embedding_dropout, "norm": norm, "residual": residual, "substeps": substeps,
            "stream": stream, "positions": positions, **neuron,
        }  # fmt: skip
        self.encoder = ConvSide(encoder, source_vocabulary, causal=False, **side)
        self.decoder = ConvSide(decoder, target_vocabulary, causal=True, **side)
        self.attention = nn.ModuleList(DotAttention(channels, channels, channels) for _ in range(layers))
        self.asking = nn.Identity() if norm == "none" else nn.LayerNorm(channels, elementwise_affine=False)
        self.dropout = nn.Dropout(dropout)
        # Its table is the embedding's to start.
        self.output_map = begin(nn.Linear(channels, target_vocabulary), zero, own=False, bias=True)
        self.output_map.weight = self.decoder.embedding.tokens.weight
        if bits is not None:
            round_convolutions(self, bits)

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        embedded = cut(part("encoder", self.encoder, ConvSide).embedding(source), lengths)
        states, _ = self.encoder(embedded, lengths=lengths)  # finite behind the ends, too
        # Values also hold what a word is, beside what surrounds it (Gehring et al. 2017).
        return Memory(states, lengths, Prepared(states, states + embedded, lengths.unsqueeze(0)))

    def decode(
        self, target: Tensor, memory: Memory, state: Any = None, *, lengths: Tensor | None = None
    ) -> Decoded:
        start, blocks = (None, None) if state is None else state
        weights: list[Tensor] = []

        def attend(layer: int) -> Any:
            def context(current: Tensor) -> Tensor:
                found, weight = self.attention[layer](self.asking(current), memory.context, memory.lengths)
                weights.append(weight)
                return found  # type: ignore[no-any-return]

            return context

        embedded = cut(part("decoder", self.decoder, ConvSide).embedding(target, start), lengths)
        layers = [attend(i) for i in range(len(self.attention))]
        hidden, blocks = self.decoder(embedded, blocks, lengths=lengths, attend=layers)
        if start is None:
            start = target.new_zeros((1, target.shape[1]))
        return Decoded(self.dropout(hidden), torch.stack(weights).mean(0), (start + target.shape[0], blocks))
