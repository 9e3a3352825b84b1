"""From texts to token ids and word vectors, kept in a cache: the slow part of a start, done once."""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from spikeseq.recipes.manifest import checked, read_json
from spikeseq.recipes.recipe import SPLITS, Say
from spikeseq.recipes.shared.corpus_cache import content_of, corpus_folder, keep_corpus
from spikeseq.recipes.shared.texts.data import TextData, load_text_data, source_files
from spikeseq.recipes.shared.texts.splits import TextSplit
from spikeseq.tokenizers import Vocab, build_tokenizer, load_vectors, train_vectors, vector_words

UNLABELLED = -100
"""The label of a text that has none, as torch's losses have it."""
VOCAB_FILE, CLASSES_FILE, TOKENIZER_FILE = "vocab.json", "classes.json", "tokenizer.json"


@dataclass
class Encoded:
    """One split as ids: text i is `ids[starts[i]:starts[i + 1]]`."""

    ids: Tensor
    starts: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def text(self, index: int) -> Tensor:
        """The ids of one text, in order."""
        return self.ids[self.starts[index] : self.starts[index + 1]].long()


@dataclass
class Corpus:
    """All that a text classifier is trained and tested on.

    splits: train, validation and test; with vectors that were trained, also unlabelled.
    """

    name: str
    classes: list[str]
    vocab: Vocab
    tokenizer: str  # its signature
    vectors: Tensor | None  # (len(vocab), size)
    found: float | None  # share of the vocabulary that has a vector of its own
    splits: dict[str, Encoded]
    kept: str | None = None  # of the tokenizer, for the same tokens later

    def files(self) -> dict[str, str | bytes]:
        """What a run folder keeps of it, by file name."""
        rules: dict[str, str | bytes] = {} if self.kept is None else {TOKENIZER_FILE: self.kept}
        return {VOCAB_FILE: json.dumps(self.vocab.to_dict()), CLASSES_FILE: json.dumps(self.classes), **rules}

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        texts = {name: len(split) for name, split in self.splits.items()}
        return {"vectors_found": self.found, "tokenizer": self.tokenizer, "texts": texts}


def load_corpus(config: Any, say: Say = lambda text: None) -> Corpus:
    """The corpus that the section `data` of a configuration describes.

    Validation texts are cut from the training texts where the source has none. Vocabulary and vectors come
    from training, validation and unlabelled texts, never from the test split. With `vectors: train` skip-gram
    vectors are trained on them; else `vectors` is a GloVe or word2vec text file, such as `spikeseq vectors`
    writes, or null for none; with `vector_words`, words of the file join the vocabulary, in its order.
    """
    if config.kept_tokens is not None and config.kept_tokens < 1:
        raise ValueError(f"data.kept_tokens must be at least 1, or null, got {config.kept_tokens}")
    tokenizer = build_tokenizer(config.tokenizer)
    folder = corpus_folder(_facts(config, tokenizer.signature()))
    if (folder / "corpus.json").exists():
        corpus = _read(folder)
        if corpus is not None:
            return corpus
    say(f"reading {config.source}")
    data = load_text_data(
        config.source,
        text_column=config.text_column,
        label_column=config.label_column,
        test_share=config.test_share,
        folds=config.folds,
        fold=config.fold,
        seed=config.split_seed,
        limit=config.limit,
    )
    corpus = build_corpus(data, config, tokenizer, say)
    keep_corpus(folder, partial(_write, corpus), say)
    return corpus


def build_corpus(data: TextData, config: Any, tokenizer: Any, say: Say) -> Corpus:
    """Tokenises, builds the vocabulary and the vectors, and encodes every split."""
    texts = data.splits(config.validation_share, config.split_seed)
    say(f"tokenising {sum(len(split.texts) for split in texts.values()) + len(data.unlabelled):,} texts")
    many = len(data.unlabelled) + len(data.train.texts) > 20_000
    processes = min(4, os.cpu_count() or 1) if many else 1
    tokens = {name: tokenizer.tokenize_all(split.texts, processes=processes) for name, split in texts.items()}
    seen = tokens["train"] + tokens["validation"]
    if config.vectors == "train":
        tokens["unlabelled"] = tokenizer.tokenize_all(data.unlabelled, processes=processes)
        texts["unlabelled"] = TextSplit(data.unlabelled, [UNLABELLED] * len(data.unlabelled))
        seen = seen + tokens["unlabelled"]
    vocab = Vocab.build(seen, min_frequency=config.min_frequency, max_size=config.vocabulary)
    vectors, found = None, None
    if config.vectors == "train":
        say(f"training word vectors on {len(seen):,} texts (kept for later runs)")
        vectors, found = train_vectors(
            seen, vocab, dim=config.vector_size, epochs=config.vector_epochs, window=config.vector_window,
            seed=config.split_seed, sample=config.vector_sample, workers=config.vector_workers,
            progress=lambda done, epochs: say(f"word vectors: pass {done} of {epochs}"),
        )  # fmt: skip
    elif config.vectors is not None:
        noise = torch.Generator().manual_seed(config.split_seed)  # for words without a vector
        path = os.path.expanduser(config.vectors)
        if config.vector_words:
            vocab = vocab.with_words(vector_words(path), config.vocabulary)
        vectors, found = load_vectors(path, vocab, generator=noise)
    splits = {name: encode(tokens[name], split, vocab) for name, split in texts.items()}
    signature, kept = tokenizer.signature(), tokenizer.kept()
    return Corpus(data.name, data.classes, vocab, signature, vectors, found, splits, kept)


def encode(tokens: list[list[str]], split: TextSplit, vocab: Vocab) -> Encoded:
    """Token lists and labels as three tensors. A text without any token becomes one `<unk>`."""
    ids = [vocab.encode(text) or [vocab.unk_id] for text in tokens]
    starts = torch.tensor([0, *map(len, ids)]).cumsum(0)
    flat = torch.tensor([i for text in ids for i in text], dtype=torch.int32)
    return Encoded(flat, starts, torch.tensor(split.labels))


def _facts(config: Any, tokenizer: str) -> dict[str, Any]:
    """What the corpus depends on: the settings, the tokenizer's version, the files' contents and roles, and
    the paths, as given and without links, which say its name."""
    facts: dict[str, Any] = {name: config[name] for name in sorted(config)}
    facts["tokenizer"], facts["format"] = tokenizer, 3
    if config.vectors not in (None, "train"):
        path = Path(os.path.expanduser(config.vectors))
        facts["vectors"] = path.name, content_of(path)
    if config.source not in ("sample", "hub"):
        path = Path(os.path.expanduser(config.source))
        files = source_files(config.source)
        contents = [(role, file.name, content_of(file)) for role, file in files.items()]
        facts["source"] = str(path.absolute()), str(files["train"].parent.resolve()), contents
    elif config.source == "sample":
        from spikeseq.recipes.shared.texts import sample as text_sample

        facts["source"] = hashlib.sha256(Path(text_sample.__file__).read_bytes()).hexdigest()
    return facts


def _write(corpus: Corpus, folder: Path) -> None:
    tensors = {
        f"{name}.{part}": getattr(split, part).contiguous()
        for name, split in corpus.splits.items()
        for part in ("ids", "starts", "labels")
    }
    if corpus.vectors is not None:
        tensors["vectors"] = corpus.vectors.contiguous()
    about = {
        "name": corpus.name,
        "classes": corpus.classes,
        "tokenizer": corpus.tokenizer,
        "found": corpus.found,
        "kept": corpus.kept,
    }
    save_file(tensors, folder / "tensors.safetensors")
    corpus.vocab.to_json(folder / "vocab.json")
    (folder / "corpus.json").write_text(json.dumps(about))


def _read(folder: Path) -> Corpus | None:
    """The corpus in the cache, or None where its files do not belong together."""
    try:
        about = read_json(folder / "corpus.json")
        tensors = load_file(checked(folder / "tensors.safetensors"))
        vocab = Vocab.from_json(checked(folder / "vocab.json"))
        splits = {
            name: Encoded(*(tensors[f"{name}.{part}"] for part in ("ids", "starts", "labels")))
            for name in (*SPLITS, "unlabelled")
            if f"{name}.ids" in tensors
        }
        return Corpus(
            about["name"],
            about["classes"],
            vocab,
            about["tokenizer"],
            tensors.get("vectors"),
            about["found"],
            splits,
            about["kept"],
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return None
