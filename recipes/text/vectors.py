"""Word vectors to keep, trained on the texts of a source."""

from collections.abc import Iterable

from torch import Tensor

from spikeseq.recipes.recipe import Say
from spikeseq.recipes.text.corpus import load_corpus
from spikeseq.tokenizers import Vocab

IDLE = ("vectors", "vector_words", "vector_scale", "kept_tokens")  # of the section `data`


def trained_vectors(source: str, overrides: Iterable[str], say: Say) -> tuple[Vocab, Tensor]:
    """The vocabulary and vectors that the recipe `imdb` would train on `source`, kept in the cache as there.

    overrides: of settings of its section `data`, as "data.vector_size=200".

    Raises:
        ValueError: a setting that has no effect on vectors; as `load_config` and `load_corpus`.
    """
    from spikeseq.recipes.config import load_config  # late: it imports OmegaConf

    overrides = list(overrides)
    for key in (text.partition("=")[0] for text in overrides):
        section, _, name = key.partition(".")
        if section != "data" or name in IDLE:
            raise ValueError(
                f"{key} has no effect on word vectors; --set takes data.vector_size and the like"
            )
    config = load_config("imdb", data=source, overrides=["data.vectors=train", *overrides])
    corpus = load_corpus(config.data, say)
    assert corpus.vectors is not None
    return corpus.vocab, corpus.vectors
