"""Recurrent encoder-decoders, plain and with attention (thesis 6.5.1, 6.5.2): SNN, GRU or LSTM a side.

Teacher forcing needs no loop over target tokens: the decoder is two recurrences, one after the other. The
first reads the target; its state after a token is the query of the attention. The second reads that state and
the context, and leads to the output map.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import choice, positive_int
from ...nn import AdditiveAttention
from ...nn.lengths import cut
from ...nn.start import begin, normal, zero
from ...quantisation.gated import round_recurrences
from .base import PAD, Decoded, Memory, Seq2Seq, part
from .stacks import SIDES, GatedStack, Leak, SpikingStack


class RecurrentSeq2Seq(Seq2Seq):
    """Encoder and decoder of LIF neurons, GRUs or LSTMs, each side of its own kind.

    The context is the encoder's final state (Cho et al. 2014), the same for every target token; or, with
    attention, the weighted sum of the encoder's states (Bahdanau et al. 2015). The states of a spiking side,
    and its queries, are accumulated membrane potentials.

    Args:
        source_vocabulary, target_vocabulary: sizes.
        encoder, decoder: "snn", "gru" or "lstm".
        attention: additive attention, or the final state as context.
        embedding_size: E of both languages.
        hidden_size: neurons per layer and direction, H; also the width of the attention's hidden layer.
        layers: of the encoder. The decoder has as many, but at least two: one before the attention, the
            others after it.
        dropout: share of neurons silenced per token between layers and before the output map.
        embedding_dropout: of the embeddings.
        bidirectional: the encoder reads its source from both ends.
        start: the decoder's state starts from a map of the encoder's final state; else from zero.
        tied: the output map shares the target embedding's table.
        bits: None, or 8, 4 or 3: operands of all maps, recurrences and attention, rounded in training as they
            would be deployed (`quantisation.gated`).
        substeps, leak, norm, residual, bypass, accumulate, neuron: of the spiking sides, as `SpikingStack`.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        encoder: str = "snn",
        decoder: str = "snn",
        attention: bool = True,
        embedding_size: int = 256,
        hidden_size: int = 256,
        layers: int = 2,
        dropout: float = 0.2,
        embedding_dropout: float = 0.2,
        bidirectional: bool = True,
        start: bool = True,
        tied: bool = True,
        bits: int | None = None,
        substeps: int = 5,
        leak: Leak = (0.8, 0.999),
        norm: str = "layer",
        residual: bool = True,
        bypass: bool = True,
        accumulate: bool = True,
        **neuron: Any,
    ) -> None:
        super().__init__()
        spiking: dict[str, Any] = {
            "substeps": substeps, "leak": leak, "norm": norm, "residual": residual, "bypass": bypass,
            "accumulate": accumulate, **neuron,
        }  # fmt: skip

        def stack(kind: str, input_size: int, **shape: Any) -> SpikingStack | GatedStack:
            if kind == "snn":
                return SpikingStack(input_size, hidden_size, dropout=dropout, **shape, **spiking)
            return GatedStack(kind, input_size, hidden_size, dropout=dropout, **shape)

        choice("encoder", encoder, SIDES)
        choice("decoder", decoder, SIDES)
        positive_int("hidden_size", hidden_size)
        if "snn" not in (encoder, decoder):
            SpikingStack(1, 1, **spiking)  # a wrong argument is told all the same
        self.source_embedding = embedding_table(source_vocabulary, embedding_size)
        self.target_embedding = embedding_table(target_vocabulary, embedding_size)
        self.embedding_dropout, self.dropout = nn.Dropout(embedding_dropout), nn.Dropout(dropout)
        self.encoder = stack(encoder, embedding_size, layers=layers, bidirectional=bidirectional)
        context = self.encoder.size
        self.reader = stack(decoder, embedding_size, layers=1)
        self.writer = stack(decoder, hidden_size + context, layers=max(1, layers - 1))
        self.attention = AdditiveAttention(hidden_size, context, hidden_size) if attention else None
        self.starts = nn.ModuleList(
            nn.Linear(context, part.start_size) for part in (self.reader, self.writer) if start
        )
        words = begin(nn.Linear(embedding_size, target_vocabulary), zero, own=not tied, bias=True)
        if tied:
            words.weight = self.target_embedding.weight
        self.output_map = nn.Sequential(
            nn.Linear(hidden_size + context + embedding_size, embedding_size), words
        )
        if bits is not None:
            round_recurrences(self, bits)

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        embedded = cut(self._embed(self.source_embedding, source), lengths)
        states, final = self.encoder(embedded, lengths=lengths)
        prepared = None
        if self.attention is not None:
            prepared = part("attention", self.attention, AdditiveAttention).prepare(states, lengths=lengths)
        summary = _stack("encoder", self.encoder).summary(final)
        return Memory(states, lengths, (summary.unsqueeze(0), prepared))

    def decode(
        self, target: Tensor, memory: Memory, state: Any = None, *, lengths: Tensor | None = None
    ) -> Decoded:
        final, prepared = memory.context
        if state is None:
            stacks = _stack("reader", self.reader), _stack("writer", self.writer)
            begun = zip(stacks, self.starts, strict=False)
            state = [stack.start(first(final[0])) for stack, first in begun] or [None, None]
        embedded = cut(self._embed(self.target_embedding, target), lengths)
        asked, read = self.reader(embedded, state[0])
        if self.attention is None:
            context, weights = final.expand(target.shape[0], -1, -1), None
        else:
            context, weights = self.attention(asked, prepared, memory.lengths)
        context = self.dropout(context)
        hidden, written = self.writer(torch.cat((self.dropout(asked), context), 2), state[1])
        hidden = torch.cat((self.dropout(hidden), context, embedded), 2)
        return Decoded(hidden, weights, [read, written])

    def _embed(self, table: nn.Embedding, tokens: Tensor) -> Tensor:
        rows = table(tokens)
        return self.embedding_dropout(rows * math.sqrt(rows.shape[-1]))  # type: ignore[no-any-return]


def _stack(path: str, module: nn.Module) -> Any:
    return part(path, module, SpikingStack, GatedStack)


def embedding_table(vocabulary: int, size: int) -> nn.Embedding:
    """Of unit variance after a scale of sqrt(size): the start that a tied output map wants."""
    table = nn.Embedding(vocabulary, positive_int("embedding_size", size), padding_idx=PAD)
    return begin(table, normal, std=size**-0.5)
