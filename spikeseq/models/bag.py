"""A bag of words, and of n-grams: what word order adds to a classifier must be measured against it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..checks import positive_int
from ..nn.lengths import inside
from ..nn.start import begin, zero
from ..ops.language import rows_of_ngrams
from .ngrams import check_orders


class BagOfWords(nn.Module):
    """Logistic regression on TF-IDF of words, and of the last n words together.

    A term counts (1 + log count) * idf, and each text is scaled to length one.

    Args:
        vocabulary: words, V; word 0 is padding.
        classes: number of classes.
        ngrams, ngram_rows: every n of the n-grams that are terms as well, ascending from 2 on, and how many
            rows those of each n fall on by a hash, as `NGramEmbedding`. Default: none.
        idf: (terms,) inverse document frequencies of the training texts, words first; kept with the model;
            default 1.
    """

    idf: Tensor

    batch_first = False

    def __init__(
        self,
        vocabulary: int,
        classes: int = 2,
        *,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
        idf: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.orders = check_orders(ngrams)
        self.ngram_rows = positive_int("ngram_rows", ngram_rows)
        count = vocabulary + len(self.orders) * ngram_rows
        bag = nn.EmbeddingBag(count, classes, mode="sum", padding_idx=0)
        self.weights = begin(bag, zero, weight=True)
        self.bias = nn.Parameter(torch.zeros(classes))
        self._given = None if idf is None else idf.clone()
        self.register_buffer("idf", torch.ones(count, dtype=None if idf is None else idf.dtype))
        self.reset_parameters()

    _given: Tensor | None = None  # of models pickled before it was kept
    orders: Sequence[int] = ()
    ngram_rows = 1000

    def reset_parameters(self) -> None:
        """Weights and bias zero, the frequencies that the model was made with."""
        nn.init.zeros_(self.weights.weight)
        nn.init.zeros_(self.bias)
        if self._given is None:
            nn.init.ones_(self.idf)
        else:
            self.idf.copy_(self._given)

    def terms(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """The terms (terms, B) of texts (L, B): words, n-grams behind the last word, 0 for none."""
        counted = inside(lengths, tokens.shape[0])
        found = [tokens.masked_fill(~counted, 0)]
        if self.orders:
            before = self.orders[-1] - 1
            given = torch.cat((tokens.new_zeros((before, tokens.shape[1])), tokens + 1))
            rows = rows_of_ngrams(given, tokens.shape[0], list(self.orders), self.ngram_rows)
            first = len(self.idf) - len(self.orders) * self.ngram_rows
            for n, one in zip(self.orders, rows.unbind(-1), strict=True):
                whole = counted & (torch.arange(len(tokens), device=tokens.device) >= n - 1).unsqueeze(1)
                found.append((first + one).masked_fill(~whole, 0))
        return torch.cat(found)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        terms, values = tfidf(self.terms(tokens, lengths), self.idf)
        return self.weights(terms, per_sample_weights=values) + self.bias  # type: ignore[no-any-return]


def tfidf(terms: Tensor, idf: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted terms (B, T) of texts (T, B), and values (B, T): each term's TF-IDF at its first place, else 0.

    Term 0 is none.
    """
    words = terms.t().contiguous().sort(1).values
    first = torch.ones_like(words, dtype=torch.bool)
    first[:, 1:] = words[:, 1:] != words[:, :-1]
    run = first.cumsum(1) - 1
    counts = torch.zeros_like(words).scatter_add_(1, run, torch.ones_like(words)).gather(1, run)
    values = (1 + counts.to(idf.dtype).log()) * idf[words] * (first & (words > 0))
    return words, values / values.norm(dim=1, keepdim=True).clamp(min=1e-12)
