"""Classifiers of long sequences: a front that ticks, a body that remembers, a read-out of what it says."""

from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_shape, check_share, choice, positive_int
from ...nn.lengths import inside
from ...nn.start import begin, zero
from ..language.baselines import RNNS, check_rnn_state, turned
from .front import TokenFront, ValueFront

READOUTS = ("mean", "last")


class SequenceClassifier(nn.Module):
    """Front -> body -> normalise -> a linear read-out of the mean over ticks, or of the last tick.

    Handing the state on gives what one call over everything gives: whole = chunked = streamed. A state is
    nested tensors with the batch in dimension 0.

    Args:
        front: `ValueFront` or `TokenFront`: a vector for every `stride` rows.
        body: vectors (L, B, D) and a state to vectors (L, B, body.width) and the state, such as
            `SpikingBlocks` and `RecurrentBody`.
        classes: number of classes.
        readout: "mean", of all ticks so far; "last", the last tick.
        front_dropout, output_dropout: shares silenced of what the front gives, and of what is read out.
    """

    batch_first = False

    def __init__(
        self,
        front: ValueFront | TokenFront,
        body: Any,
        classes: int,
        *,
        readout: str = "mean",
        front_dropout: float = 0.0,
        output_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.front, self.body, self.width = front, body, int(body.width)
        self.readout = choice("readout", readout, READOUTS)
        self.front_dropout = nn.Dropout(check_share(front_dropout))
        self.norm = nn.LayerNorm(self.width)
        self.output_dropout = nn.Dropout(check_share(output_dropout))
        linear = nn.Linear(self.width, positive_int("classes", classes))
        self.to_classes = begin(linear, zero, weight=True)  # no verdict before learning

    def forward(self, x: Tensor, state: Any = None, *, lengths: Tensor | None = None) -> tuple[Tensor, Any]:
        """Logits (B, classes) by all ticks so far, zero before the first; and the state.

        Rows behind the last tick wait in the state: a sequence that does not end with a tick is to be padded.

        Args:
            x: values (L, B, channels), or tokens (L, B).
            state: as a former call returned it; None at the start of a sequence.
            lengths: (B,) rows that count, the tick that holds the last of them being the last that counts;
                of whole sequences only.
        Raises:
            TypeError, ValueError: other input, or the state of another model or batch.
        """
        if state is not None and lengths is not None:
            raise ValueError("lengths goes with whole sequences, without a state")
        front, body, said = (None, None, None) if state is None else check_state(state)
        ticks, front = self.front(x, front)
        if len(ticks):  # not in a piece of a stream between two of them
            found, body = self.body(self.front_dropout(ticks), body)
            said = self.listen(self.norm(found), said, lengths)
        total, count = self.silence(ticks) if said is None else said
        logits = self.to_classes(self.output_dropout(total / count.clamp(min=1).unsqueeze(1)))
        return logits * (count > 0).unsqueeze(1), (front, body, (total, count))

    def listen(self, found: Tensor, said: Any, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """The sum (B, width) of what is read out, and of how many ticks (B,)."""
        ticks, batch = found.shape[:2]
        total, count = self.silence(found) if said is None else said
        check_shape("state of the read-out", total, (batch, self.width), found)
        check_shape("state of the read-out", count, (batch,), found)
        if lengths is None:
            if self.readout == "last":
                return found[-1], torch.ones_like(count)
            return total + found.sum(0), count + ticks
        counted = -(-lengths // self.front.stride)
        if self.readout == "last":
            last = (counted - 1).clamp(min=0).view(1, -1, 1).expand(1, -1, self.width)
            return found.gather(0, last)[0], (counted > 0).to(count)
        mask = inside(counted, ticks).unsqueeze(2)
        return total + (found * mask).sum(0), count + counted.to(count)

    def silence(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What `listen` has found before the first tick, as `x` (L, B, *) is."""
        return x.new_zeros((x.shape[1], self.width)), x.new_zeros(x.shape[1])


def check_state(state: Any) -> Any:
    """A state of a classifier if it has the parts of one."""
    if not isinstance(state, tuple | list) or len(state) != 3 or state[2] is None:
        raise ValueError("state must be what front, body and read-out keep; got another model's")
    if not isinstance(state[2], tuple | list) or len(state[2]) != 2:
        raise ValueError("state of the read-out must be a sum and a number of ticks; got another model's")
    return state


class RecurrentBody(nn.Module):
    """nn.LSTM or nn.GRU, its state with the batch first: the opponent of `SpikingBlocks`.

    Args:
        width: of the vectors that come in. kind: "lstm" or "gru". hidden_size: units of a layer.
        layers: of the RNN. dropout: share silenced between layers.
    """

    def __init__(
        self, width: int, *, kind: str = "lstm", hidden_size: int = 128, layers: int = 1, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.kind = choice("kind", kind, tuple(RNNS))
        self.width = positive_int("hidden_size", hidden_size)
        self.sizes = (positive_int("layers", layers), self.width)
        between = check_share(dropout) if layers > 1 else 0.0
        self.rnn = RNNS[kind](positive_int("width", width), hidden_size, layers, dropout=between)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(L, B, width) to (L, B, hidden_size), and the state (B, layers, hidden_size), of an LSTM two."""
        if state is not None:
            check_rnn_state(self.rnn, self.kind, self.sizes, state, x)
        found, state = self.rnn(x, turned(state))
        return found, turned(state)
