"""Text classification as a task for the engine: batches of like length, loss, validation, test."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from spikeseq.models import BagOfWords, build_classifier
from spikeseq.recipes.engine import Task
from spikeseq.recipes.shared.batches import buckets
from spikeseq.recipes.text.corpus import Corpus, Encoded
from spikeseq.recipes.text.lessons import Lessons
from spikeseq.recipes.text.start import shape, take_weights

MOST_TESTED = 100_000
"""Tokens of a batch in tests, so that a few very long texts need no more memory than many."""


def crop(ids: Tensor, longest: int | None) -> Tensor:
    """Head and tail of a text that is longer than `longest` tokens: opinions stand at either end."""
    if longest is None or len(ids) <= longest:
        return ids
    head = longest // 2
    return torch.cat((ids[:head], ids[len(ids) - (longest - head) :]))


def portions(lengths: list[int], size: int, longest: int | None) -> Iterator[list[int]]:
    """Indices of texts of like length, `size` at a time, or fewer where they are long."""
    for batch in buckets(lengths, size, None):
        most = max(lengths[i] for i in batch)
        count = max(1, MOST_TESTED // min(most, longest or most))
        yield from (batch[start : start + count] for start in range(0, len(batch), count))


def tested_tokens(config: Any) -> int | None:
    """Tokens kept of a text that is tested or classified; None for all."""
    return None if config.evaluate.uncut else config.data.kept_tokens  # type: ignore[no-any-return]


@dataclass
class TextTask(Task):
    """A classifier on a corpus. See `engine.Task`.

    batch_size: texts per batch. longest: tokens kept of a text in training; None for all. seed: of the
    batches' order. label_smoothing: as `settings.TrainSettings`. lessons: teachers' answers; None for labels
    alone. tested: tokens kept of a text in tests.
    """

    model: nn.Module
    corpus: Corpus
    batch_size: int
    longest: int | None
    seed: int
    label_smoothing: float = 0.0
    lessons: Lessons | None = None
    tested: int | None = None

    @property
    def texts(self) -> Encoded:
        """What is trained on."""
        return self.corpus.splits["train"] if self.lessons is None else self.lessons.texts

    def batches(self, epoch: int) -> list[list[int]]:
        split = self.texts
        lengths = (split.starts[1:] - split.starts[:-1]).tolist()
        cut = [min(n, self.longest or n) for n in lengths]
        return buckets(cut, self.batch_size, random.Random(f"{self.seed} {epoch}"))

    def collate(self, batch: list[int], rng: torch.Generator) -> tuple[Tensor, ...]:
        return *self._tensors(self.texts, batch, self.longest), torch.tensor(batch)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        tokens, lengths, labels, rows = batch
        logits = model(tokens, lengths)
        if self.lessons is not None:
            return self.lessons.loss(logits, labels, rows, self.label_smoothing)
        return nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        accuracy = self.accuracy(model, "validation", device)
        return {"score": accuracy, "accuracy": accuracy}

    @torch.no_grad()
    def accuracy(
        self,
        model: nn.Module,
        split: str,
        device: torch.device,
        shuffled: int | None = None,
        at_once: int | None = None,
    ) -> float:
        """Share of the split's texts that are classified rightly, in percent.

        shuffled: a seed to shuffle the tokens of every text by: what is left without their order.
        at_once: texts at most, for models that take much memory; default four batches.
        """
        model.eval()
        data = self.corpus.splits[split]
        lengths = (data.starts[1:] - data.starts[:-1]).tolist()
        generator = None if shuffled is None else torch.Generator().manual_seed(shuffled)
        right = 0
        for batch in portions(lengths, at_once or 4 * self.batch_size, self.tested):
            tokens, sizes, labels = (x.to(device) for x in self._tensors(data, batch, self.tested, generator))
            right += int((model(tokens, sizes).argmax(1) == labels).sum())
        return 100 * right / len(data)

    def _tensors(
        self, data: Encoded, batch: list[int], longest: int | None, shuffle: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        texts = [crop(data.text(i), longest) for i in batch]
        if shuffle is not None:
            texts = [text[torch.randperm(len(text), generator=shuffle)] for text in texts]
        lengths = torch.tensor([len(text) for text in texts])
        return pad_sequence(texts), lengths, data.labels[batch]


def inverse_document_frequencies(split: Encoded, model: BagOfWords) -> Tensor:
    """idf (terms,) = 1 + log((1 + texts) / (1 + texts with the term)), as scikit-learn's default."""
    count = torch.zeros(len(model.idf))
    for i in range(len(split)):
        text = split.text(i)
        count[model.terms(text.unsqueeze(1), torch.tensor([len(text)])).unique()] += 1
    count[0] = 0  # no term
    return 1 + ((1 + len(split)) / (1 + count)).log()


def build_task(config: Any, corpus: Corpus, model: nn.Module | None = None) -> TextTask:
    """The task of a configuration, with a trained model or a fresh one."""
    train, longest = config.train, config.data.kept_tokens
    model = fresh_model(config, corpus) if model is None else model
    return TextTask(
        model, corpus, train.batch_size, longest, config.seed, train.label_smoothing,
        tested=tested_tokens(config),
    )  # fmt: skip


def fresh_model(config: Any, corpus: Corpus, *, begins: bool = True) -> nn.Module:
    """A model to be trained, its embedding set to the corpus's word vectors if it has any.

    begins: with the weights of the run that `--from` names, if one is named.
    """
    torch.manual_seed(config.seed)
    model = build_classifier(shape(config.model), len(corpus.vocab), len(corpus.classes))
    if isinstance(model, BagOfWords):
        model.idf.copy_(inverse_document_frequencies(corpus.splits["train"], model))
    elif corpus.vectors is not None:
        if corpus.vectors.shape[1] != config.model.embedding_size:
            width = corpus.vectors.shape[1]
            expected = f"model.embedding_size is {config.model.embedding_size}"
            raise ValueError(f"the word vectors have {width} numbers, {expected}; they must be equal")
        vectors = standardised(corpus.vectors, torch.tensor(list(corpus.vocab.frequencies.values())))
        with torch.no_grad():
            model.embedding.weight.copy_(vectors * config.data.vector_scale)  # type: ignore[union-attr,operator]
    start = config.model.get("start")
    if begins and start is not None:
        take_weights(model, Path(start), corpus.vocab)
    return model


def standardised(vectors: Tensor, frequencies: Tensor) -> Tensor:
    """Word vectors (V, E) with mean zero and unit variance over the words of a text; row 0, padding, is zero.

    Trained vectors share a large common part, which a leaky membrane would sum up to a constant current that
    silences some neurons and saturates others.
    """
    weight = (frequencies / frequencies.sum()).to(vectors.dtype).unsqueeze(1)
    centred = vectors - (vectors * weight).sum(0)
    centred = centred / ((centred**2).mean(1, keepdim=True) * weight).sum().sqrt()
    centred[0] = 0
    return centred
