"""LSTM and GRU with rounded operands: the opponent of a spiking network that its critics ask for.

What goes through the recurrent weights, and they themselves, have few bits; so has what the input's map
gives, which folded into an embedding (`fold_embeddings`) is a row of a table. What adds up over time, the
LSTM's cell and the GRU's state, has 16. Gates are computed between the products, in float32 here.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import choice, positive_int
from ..nn.lengths import inside
from ..nn.start import begin
from .step import Quantiser, kept, quantised

KINDS = {"lstm": 4, "gru": 3}
"""Gates of each."""


class QuantisedRecurrence(nn.Module):
    """An LSTM's or GRU's recurrence, (L, B, gates * H) of inputs' maps to (L, B, H) of rounded states.

    The gates stand in torch's order. Its state is (1, B, H) of a GRU; of an LSTM (2, B, H), the cells last.

    Args:
        kind: "lstm" or "gru".
        hidden_size: H.
        bits: of the recurrent weights, and of the states that go through them and come out.
        rectified: states below half a step come out as zeros, and none is negative: a recurrence of sparse
            activity, as an EGRU's (Subramoney et al., arXiv 2206.06178), with one learnt threshold.
    """

    batch_first = False

    def __init__(self, kind: str, hidden_size: int, *, bits: int, rectified: bool = False) -> None:
        super().__init__()
        self.kind, self.hidden_size = (
            choice("kind", kind, tuple(KINDS)),
            positive_int("hidden_size", hidden_size),
        )
        self.bits, self.rectified = bits, rectified
        rows, bound = KINDS[kind] * hidden_size, hidden_size**-0.5
        self.weight = nn.Parameter(torch.empty(rows, hidden_size))
        # Of a GRU the reset gate scales what this bias is part of; an LSTM's stands in its input.
        self.bias = nn.Parameter(torch.empty(rows)) if kind == "gru" else None
        self.weights = Quantiser(bits, mean=bound / 2, constant=True)
        self.states = Quantiser(bits, signed=not rectified)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As torch: uniform up to 1 / sqrt(H)."""
        for one in (self.weight, self.bias):
            if one is not None:
                nn.init.uniform_(one, -(self.hidden_size**-0.5), self.hidden_size**-0.5)

    @property
    def spare_bytes(self) -> float:
        """Bytes that the weight takes here beyond those that its bits need."""
        return self.weight.numel() * (4 - self.bits / 8)

    @property
    def planes(self) -> int:
        """Values that a unit keeps."""
        return 2 if self.kind == "lstm" else 1

    def forward(
        self, rows: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Rounded states after each of the tokens, and the state to go on from.

        Args:
            state: as a former call gave it; default zeros.
            lengths: (B,) tokens that count: the state is that after the last of them.
        """
        weight, states = self.weights(self.weight), self.states
        distance = states.step
        step = self.lstm if self.kind == "lstm" else self.gru
        if state is None:
            state = rows.new_zeros((self.planes, rows.shape[1], self.hidden_size))
        hidden, held = state[0], kept(state[-1])
        fed = quantised(hidden, distance, states.low, states.high)
        alive = None if lengths is None else inside(lengths, len(rows)).unsqueeze(2)
        outputs = []
        for at, row in enumerate(rows):
            hidden, new = step(row, nn.functional.linear(fed, weight, self.bias), held)
            out = quantised(hidden, distance, states.low, states.high)
            if alive is not None:
                new, out = torch.where(alive[at], new, held), torch.where(alive[at], out, fed)
            held, fed = new, out
            outputs.append(fed)
        return torch.stack(outputs), torch.stack((fed, held)) if self.planes == 2 else held.unsqueeze(0)

    @staticmethod
    def lstm(row: Tensor, back: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
        """The state that goes out, and the cell, of rows in the order i, f, g, o."""
        i, f, g, o = (row + back).chunk(4, 1)
        cell = kept(f.sigmoid() * cell + i.sigmoid() * g.tanh())
        return o.sigmoid() * cell.tanh(), cell

    @staticmethod
    def gru(row: Tensor, back: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """The state, twice, of rows in the order r, z, n."""
        given, heard = row.chunk(3, 1), back.chunk(3, 1)
        r, z = (given[0] + heard[0]).sigmoid(), (given[1] + heard[1]).sigmoid()
        n = (given[2] + r * heard[2]).tanh()
        hidden = kept(n + z * (hidden - n))
        return hidden, hidden


class QuantisedRNN(nn.Module):
    """An LSTM or GRU of one layer with rounded operands, (L, B, E) in, (L, B, H) and its state out.

    Args:
        kind: "lstm" or "gru".
        input_size, hidden_size: E, H.
        bits, rectified: as `QuantisedRecurrence`; the input's map gives values of so many bits, too.
    """

    batch_first = False

    def __init__(
        self, kind: str, input_size: int, hidden_size: int, *, bits: int, rectified: bool = False
    ) -> None:
        super().__init__()
        self.recurrence = QuantisedRecurrence(kind, hidden_size, bits=bits, rectified=rectified)
        bound = hidden_size**-0.5
        self.input_map = nn.Linear(input_size, KINDS[kind] * hidden_size)
        begin(self.input_map, uniform, bound=bound)
        # Of inputs of unit variance.
        self.inputs = Quantiser(bits, mean=math.sqrt(2 / math.pi * input_size / 3) * bound)

    @torch.no_grad()
    def take(self, rnn: Any) -> None:
        """Starts from a trained nn.LSTM or nn.GRU of the same sizes: weights, and steps that suit them."""
        recurrence = self.recurrence
        bias = rnn.bias_ih_l0 if recurrence.bias is not None else rnn.bias_ih_l0 + rnn.bias_hh_l0
        self.input_map.weight.copy_(rnn.weight_ih_l0)
        self.input_map.bias.copy_(bias)
        recurrence.weight.copy_(rnn.weight_hh_l0)
        if recurrence.bias is not None:
            recurrence.bias.copy_(rnn.bias_hh_l0)
        recurrence.weights.suit(recurrence.weight)
        # Of inputs of unit variance.
        self.inputs.suit(self.input_map.weight.norm(dim=1) * math.sqrt(2 / math.pi))

    def rows(self, x: Tensor) -> Tensor:
        """What the recurrence is given, (*, gates * H): whole multiples of a step."""
        return self.inputs(self.input_map(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.recurrence(self.rows(x))  # type: ignore[no-any-return]


def uniform(module: Any, bound: float) -> None:
    """Weight and bias, as torch's recurrent layers begin."""
    nn.init.uniform_(module.weight, -bound, bound)
    nn.init.uniform_(module.bias, -bound, bound)
