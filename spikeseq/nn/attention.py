"""Attention of target tokens on source states: additive (Bahdanau et al. 2015) and dot-product.

Both take queries (L, B, Q), time first, and what `prepare` made of the source states, once per sentence; both
return contexts and the weights, whose rows sum to one over the source tokens that count.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..checks import positive_int
from .lengths import cut


class Prepared(NamedTuple):
    """Keys and values of a source, made once for all queries. All have the batch in dimension 1."""

    keys: Tensor  # (S, B, A)
    values: Tensor  # (S, B, K)
    lengths: Tensor | None = None  # (1, B) source tokens behind which both are finite

    def within(self, lengths: Tensor | None) -> tuple[Tensor, Tensor]:
        """Keys and values, nothing of which behind `lengths` reaches a sum or a gradient."""
        if self.lengths is not None:
            return self.keys, self.values
        keys = cut(self.keys, lengths)
        return keys, keys if self.values is self.keys else cut(self.values, lengths)


class AdditiveAttention(nn.Module):
    """score = w . tanh(W_q query + W_k state); the context is the weighted sum of the states themselves.

    Args:
        query_size: features of a query, Q.
        state_size: features of a source state, K.
        size: width A of the hidden layer that compares them; default K.
    """

    def __init__(self, query_size: int, state_size: int, size: int | None = None) -> None:
        super().__init__()
        size = positive_int("size", state_size if size is None else size)
        self.query_map = nn.Linear(query_size, size)
        self.key_map = nn.Linear(state_size, size, bias=False)
        self.score = nn.Linear(size, 1, bias=False)

    def prepare(self, states: Tensor, *, lengths: Tensor | None = None) -> Prepared:
        """Keys and values of source states (S, B, K).

        lengths: (B,), as they are handed to `forward` later: what is behind them is then taken out once.
        """
        if lengths is not None:
            states = cut(states, lengths)
            return Prepared(self.key_map(states), states, lengths.unsqueeze(0))
        # What will turn out to be padding may be anything: the gradient of the map must not read it.
        wrong = ~states.isfinite().all(-1, keepdim=True)
        keys = self.key_map(states.masked_fill(wrong, 0)).masked_fill(wrong, math.nan)
        return Prepared(keys, states)

    def forward(
        self, query: Tensor, prepared: Prepared, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts (L, B, K) and weights (L, B, S) for queries (L, B, Q).

        lengths: (B,) source tokens that count, at least 1 each; default all.
        """
        keys, values = prepared.within(lengths)
        hidden = torch.tanh(self.query_map(query).unsqueeze(1) + keys)  # (L, S, B, A)
        scores = self.score(hidden).squeeze(3).transpose(1, 2)  # (L, B, S)
        weights = masked_softmax(scores, lengths)
        return self.gather(weights, values), weights

    def gather(self, weights: Tensor, values: Tensor) -> Tensor:
        """The weighted sums (L, B, K) of values (S, B, K)."""
        return torch.einsum("lbs,sbk->lbk", weights, values)


class DotAttention(nn.Module):
    """score = (W_q query + b) . state / sqrt(K); the context is W_c of the weighted sum of values.

    A projection of the states, as in Vaswani et al. (2017), would fold into W_q and W_c; without it a source
    costs nothing beyond its encoder, however many layers attend to it (Gehring et al. 2017).

    Args:
        query_size: features of a query, Q.
        state_size: features of a source state and of a value, K.
        size: features of a context.
    """

    def __init__(self, query_size: int, state_size: int, size: int) -> None:
        super().__init__()
        self.query_map = nn.Linear(positive_int("query_size", query_size), state_size)
        self.context_map = nn.Linear(state_size, positive_int("size", size))

    def prepare(
        self, states: Tensor, values: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> Prepared:
        """Keys are the source states (S, B, K); values are `values` (S, B, K), or the states too.

        lengths: as `AdditiveAttention.prepare`.
        """
        keys = cut(states, lengths)
        values = keys if values is None else cut(values, lengths)
        return Prepared(keys, values, None if lengths is None else lengths.unsqueeze(0))

    def forward(
        self, query: Tensor, prepared: Prepared, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Contexts (L, B, size) and weights (L, B, S) for queries (L, B, Q).

        lengths: (B,) source tokens that count, at least 1 each; default all.
        """
        keys, values = prepared.within(lengths)
        queries = self.query_map(query).transpose(0, 1)  # (B, L, K)
        scores = queries @ keys.permute(1, 2, 0) / math.sqrt(keys.shape[2])  # (B, L, S)
        weights = masked_softmax(scores.transpose(0, 1), lengths)
        context = weights.transpose(0, 1) @ values.transpose(0, 1)
        return self.context_map(context.transpose(0, 1)), weights


def masked_softmax(scores: Tensor, lengths: Tensor | None) -> Tensor:
    """Softmax over the last dimension S of scores (..., B, S), of the first `lengths` (B,) entries only."""
    if lengths is not None:
        after = torch.arange(scores.shape[-1], device=scores.device) >= lengths.unsqueeze(1)  # (B, S)
        scores = scores.masked_fill(after, -math.inf)
    return scores.softmax(-1)
