"""What every language model is: tokens and a state in, logits of the next token and the state out."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import WHOLE_NUMBERS, check_tensor, positive_int
from ...nn.start import begin, normal
from ..ngrams import NGramEmbedding


def check_tokens(tokens: Tensor) -> None:
    """What a language model reads: whole numbers (L, B), at least one row.

    Raises:
        TypeError, ValueError: something else.
    """
    check_tensor("tokens", tokens)
    if tokens.dtype not in WHOLE_NUMBERS:
        raise TypeError(f"tokens must be int64 or int32, got {tokens.dtype}; take tokens.long()")
    if tokens.dim() != 2 or not tokens.shape[0]:
        raise ValueError(f"tokens must be (L, B) with at least one row, got {tuple(tokens.shape)}")


def check_range(tokens: Tensor, vocabulary: int) -> None:
    """Refuses tokens that a vocabulary does not have.

    Raises:
        IndexError: naming the first of them, as the streamed form does.
    """
    odd = tokens[(tokens < 0) | (tokens >= vocabulary)]
    if odd.numel():
        raise IndexError(f"tokens must lie in [0, {vocabulary}), got {int(odd[0])}")


class LanguageModel(nn.Module):
    """Base of all language models. A subclass gives `hidden`, and `embedding`, whose table is the output map.

    Handing the state on gives what one call over everything gives: whole = chunked = streamed. A state is
    nested tensors with the batch in dimension 0, so that `select_state` and `detach_state` serve them all.

    Args:
        vocabulary: tokens, V.
        width: of an embedding, and of what the output map reads.
        ngrams, ngram_rows: vectors of the last n tokens that are added to a token's own, `NGramEmbedding`'s
            `orders` and `rows`. Default: none.
    """

    batch_first = False
    limit: int | None = None
    """Tokens that it can look back on at most; None: its state knows of no bound."""

    def __init__(
        self, vocabulary: int, width: int, ngrams: Sequence[int] = (), ngram_rows: int = 1000
    ) -> None:
        super().__init__()
        self.width = positive_int("width", width)
        table = nn.Embedding(positive_int("vocabulary", vocabulary), width)
        # As an output map, so that first logits are of size one; as vectors they are scaled up (`embed`).
        self.embedding = begin(table, normal, std=width**-0.5)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary))
        self.ngrams = NGramEmbedding(width, ngrams, ngram_rows) if ngrams else None

    def reset_parameters(self) -> None:
        """The weights of no part: the bias of the output map, zero."""
        nn.init.zeros_(self.output_bias)

    def hidden(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Embedded tokens (L, B, width) to what the output map reads (L, B, width), and the state."""
        raise NotImplementedError

    def memory(self, state: Any) -> dict[str, Tensor]:
        """What neurons hold in what `hidden` returned for one row, (neurons,) by the layer's name; default
        nothing."""
        return {}

    def embed(self, tokens: Tensor) -> Tensor:
        """(L, B) int64 to (L, B, width), of size one."""
        try:
            rows: Tensor = self.embedding(tokens)
        except IndexError:
            check_range(tokens, len(self.output_bias))
            raise
        return rows * self.width**0.5

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (L, B, V) of the token after each of `tokens` (L, B), and the state after the last of them.

        Args:
            tokens: int64.
            state: as a former call returned it; None at the start of a text.
        Raises:
            TypeError, ValueError: `tokens` are no whole numbers, or not (L, B); or the state is that of
                another model, or of another batch. IndexError: a token that is not in the vocabulary.
        """
        check_tokens(tokens)
        x = self.embed(tokens)
        if self.ngrams is None:
            hidden, after = self.hidden(x, state)
        else:
            recent, state = (None, None) if state is None else check_pair(state)
            added, recent = self.ngrams(tokens, recent)
            hidden, state = self.hidden(x + added, state)
            after = (recent, state)
        return nn.functional.linear(hidden, self.embedding.weight, self.output_bias), after


def check_pair(state: Any) -> Any:
    """A state of a model with n-grams, if it has both parts."""
    if not isinstance(state, tuple | list) or len(state) != 2 or state[1] is None:
        raise ValueError("state must be the last tokens and the state behind them; got that of another model")
    return state
