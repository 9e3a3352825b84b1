"""A sentence as models are trained on it and asked about it, from whichever door it comes."""

from spikeseq.tokenizers.words import whole_characters

LONGEST = 2000  # tokens of a line: every word looks at all of the source, so that time grows with the square


def clean(text: str) -> str:
    """Single spaces only and none at the ends; "?" for half a surrogate pair."""
    return " ".join(whole_characters(text).split())


def check_length(line: str, tokens: int) -> None:
    """Raises ValueError for a line that is too long to be translated."""
    if tokens > LONGEST:
        raise ValueError(
            f"the line {line[:30]!r}... has {tokens:,} tokens, and at most {LONGEST:,} are translated at"
            " once; give each of its sentences a line"
        )
