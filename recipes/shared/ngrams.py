"""Settings of the vectors of n-grams (`spikeseq.models.ngrams`), of every recipe that has them."""

from dataclasses import dataclass, field
from itertools import pairwise

from spikeseq.recipes.settings import WIDEST, Idle, accepted, whole

NGRAMS = accepted(
    "empty or rising whole numbers from 2 to 64",
    lambda orders: all(low < high for low, high in pairwise([1, *orders, 65])),
)
IDLE_ROWS = Idle(("model.ngram_rows",), lambda config: not config.model.get("ngrams"), "without model.ngrams")


@dataclass(kw_only=True)
class NGramSettings:
    """
    ngrams: numbers of last tokens that have a vector together, added to the token's own; empty for none.
    ngram_rows: of the table of each, on which n-grams fall by a hash.
    """

    ngrams: list[int] = field(metadata=NGRAMS)
    ngram_rows: int = whole(1, WIDEST)
