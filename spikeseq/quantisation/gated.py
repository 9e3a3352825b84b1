"""Recurrent encoder-decoders with rounded operands, as they are trained: LSTMs, GRUs, and spiking ones."""

from typing import Any

import torch
from torch import Tensor, nn

from ..nn.lengths import cut
from ..nn.rnn import reverse_tokens
from ..nn.start import begin, normal, zero
from .attention import RoundedAdditiveAttention
from .recurrent import KINDS, QuantisedRecurrence, uniform
from .rounded import HALF, RoundedEmbedding, RoundedLinear

STATES = 0.25  # mean size of what an LSTM or GRU gives


class GateMap(RoundedLinear):
    """The map of an input to the gates of a recurrence, rounded."""


class RoundedRNN(nn.Module):
    """An nn.GRU or nn.LSTM with rounded operands, of several layers and directions.

    Args:
        rnn: whose sizes it has; its own weights start as that one's do.
        bits: of the inputs of every product, as `Quantiser`.
        mean: mean size of its inputs to start with.
    """

    batch_first = False

    def __init__(self, rnn: nn.GRU | nn.LSTM, bits: int, mean: float = HALF) -> None:
        super().__init__()
        kind, size, self.directions = rnn.mode.lower(), rnn.hidden_size, 2 if rnn.bidirectional else 1
        maps, recurrences = [], []
        for layer in range(rnn.num_layers):
            inputs, given = (rnn.input_size, mean) if layer == 0 else (size * self.directions, STATES)
            for _ in range(self.directions):
                linear = nn.Linear(inputs, KINDS[kind] * size)
                one = GateMap(linear, bits, given, size=size**-0.5 / 2)
                maps.append(begin(one, uniform, bound=size**-0.5))
                recurrences.append(QuantisedRecurrence(kind, size, bits=bits))
        self.maps, self.recurrences = nn.ModuleList(maps), nn.ModuleList(recurrences)
        self.dropout = nn.Dropout(rnn.dropout)

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (L, B, D*H) of tokens (L, B, input_size), zeros behind the ends, and the state.

        Args:
            state: (R, B, H) as torch orders it, an LSTM's cells after its outputs; default zeros.
            lengths: (B,) tokens that count; default all.
        """
        x, count = cut(x, lengths), len(self.maps)
        olds = [None] * count if state is None else state.unflatten(0, (-1, count)).unbind(1)
        news = []
        for at in range(0, count, self.directions):
            outs = []
            for i in range(at, at + self.directions):
                given = reverse_tokens(x, lengths) if i > at else x
                out, new = self.recurrences[i](self.maps[i](given), olds[i], lengths=lengths)
                outs.append(reverse_tokens(out, lengths) if i > at else out)
                news.append(new)
            x = cut(torch.cat(outs, 2), lengths)
            if at + self.directions < count:
                x = self.dropout(x)
        return x, torch.stack(news, 1).flatten(0, 1)


def round_recurrences(model: Any, bits: int) -> None:
    """Gives a `RecurrentSeq2Seq` rounded operands, in place.

    Normalisations, neurons and integrators stay as they are.
    """
    encoded, read = round_stack(model.encoder, bits), round_stack(model.reader, bits)
    round_stack(model.writer, bits, min(encoded, read))
    for name in ("source_embedding", "target_embedding"):
        table = getattr(model, name)
        std = table.reset_parameters.arguments["std"]
        setattr(model, name, begin(RoundedEmbedding(table, bits, HALF * std), normal, std=std))
    if model.attention is not None:
        model.attention = RoundedAdditiveAttention(model.attention, bits, read, encoded)
    model.starts = nn.ModuleList(RoundedLinear(one, bits, encoded) for one in model.starts)
    before, words = model.output_map
    tied = words.weight is model.target_embedding.weight
    weights = model.target_embedding.weights if tied else None
    words = begin(RoundedLinear(words, bits, weights=weights), zero, own=not tied, bias=True)
    model.output_map = nn.Sequential(RoundedLinear(before, bits), words)


def round_stack(stack: Any, bits: int, mean: float = HALF) -> float:
    """Rounds the operands of a stack, whose inputs have a mean size of `mean`; that of its outputs."""
    if hasattr(stack, "rnn"):
        stack.rnn = RoundedRNN(stack.rnn, bits, mean)
        return STATES
    for i, linear in enumerate(stack.maps):
        std = linear.reset_parameters.arguments["std"]
        one = RoundedLinear(linear, bits, mean, size=HALF * std, spiking=i > 0)
        stack.maps[i] = begin(one, normal, std=std)
    return HALF  # they are normalised
