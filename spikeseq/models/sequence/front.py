"""What stands before the blocks: rows of a long sequence in, one vector for every `stride` of them out."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import WHOLE_NUMBERS, check_shape, check_tensor, positive_int
from ...nn.start import begin, normal
from ...ops.language import rows_of_ngrams
from ..language.base import check_range
from ..ngrams import NGramEmbedding

PADDING = 0
"""The token that stands behind a sequence's end; it has no vector."""


def whole_ticks(x: Tensor, kept: Tensor | None, before: int, stride: int) -> tuple[Tensor, Tensor]:
    """Rows for as many ticks as there are now, (before + ticks * stride, B, *), and what is kept, (B, R, *).

    A tick comes with every `stride`-th row. What is kept are the last `before` rows up to the last tick, and
    those that wait for the next one.

    Args:
        x: (L, B, *). kept: as a former call gave it; None at the start, where zeros stand before.
    Raises:
        ValueError: `kept` is that of another front, or of another batch.
    """
    if kept is None:
        past = x.new_zeros((before, *x.shape[1:]))
    else:
        check_tensor("state of a front", kept)
        most = before + stride - 1
        if kept.dim() != x.dim() or not before <= kept.shape[1] <= most:
            raise ValueError(
                f"state of a front must keep {before} to {most} rows (B, rows, *), got {tuple(kept.shape)}"
            )
        check_shape("state of a front", kept, (x.shape[1], kept.shape[1], *x.shape[2:]), x, x.dtype)
        past = kept.transpose(0, 1)
    given = torch.cat((past, x))
    ticks = (len(given) - before) // stride
    return given[: before + ticks * stride], given[ticks * stride :].transpose(0, 1)


class Oscillators(nn.Module):
    """A linear memory: modes that turn and fade, m_k[t] = a e^{i w_k} m_k[t-1] + x[t], seen at every tick.

    Their frequencies w_k = 2 pi k / span are those of a Fourier series of the last `span` rows, and a =
    e^{-1 / span}: without end, the whole past in 2 x modes numbers (as the Legendre memory of Voelker et al.
    2019, with waves for polynomials). Nothing of it is learnt, so that training needs no gradient through
    it.

    Args:
        modes: n, k = 0 .. n - 1. span: rows. stride: rows from tick to tick.
    """

    turns: Tensor
    drives: Tensor

    def __init__(self, modes: int, span: int, stride: int) -> None:
        super().__init__()
        self.modes, self.span = positive_int("modes", modes), positive_int("span", span)
        self.stride = positive_int("stride", stride)
        self.register_buffer("turns", torch.empty(modes, 2))
        self.register_buffer("drives", torch.empty(stride, 2 * modes))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The turn of a mode from tick to tick (n, 2), and what each row of a tick adds (stride, 2 n)."""
        device = self.turns.device
        rows = torch.arange(self.stride, -1, -1, dtype=torch.float64, device=device).unsqueeze(1)
        angle = rows * (2 * math.pi / self.span) * torch.arange(self.modes, device=device)
        fade = torch.exp(-rows / self.span)
        parts = torch.stack((fade * angle.cos(), fade * angle.sin()), -1)  # (stride + 1, n, 2)
        with torch.no_grad():
            self.turns.copy_(parts[0])
            # A sum of `span` values of size one is brought back to one.
            self.drives.copy_(parts[1:].flatten(1) * (2 / self.span) ** 0.5)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(ticks * stride, B, C) to (ticks, B, C * 2 n), and the modes after the last tick (B, C, n, 2)."""
        state = self.start(x) if state is None else state
        check_shape("state of a memory", state, (*x.shape[1:], self.modes, 2), x, x.dtype)
        added = torch.einsum("tsbc,sn->tbcn", x.unflatten(0, (-1, self.stride)), self.drives)
        real, imaginary = self.turns.unbind(-1)
        found = []
        for drive in added.unflatten(-1, (self.modes, 2)):
            u, v = state.unbind(-1)
            state = torch.stack((real * u - imaginary * v, real * v + imaginary * u), -1) + drive
            found.append(state)
        return torch.stack(found).flatten(2), state

    def start(self, x: Tensor) -> Tensor:
        """The modes before the first row of `x` (L, B, C): at rest."""
        return x.new_zeros((*x.shape[1:], self.modes, 2))

    def extra_repr(self) -> str:
        return f"modes={self.modes}, span={self.span}, stride={self.stride}"


class ValueFront(nn.Module):
    """Values to vectors: the last `recent` rows and what oscillators remember, through a linear map.

    Args:
        channels: C, values of a row. width: of a vector. stride: rows from tick to tick.
        recent: rows that the map sees as they are, at least `stride`; None for `stride`, 0 for none.
        modes, span: of `Oscillators`; no modes for none.
    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(
        self, channels: int, width: int, *, stride: int, recent: int | None, modes: int, span: int
    ) -> None:
        super().__init__()
        self.channels, self.stride = positive_int("channels", channels), positive_int("stride", stride)
        self.recent = stride if recent is None else recent and positive_int("recent", recent)
        if self.recent and self.recent < stride:
            raise ValueError(f"recent must be 0, or at least stride={stride} rows, got {recent}")
        if not (self.recent or modes):
            raise ValueError("recent=0 goes with modes, or nothing would be seen")
        self.memory = Oscillators(modes, span, stride) if modes else None
        self.before = max(0, self.recent - stride)
        inputs = channels * (self.recent + 2 * modes)
        self.to_stream = begin(nn.Linear(inputs, positive_int("width", width)), normal, std=inputs**-0.5)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(L, B, C) to (ticks, B, width), and the rows (B, R, C) and modes that are kept."""
        if check_tensor("x", x).dim() != 3 or x.shape[-1] != self.channels:
            raise ValueError(f"x must be (L, B, {self.channels}), got {tuple(x.shape)}")
        kept, modes = (None, None) if state is None else check_pair(state, self.memory)
        given, kept = whole_ticks(x, kept, self.before, self.stride)
        if len(given) == self.before:
            modes = self.memory.start(x) if self.memory and modes is None else modes
            return x.new_zeros((0, x.shape[1], self.to_stream.out_features)), (kept, modes)
        seen = []
        if self.recent:
            windows = given.unfold(0, self.recent, self.stride)  # (ticks, B, C, recent)
            seen.append(windows.flatten(2))
        if self.memory is not None:
            told, modes = self.memory(given[self.before :], modes)
            seen.append(told)
        return self.to_stream(torch.cat(seen, -1)), (kept, modes)


def check_pair(state: Any, memory: Any) -> Any:
    """A state of a front if it has its parts."""
    pair = isinstance(state, tuple | list) and len(state) == 2
    if not pair or (state[1] is None) != (memory is None):
        modes = "None" if memory is None else "the memory's modes"
        raise ValueError(f"state of a front must be the rows that it keeps and {modes}; got another one's")
    return state


class TokenFront(nn.Module):
    """Tokens to vectors: those of a tick's tokens, and of the last n tokens at each by a hash, added up.

    Args:
        vocabulary: tokens, V; 0 is padding, without a vector. width: of a vector.
        stride: tokens from tick to tick.
        ngrams, ngram_rows: `NGramEmbedding`'s `orders` and `rows`; none for tokens alone.
    """

    def __init__(
        self, vocabulary: int, width: int, *, stride: int, ngrams: Sequence[int], ngram_rows: int
    ) -> None:
        super().__init__()
        self.vocabulary, self.stride = positive_int("vocabulary", vocabulary), positive_int("stride", stride)
        self.ngrams = NGramEmbedding(width, ngrams, ngram_rows) if ngrams else None
        self.before = self.ngrams.orders[-1] - 1 if self.ngrams else 0
        # A sum over `stride` tokens is of size one.
        self.embedding = begin(
            nn.EmbeddingBag(vocabulary, width, mode="sum", padding_idx=PADDING), normal, std=stride**-0.5
        )

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """(L, B) int64 to (ticks, B, width), and the tokens that are kept (B, R), each plus one.

        Raises:
            TypeError, ValueError: something else. IndexError: a token that is not in the vocabulary.
        """
        check_tensor("x", x)
        if x.dtype not in WHOLE_NUMBERS or x.dim() != 2:
            raise TypeError(f"x must be int64 tokens (L, B), got {x.dtype} {tuple(x.shape)}")
        check_range(x, self.vocabulary)
        given, kept = whole_ticks(x.long() + 1, state, self.before, self.stride)
        tokens, batch = given[self.before :], x.shape[1]
        if not len(tokens):
            return self.embedding.weight.new_zeros((0, batch, self.embedding.embedding_dim)), kept
        found = self.embedding(by_tick(tokens.unsqueeze(-1) - 1, self.stride))
        if self.ngrams is not None:
            rows = rows_of_ngrams(given, len(tokens), self.ngrams.orders, self.ngrams.rows)
            counted = (tokens > PADDING + 1).unsqueeze(-1).expand_as(rows)
            weights = by_tick(counted.to(found.dtype), self.stride)
            found = found + self.ngrams.table(by_tick(rows, self.stride), per_sample_weights=weights)
        return found.unflatten(0, (-1, batch)), kept


def by_tick(rows: Tensor, stride: int) -> Tensor:
    """(ticks * stride, B, K) as (ticks * B, stride * K)."""
    return rows.unflatten(0, (-1, stride)).transpose(1, 2).flatten(2).flatten(0, 1)
