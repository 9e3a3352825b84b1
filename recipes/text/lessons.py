"""What a classifier learns from beside labels: the answers of teachers, to texts without a label as well."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spikeseq.recipes.shared.distillation import divergences
from spikeseq.recipes.text.corpus import UNLABELLED, Corpus, Encoded


@dataclass(frozen=True)
class Lessons:
    """Teachers' answers to the training texts.

    texts: with labels and without. answers: (texts, classes), logits. weight: share of the loss that they
    have where there is a label; where there is none, all of it. temperature: as `divergences`.
    """

    texts: Encoded
    answers: Tensor
    weight: float
    temperature: float

    def loss(self, logits: Tensor, labels: Tensor, rows: Tensor, smoothing: float) -> Tensor:
        """Mean over the texts `rows` (B,), answered by `logits` (B, classes), of both losses.

        smoothing: of the labels.
        """
        by_labels = nn.functional.cross_entropy(
            logits, labels, ignore_index=UNLABELLED, label_smoothing=smoothing, reduction="none"
        )
        answers = self.answers.to(logits.device)[rows]
        weight = torch.full_like(by_labels, self.weight).masked_fill(labels == UNLABELLED, 1.0)
        return ((1 - weight) * by_labels + weight * divergences(logits, answers, self.temperature)).mean()


def training_texts(corpus: Corpus, unlabelled: bool) -> Encoded:
    """The training texts, and behind them those without a label, if they are wanted.

    Raises:
        ValueError: there are none.
    """
    labelled = corpus.splits["train"]
    if not unlabelled:
        return labelled
    others = corpus.splits.get("unlabelled")
    if not others:
        raise ValueError(
            "distillation.unlabelled needs texts without a label, read with data.vectors=train; got none"
        )
    return Encoded(
        torch.cat((labelled.ids, others.ids)),
        torch.cat((labelled.starts, others.starts[1:] + labelled.starts[-1])),
        torch.cat((labelled.labels, others.labels)),
    )
