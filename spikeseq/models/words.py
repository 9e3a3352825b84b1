"""What text classifiers read: a vector for every word, and for the last n words together."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checks import check_share
from ..nn.lengths import cut
from .ngrams import NGramEmbedding


class WordModel(nn.Module):
    """Base of text classifiers that read words in order.

    Args:
        vocabulary: rows of the embedding. Row 0 is padding, a vector of zeros.
        embedding_size: width D of a row.
        word_dropout: share of the words taken for padding in training (Iyyer et al., 2015), and of the
            n-grams left out.
        ngrams, ngram_rows: `NGramEmbedding`'s `orders` and `rows`. Default: none. Their vectors start at
            zero: one that no training text has says nothing.
    """

    batch_first = False

    def __init__(
        self,
        vocabulary: int,
        embedding_size: int,
        *,
        word_dropout: float = 0.0,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
    ) -> None:
        super().__init__()
        self.word_dropout = check_share(word_dropout)
        self.embedding = nn.Embedding(vocabulary, embedding_size, padding_idx=0)
        self.ngrams = NGramEmbedding(embedding_size, ngrams, ngram_rows, std=0.0) if ngrams else None

    def vectors(self, tokens: Tensor, recent: Tensor | None = None) -> Tensor:
        """Tokens (L, B) to their vectors (L, B, D), n-grams added; recent: as `NGramEmbedding.forward`."""
        x: Tensor = self.embedding(tokens.masked_fill(self.dropped(tokens), 0) if self.drops else tokens)
        if self.ngrams is None:
            return x
        added, _ = self.ngrams(tokens, recent)
        return x + (added.masked_fill(self.dropped(tokens).unsqueeze(2), 0) if self.drops else added)

    def read(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """`vectors` of texts, zeros behind their ends."""
        return cut(self.vectors(tokens), lengths)

    @property
    def drops(self) -> bool:
        return self.training and self.word_dropout > 0

    def dropped(self, tokens: Tensor) -> Tensor:
        """Which of the tokens (L, B) are left out, drawn anew."""
        return torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
