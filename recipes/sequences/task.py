"""Classification of sequences as a task for the engine: batches of like length, loss, validation, test."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.models.sequence import SequenceClassifier, build_sequence_classifier
from spikeseq.recipes.engine import Task
from spikeseq.recipes.sequences.data import BYTES, SequenceCorpus, Sequences
from spikeseq.recipes.shared.batches import buckets, shuffled
from spikeseq.recipes.shared.images.augmentation import Augmentation


@dataclass
class SequenceTask(Task):
    """A classifier of sequences on a corpus. See `engine.Task`.

    batch_size: sequences per batch. seed: of the batches' order. label_smoothing: as
    `settings.TrainSettings`. augmentation: of training images; None for none.
    """

    model: SequenceClassifier
    corpus: SequenceCorpus
    batch_size: int
    seed: int
    label_smoothing: float = 0.0
    augmentation: Augmentation | None = None

    def __post_init__(self) -> None:
        self.stride = self.model.front.stride

    def batches(self, epoch: int) -> list[list[int]]:
        lengths, seed = self.corpus.splits["train"].lengths(), f"{self.seed} {epoch}"
        if min(lengths) == max(lengths):
            return shuffled(len(lengths), self.batch_size, seed)
        return buckets(lengths, self.batch_size, random.Random(seed))

    def collate(self, batch: list[int], rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        return self.batch(self.corpus.splits["train"], batch, partial(self.changed, rng=rng))

    def changed(self, rows: Tensor, rng: torch.Generator) -> Tensor:
        """Training images (L, B), moved and mirrored at random."""
        if self.augmentation is None:
            return rows
        side: Any = self.corpus.reading.size  # of images
        images = rows.t().reshape(-1, 1, side, side)
        return self.augmentation(images, rng).flatten(1).t()

    def batch(
        self, split: Sequences, chosen: list[int], change: Callable[[Tensor], Tensor] = lambda rows: rows
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What the model reads of some sequences, their lengths, and their labels."""
        rows, lengths = split.batch(chosen)
        return self.corpus.reading(change(rows), lengths, self.stride), lengths, split.labels[chosen]

    def loss(self, model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        x, lengths, labels = batch
        logits, _ = model(x, lengths=lengths)
        return nn.functional.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        accuracy = self.accuracy(model, "validation", device)
        return {"score": accuracy, "accuracy": accuracy}

    @torch.no_grad()
    def accuracy(self, model: nn.Module, split: str, device: torch.device) -> float:
        """Share of a split's sequences that are classified rightly, in percent."""
        model.eval()
        data, right = self.corpus.splits[split], 0
        for chosen in buckets(data.lengths(), 4 * self.batch_size, None):
            x, lengths, labels = (part.to(device) for part in self.batch(data, chosen))
            logits, _ = model(x, lengths=lengths)
            right += int((logits.argmax(1) == labels).sum())
        return 100 * right / len(data)

    @torch.no_grad()
    def streamed_difference(
        self, model: nn.Module, split: str, count: int, device: torch.device
    ) -> dict[str, float]:
        """Of some sequences read row by row, only the state handed on, and as a whole: the largest difference
        of logits, and the share of equal answers in percent. In float64: in float32 another order of
        additions can make a membrane at its threshold fire, or not."""
        model.eval()
        data, worst, same = self.corpus.splits[split], 0.0, 0
        chosen = spread(len(data), count)
        wide = model.double()
        for row in chosen:
            x, lengths, _ = (part.to(device) for part in self.batch(data, [row]))
            x = x.double() if x.is_floating_point() else x
            whole, _ = wide(x, lengths=lengths)
            state, streamed = None, whole
            for value in x.split(1):
                streamed, state = wide(value, state)
            worst = max(worst, float((streamed - whole).abs().max()))
            same += int(streamed.argmax() == whole.argmax())
        model.float()
        return {"difference": worst, "same": 100 * same / len(chosen)}


def spread(rows: int, count: int) -> list[int]:
    """`count` rows, evenly over all."""
    return torch.linspace(0, rows - 1, min(count, rows)).long().tolist()  # type: ignore[no-any-return]


def new_model(config: Any, classes: int) -> SequenceClassifier:
    """The model of a configuration, with weights as they are drawn."""
    vocabulary = BYTES if config.data.recipe == "imdb-bytes" else None
    return build_sequence_classifier(config.model, classes, vocabulary=vocabulary)


def build_task(config: Any, corpus: SequenceCorpus, model: SequenceClassifier | None = None) -> SequenceTask:
    """The task of a configuration, with a trained model or a fresh one."""
    if model is None:
        torch.manual_seed(config.seed)
        model = new_model(config, len(corpus.classes))
    train = config.train
    changes = augmentation(config, corpus.reading.size)
    return SequenceTask(model, corpus, train.batch_size, config.seed, train.label_smoothing, changes)


def augmentation(config: Any, side: int | None) -> Augmentation | None:
    """What is changed at random of training images of that side; None for nothing."""
    data = config.data
    if side is None or not (data.shift or data.flip):
        return None
    if data.shift >= side:
        raise ValueError(f"data.shift must be below the image's {side} pixels, got {data.shift}")
    return Augmentation(data.shift, data.flip)
