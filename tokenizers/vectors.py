"""Word vectors for a vocabulary: trained on a corpus (`train_vectors`), kept in a file (`save_vectors`) and
read from one (`load_vectors`).

Trained or read, they are `(rows, found)`: rows (len(vocab), dim) float32, to copy into an `nn.Embedding`, and
the share of the vocabulary's words, specials not counted, that have a vector of their own.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .vectorfile import read_vector_file, write_vector_file
from .vocab import PAD, Vocab

LONGEST_SENTENCE = 10_000  # gensim silently leaves out what comes after this many tokens of one list


def load_vectors(
    path: str | os.PathLike[str],
    vocab: Vocab,
    *,
    cache: str | os.PathLike[str] | None = None,
    scale: float | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, float]:
    """The vectors of a GloVe or word2vec *text* file, in the order of the vocabulary.

    path: the file, plain or `.gz`; a word2vec header line is recognised.
    vocab: V entries. A special that the file knows (some have `<unk>`) gets its row, but is not counted.
    cache: folder for a parsed copy, read instead of the text the next time (default: the user's cache folder,
        never beside the file; a changed file is read anew).
    scale: standard deviation that the numbers of all rows are brought to (default None: as in the file).
    generator: for the rows of words not found (default None: torch's global generator).

    Returns (rows (V, dim) float32, found in [0, 1]). The row of `<pad>` is zero. Words that were not found
    get normal noise about zero, with the standard deviation of the numbers in the rows that were found.

    Raises FileNotFoundError without a file; ValueError, naming the file and where possible the line, if it is
    empty, not UTF-8, has rows of unequal length or fields that are no finite numbers, or if no word of the
    vocabulary is in it; ImportError, with the install command, where torchtext is missing.
    """
    path = Path(path)
    places, vectors = read_vector_file(path, None if cache is None else Path(cache))
    result = _in_vocabulary_order(vocab, places, vectors, scale, generator)
    if result is None:
        example = next((token for token in vocab if token not in vocab.specials), None)
        raise ValueError(f"{path}: none of the vocabulary's words (such as {example!r}) is in this file")
    return result


def vector_words(path: str | os.PathLike[str]) -> list[str]:
    """The words of a file of vectors, in its order. Raises and caches as `load_vectors`."""
    return list(read_vector_file(Path(path), None)[0])


def save_vectors(path: str | os.PathLike[str], vocab: Vocab, rows: Tensor) -> None:
    """Writes a text file that `load_vectors` reads, gensim and torchtext, too (word2vec's text format).

    path: the file, compressed where it ends in `.gz`; it is written whole or not at all.
    rows: (V, dim), in the order of the vocabulary. `<pad>`, which has no vector, is left out. Numbers are
        written in six digits, so what is read is equal to 1e-5 of its size.

    Raises ValueError for rows of another shape, for numbers that are not finite and for a word with white
    space in it, which such a file cannot hold, naming the word; OSError where it cannot be written.
    """
    if len(rows) != len(vocab):
        raise ValueError(f"rows has {len(rows)} rows; the vocabulary has {len(vocab)} tokens")
    kept = [place for place, token in enumerate(vocab) if token != PAD]
    write_vector_file(Path(path), [vocab.tokens[place] for place in kept], rows[kept])


def train_vectors(
    token_lists: Iterable[list[str]],
    vocab: Vocab,
    *,
    dim: int = 100,
    epochs: int = 5,
    window: int = 5,
    negative: int = 5,
    seed: int = 1,
    workers: int = 1,
    sample: float = 1e-3,
    alpha: float = 0.025,
    scale: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Tensor, float]:
    """Skip-gram vectors with negative sampling, trained by gensim's Word2Vec (Mikolov et al., 2013).

    token_lists: one list of tokens per text; a list, or another iterable that can be gone through again and
        again. Give it training text only. Words that are not in the vocabulary, and specials, are left out
        before windows are formed, as rare words are in word2vec.
    dim: length of a vector. epochs: passes over the corpus. window: words to each side, at most.
    negative: noise words per pair. sample: threshold above which frequent words are thinned out. alpha: first
        learning rate. These defaults are gensim's own.
    seed, workers: with one worker, the default, a seed gives the same vectors each time, whatever
        PYTHONHASHSEED is. More workers are faster, and not reproducible bit for bit: they update the same
        rows without locks.
    scale: as in `load_vectors`.
    progress: called as progress(done, epochs) after each epoch.

    Returns (rows (V, dim) float32, found in [0, 1]), as `load_vectors` does; a word is found if it occurs in
    `token_lists`, and the noise for the others is drawn from `seed` too.

    Raises TypeError if `token_lists` can be gone through only once or holds plain strings; ValueError if no
    word of the vocabulary occurs in it, or for a setting below 1; ImportError, with the install command,
    where gensim is missing.
    """
    try:
        from gensim.models.callbacks import CallbackAny2Vec
        from gensim.models.word2vec import Word2Vec
        from gensim.utils import RULE_DISCARD, RULE_KEEP
    except ImportError as error:
        raise ImportError(
            "training word vectors needs gensim: pip install 'spikeseq[recipes]', on Python 3.13 or older"
        ) from error
    settings = {"dim": dim, "epochs": epochs, "window": window, "negative": negative, "workers": workers}
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    sentences = _Sentences(token_lists)
    words = {token for token in vocab if token not in vocab.specials}
    model = Word2Vec(
        vector_size=dim,
        sg=1,
        hs=0,
        window=window,
        negative=negative,
        sample=sample,
        alpha=alpha,
        min_count=1,
        seed=seed,
        workers=workers,
        hashfxn=_stable_hash,
    )
    model.build_vocab(sentences, trim_rule=lambda word, *_: RULE_KEEP if word in words else RULE_DISCARD)
    if not len(model.wv):
        raise ValueError("none of the vocabulary's words occurs in token_lists")

    class Report(CallbackAny2Vec):
        done = 0

        def on_epoch_end(self, model: Any) -> None:
            self.done += 1
            if progress is not None:
                progress(self.done, epochs)

    model.train(sentences, total_examples=model.corpus_count, epochs=epochs, callbacks=[Report()])
    generator = torch.Generator().manual_seed(seed)
    trained = torch.from_numpy(model.wv.vectors)
    result = _in_vocabulary_order(vocab, model.wv.key_to_index, trained, scale, generator)
    assert result is not None
    return result


def _in_vocabulary_order(
    vocab: Vocab,
    places: dict[str, int],
    vectors: Tensor,
    scale: float | None,
    generator: torch.Generator | None,
) -> tuple[Tensor, float] | None:
    """Pick each token's row, fill the others with noise and zero the padding; None if no word is found."""
    if scale is not None and not (scale > 0 and math.isfinite(scale)):
        raise ValueError(
            f"scale is {scale}; it must be a positive number, or None to keep the vectors as they are"
        )
    tokens = [token for token in vocab if token in places and token != PAD]
    specials = set(vocab.specials)
    found = sum(token not in specials for token in tokens)
    if not found:
        return None
    known = vectors[torch.tensor([places[token] for token in tokens])].float()
    finite = known.isfinite().all(dim=1)
    if not finite.all():
        raise ValueError(
            f"the vector of {tokens[int(finite.int().argmin())]!r} has numbers that are not finite"
        )
    spread = float(known.std(correction=0))
    if scale is not None:
        if spread == 0:
            raise ValueError(
                "the vectors that were found are all the same number: they have no spread to scale"
            )
        known, spread = known * (scale / spread), scale
    rows = torch.randn(len(vocab), known.shape[1], generator=generator) * spread
    rows[torch.tensor([vocab[token] for token in tokens])] = known
    if PAD in vocab:
        rows[vocab.pad_id] = 0.0
    return rows, found / sum(token not in specials for token in vocab)


class _Sentences:
    """The corpus as gensim wants it: restartable, and no list so long that gensim would cut it off."""

    def __init__(self, token_lists: Iterable[list[str]]) -> None:
        if isinstance(token_lists, Iterator):
            raise TypeError(
                f"token_lists is a {type(token_lists).__name__}, which ends after one pass; "
                "give a list, or an object whose __iter__ starts anew"
            )
        self.token_lists = token_lists

    def __iter__(self) -> Iterator[list[str]]:
        for index, tokens in enumerate(self.token_lists):
            if isinstance(tokens, str):
                raise TypeError(f"token_lists[{index}] is a string; it must be a list of tokens")
            for start in range(0, len(tokens), LONGEST_SENTENCE):
                yield tokens[start : start + LONGEST_SENTENCE]


def _stable_hash(word: str) -> int:
    """Like `hash`, but the same in every process."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))
