"""Tokenizers, vocabularies and word vectors; installed as `spikeseq.tokenizers`.

From texts to what a model reads::

    tokenizer = build_tokenizer("spacy-en")                  # or SpacyTokenizer("en"), WhitespaceTokenizer()
    token_lists = tokenizer.tokenize_all(texts, processes=4)
    vocab = Vocab.build(token_lists, max_size=20_000)
    ids = vocab.encode(token_lists[0])
    rows, found = load_vectors("glove.6B.100d.txt", vocab)   # or train_vectors(token_lists, vocab)
    save_vectors("vectors.txt", vocab, rows)

For translation, `SubwordTokenizer` splits raw text into pieces of words, and makes text of them again.

spaCy, sentencepiece, gensim and torchtext are imported when they are first used; without one of them, the
error says what to install.
"""

from .subword import SubwordTokenizer
from .vectors import load_vectors, save_vectors, train_vectors, vector_words
from .vocab import Vocab
from .words import SpacyTokenizer, Tokenizer, WhitespaceTokenizer, build_tokenizer

__all__ = [
    "SpacyTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "Vocab",
    "WhitespaceTokenizer",
    "build_tokenizer",
    "load_vectors",
    "save_vectors",
    "train_vectors",
    "vector_words",
]
