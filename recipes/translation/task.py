"""Translation as a task for the engine: batches by token count, smoothed loss, BLEU on validation."""

import math
import random
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bleu import score
from spikeseq.models.seq2seq import BOS, Seq2Seq, build_seq2seq, inside
from spikeseq.recipes.engine import Task
from spikeseq.recipes.translation.corpus import (
    EncodedPairs,
    ParallelCorpus,
    Side,
    padded,
    with_dropped_merges,
)
from spikeseq.recipes.translation.translator import Translator


def token_batches(
    lengths: list[tuple[int, int]], tokens: int, rng: random.Random | None, noise: float = 1.0
) -> list[list[int]]:
    """Indices in batches of at most `tokens` padded tokens on either side (one pair at least).

    Pairs of like length go together, so that little is padding; with `rng`, lengths are blurred by `noise`
    tokens and batches shuffled, so that epochs differ.
    """

    def key(i: int) -> tuple[float, float]:
        blur = rng.uniform(0, noise) if rng else 0.0
        return lengths[i][1] + blur, lengths[i][0]

    batches: list[list[int]] = []
    longest = 0
    for i in sorted(range(len(lengths)), key=key):
        longest = max(longest, *lengths[i])
        if not batches or longest * (len(batches[-1]) + 1) > tokens:
            batches.append([])
            longest = max(lengths[i])
        batches[-1].append(i)
    if rng is not None:
        rng.shuffle(batches)
    return batches


@dataclass
class TranslationTask(Task):
    """A translation model on a parallel corpus. See `engine.Task`.

    batch_tokens: padded tokens per batch. seed: of the batches' order, and of dropped merges.
    label_smoothing: as `settings.TrainSettings`. beam, length_penalty: of the search that the test split is
    translated with; validation is greedy. merge_dropout: share of the merges of pieces that are left out of
    the source sentences trained on, anew in every epoch (BPE-dropout, Provilkov et al., 2020).
    """

    model: Seq2Seq
    corpus: ParallelCorpus
    batch_tokens: int
    seed: int
    label_smoothing: float
    beam: int
    length_penalty: float
    merge_dropout: float = 0.0

    def batches(self, epoch: int) -> list[EncodedPairs]:
        split, rng = self.corpus.splits["train"], random.Random(f"{self.seed} {epoch}")
        if self.merge_dropout:
            split = with_dropped_merges(split, self.corpus.source, self.merge_dropout, rng)
        return [split.part(rows) for rows in token_batches(lengths_of(split), self.batch_tokens, rng)]

    def tokens(self, batch: EncodedPairs) -> int:
        return sum(map(len, batch.targets))

    def collate(self, batch: EncodedPairs, rng: torch.Generator) -> tuple[Tensor, ...]:
        return collate(batch)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        return token_loss(model, batch, self.label_smoothing)

    @torch.no_grad()
    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        assert isinstance(model, Seq2Seq)
        model.eval()
        split = self.corpus.splits["validation"]
        bleu = self.translate(model, split, beam=1)
        return {
            "score": bleu["bleu_tok_lc"],
            "bleu_tok_lc": bleu["bleu_tok_lc"],
            "perplexity": perplexity(model, split, 2 * self.batch_tokens, device),
        }

    def translate(self, model: Seq2Seq, split: EncodedPairs, *, beam: int | None = None) -> dict[str, Any]:
        """Both BLEU figures of a split, and the translations as `lines`."""
        translator = open_translator(model, self.corpus.source, self.corpus.target)
        lines = translator.translate(
            split.source_texts, beam=beam or self.beam, length_penalty=self.length_penalty
        )
        figures = score(lines, split.references, language=self.corpus.target.language)
        return {**figures, "lines": lines}


def open_translator(model: Seq2Seq, source: Side, target: Side, config: Any = None) -> Translator:
    """From lines to lines with a model."""
    words = target.subword is None  # of pieces none is unknown
    return Translator(
        model, source.vocab, target.vocab, source.tokenizer, target.detokenise, config, copy_unknown=words
    )


def lengths_of(split: EncodedPairs) -> list[tuple[int, int]]:
    return [(len(s), len(t)) for s, t in zip(split.sources, split.targets, strict=True)]


def collate(pairs: EncodedPairs) -> tuple[Tensor, ...]:
    """Source (S, B) and its lengths; target (L, B) from `<bos>` on and its lengths; labels, one per token."""
    source, source_lengths = padded(pairs.sources)
    labels, target_lengths = padded(pairs.targets)
    target = torch.cat((torch.full((1, len(pairs)), BOS), labels[:-1]))
    rows = labels[inside(target_lengths, len(labels))]
    return source, source_lengths, target, target_lengths, rows


def token_loss(model: nn.Module, batch: tuple[Tensor, ...], smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy over the target tokens of a collated batch."""
    *inputs, labels = batch
    return nn.functional.cross_entropy(model(*inputs), labels, label_smoothing=smoothing)


def perplexity(model: Seq2Seq, split: EncodedPairs, tokens: int, device: torch.device) -> float:
    """exp of the mean cross-entropy per target token, `<eos>` included."""
    total, count = 0.0, 0
    for indices in token_batches(lengths_of(split), tokens, None):
        batch = tuple(x.to(device) for x in collate(split.part(indices)))
        total += float(token_loss(model, batch)) * len(batch[-1])
        count += len(batch[-1])
    return math.exp(min(total / count, 50.0))


def build_translation_task(
    config: Any, corpus: ParallelCorpus, model: Seq2Seq | None = None
) -> TranslationTask:
    """The task of a configuration, with a trained model or a fresh one."""
    train = config.train
    if model is None:
        torch.manual_seed(config.seed)
        model = build_seq2seq(config.model, len(corpus.source.vocab), len(corpus.target.vocab))
    return TranslationTask(
        model, corpus, train.batch_tokens, config.seed, train.label_smoothing,
        config.evaluate.beam, config.evaluate.length_penalty, config.data.get("merge_dropout", 0.0),
    )  # fmt: skip
