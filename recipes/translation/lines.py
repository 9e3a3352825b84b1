"""A sentence as models are trained on it and asked about it, from whichever door it comes."""

from spikeseq.tokenizers.words import whole_characters


def clean(text: str) -> str:
    """Single spaces only and none at the ends; "?" for half a surrogate pair."""
    return " ".join(whole_characters(text).split())
