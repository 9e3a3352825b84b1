"""Trained classifiers of texts as teachers of another: their answers to its training texts."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from spikeseq.recipes import runs
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.text.classifier import Classifier
from spikeseq.recipes.text.corpus import Corpus, Encoded
from spikeseq.recipes.text.lessons import Lessons, training_texts
from spikeseq.recipes.text.task import portions


def check_teachers(config: Any) -> None:
    """Refuses teachers that are no finished runs of this recipe, before any data is read.

    Raises:
        ConfigError, runs.RunError: naming the folder.
    """
    for folder in config.distillation.teachers:
        runs.finished(Path(folder))
        recipe = runs.read_config(Path(folder)).recipe
        if recipe != config.recipe:
            raise ConfigError(
                f"distillation.teachers: {folder} is a run of the recipe {recipe!r}, not of {config.recipe!r}"
            )


def lessons(config: Any, corpus: Corpus) -> Lessons | None:
    """The mean of the teachers' answers, each in log-probabilities; None without teachers.

    Raises:
        ConfigError: a teacher has other classes, or other tokens. ValueError: no unlabelled texts.
    """
    settings = config.distillation
    if not settings.teachers:
        return None
    texts = training_texts(corpus, settings.unlabelled)
    teachers = [opened(folder, corpus) for folder in settings.teachers]
    found = [answers(teacher, corpus, texts) for teacher in teachers]
    return Lessons(texts, torch.stack(found).mean(0), settings.weight, settings.temperature)


def opened(folder: str, corpus: Corpus) -> Classifier:
    """A teacher; raises ConfigError for one of other classes or tokens."""
    teacher: Classifier = runs.load(Path(folder))
    same = {
        "classes": (teacher.classes, corpus.classes),
        "tokens": (teacher.tokenizer.signature(), corpus.tokenizer),
    }
    for what, (its, ours) in same.items():
        if its != ours:
            raise ConfigError(f"distillation.teachers: {folder} has the {what} {its}, this run {ours}")
    return teacher


@torch.no_grad()
def answers(teacher: Classifier, corpus: Corpus, texts: Encoded, size: int = 256) -> Tensor:
    """Log-probabilities (texts, classes). The teacher reads whole texts, with a vocabulary of its own: a word
    that either does not know is `<unk>` to it."""
    words = torch.tensor(teacher.vocab.encode(corpus.vocab.tokens))
    lengths = (texts.starts[1:] - texts.starts[:-1]).tolist()
    found = torch.empty(len(texts), len(corpus.classes))
    for batch in portions(lengths, size, None):
        ids = [words[texts.text(i)] for i in batch]
        logits = teacher.model(pad_sequence(ids), torch.tensor([len(one) for one in ids]))
        found[batch] = logits.float().log_softmax(1)
    return found
