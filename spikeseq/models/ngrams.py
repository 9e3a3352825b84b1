"""Vectors of the last n tokens together, looked up by a hash: what is often written costs no products."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checks import WHOLE_NUMBERS, check_tensor, positive_int
from ..nn.start import begin, normal
from ..ops.language import rows_of_ngrams

START = 0.1
"""Deviation of a vector at the start; a token's own has 1."""


class NGramEmbedding(nn.Module):
    """A vector for the last n tokens, summed over several n, by a hash (as in BLT, Pagnoni et al. 2024).

    N-grams that fall on the same row of a table share it. Before a text stand tokens that do not exist.

    Args:
        embedding_size: D.
        orders: every n, each 2 or more, ascending: `(2, 3, 4)`.
        rows: of the table of each order.
        std: deviation of a vector at the start. Default 0.1 of a token's own, which has 1.
    Raises:
        TypeError, ValueError: naming the argument.
    """

    def __init__(self, embedding_size: int, orders: Sequence[int], rows: int, std: float = START) -> None:
        super().__init__()
        self.orders = check_orders(orders)
        if not self.orders:
            raise ValueError("ngrams must be one number or more, got none")
        self.rows = positive_int("ngram_rows", rows)
        width = positive_int("embedding_size", embedding_size)
        self.table = begin(nn.EmbeddingBag(len(self.orders) * self.rows, width, mode="sum"), normal, std=std)

    def extra_repr(self) -> str:
        return f"orders={self.orders}, rows={self.rows}"

    def forward(self, tokens: Tensor, recent: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tokens (L, B) to their vectors (L, B, D), and the last n - 1 of them for the next call.

        Args:
            recent: (B, n - 1) int64 of the highest n, each token plus one, 0 where the text had not begun.
        Raises:
            ValueError: `recent` is not that.
        """
        before = self.orders[-1] - 1
        if recent is None:
            recent = tokens.new_zeros((tokens.shape[1], before), dtype=torch.int64)
        else:
            check_recent(recent, tokens.shape[1], before)
        given = torch.cat((recent.t(), tokens + 1))
        rows = rows_of_ngrams(given, tokens.shape[0], self.orders, self.rows)
        found = self.table(rows.flatten(0, 1))
        return found.unflatten(0, tokens.shape), given[tokens.shape[0] :].t()


def check_orders(orders: Sequence[int]) -> list[int]:
    """Every n of n-grams; raises TypeError or ValueError for what is none."""
    found = [positive_int("ngrams", n) for n in orders]
    if (found and found[0] < 2) or found != sorted(set(found)):
        raise ValueError(f"ngrams must be ascending numbers from 2 on, got {list(orders)}")
    return found


def check_recent(recent: Tensor, batch: int, before: int) -> None:
    """Refuses the last tokens of another model, or of another batch."""
    check_tensor("state of n-grams", recent)
    if recent.dtype not in WHOLE_NUMBERS or tuple(recent.shape) != (batch, before):
        raise ValueError(
            f"state of n-grams must be whole numbers ({batch}, {before}),"
            f" got {tuple(recent.shape)} of {recent.dtype}"
        )
