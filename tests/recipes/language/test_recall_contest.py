"""Small models learn to recall a name within the first seconds, and are tested at distances."""

import torch

from spikeseq.recipes.language import recall_contest
from spikeseq.recipes.language.recall_contest import MODELS, contest, learn


def test_models_are_of_one_size():
    counts = [sum(p.numel() for p in build().parameters()) for build, _ in MODELS.values()]
    assert max(counts) < 1.08 * min(counts)


def test_distances_double_once_answers_are_right(monkeypatch):
    torch.manual_seed(0)
    model = MODELS["lstm"][0]()
    monkeypatch.setattr(recall_contest, "TOKENS", 200)
    assert learn(model, 0.01, 0.05).longest == 40
    monkeypatch.setattr(recall_contest, "MASTERED", -1.0)
    done = learn(model, 0.01, 0.4, longest=100)
    assert done.longest == 100 and done.tokens > 0 and not model.training


def test_the_table(monkeypatch):
    monkeypatch.setattr(recall_contest, "MODELS", {"lstm": MODELS["lstm"]})
    lines = list(contest(0.05, [20, 30]))
    assert len(lines) == 3 and lines[0].count("|") == lines[2].count("|") == 7
    assert lines[2].startswith("| lstm | 124,289 | 0.0 M | 40 | ")
