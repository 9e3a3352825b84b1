from itertools import chain

import pytest
import torch
from torch import nn

from spikeseq.recipes.shared.distillation import divergences
from spikeseq.recipes.text.corpus import UNLABELLED, Corpus, Encoded
from spikeseq.recipes.text.lessons import Lessons, training_texts
from spikeseq.recipes.text.task import TextTask


def encoded(texts, labels):
    starts = torch.tensor([0, *map(len, texts)]).cumsum(0)
    return Encoded(
        torch.tensor([i for text in texts for i in text], dtype=torch.int32), starts, torch.tensor(labels)
    )


SPLITS = {"train": encoded([[1], [2, 3]], [0, 1]), "unlabelled": encoded([[4, 5], [6]], [UNLABELLED] * 2)}


def corpus(**splits):
    return Corpus("mine", ["x", "y"], None, "t", None, None, splits)


def test_unlabelled_texts_stand_behind_the_others():
    texts = training_texts(corpus(**SPLITS), True)
    assert [texts.text(i).tolist() for i in range(len(texts))] == [[1], [2, 3], [4, 5], [6]]
    assert texts.labels.tolist() == [0, 1, UNLABELLED, UNLABELLED]
    assert training_texts(corpus(**SPLITS), False) is SPLITS["train"]
    for none in (corpus(train=SPLITS["train"]), corpus(**SPLITS | {"unlabelled": encoded([], [])})):
        with pytest.raises(ValueError, match=r"distillation.unlabelled needs texts without a label"):
            training_texts(none, True)


def test_the_loss_is_a_mixture_where_there_is_a_label():
    torch.manual_seed(0)
    logits, answers = torch.randn(3, 2), torch.randn(4, 2)
    rows, labels = torch.tensor([3, 0, 1]), torch.tensor([UNLABELLED, 0, 1])
    lessons = Lessons(training_texts(corpus(**SPLITS), True), answers, weight=0.25, temperature=2.0)
    by_teachers = divergences(logits, answers[rows], 2.0)
    by_labels = nn.functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
    expected = by_teachers[0] + (0.75 * by_labels + 0.25 * by_teachers)[1:].sum()
    torch.testing.assert_close(lessons.loss(logits, labels, rows, 0.0), expected / 3)
    alone = lessons.loss(logits[:1], labels[:1], rows[:1], 0.0)  # a batch without any label
    torch.testing.assert_close(alone, by_teachers[0])


def test_a_task_with_lessons_trains_on_all_texts():
    texts = training_texts(corpus(**SPLITS), True)
    task = TextTask(None, corpus(**SPLITS), 3, longest=None, seed=1)
    assert sorted(chain(*task.batches(0))) == [0, 1]
    task.lessons = Lessons(texts, torch.zeros(4, 2), 0.5, 1.0)
    assert sorted(chain(*task.batches(0))) == [0, 1, 2, 3]
    tokens, _, labels, rows = task.collate([2, 1], torch.Generator())
    assert tokens.tolist() == [[4, 2], [5, 3]] and rows.tolist() == [2, 1]
    assert labels.tolist() == [UNLABELLED, 1]
