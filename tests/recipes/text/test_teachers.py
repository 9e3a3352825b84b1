import pytest
import torch
from recipe_case import quick, refused, sets

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.text.teachers import lessons

pytestmark = pytest.mark.usefixtures("cache")


def settings(teachers, **changes):
    changes = {"data.vectors": None, "data.min_frequency": 1, **changes}
    told = f"distillation.teachers=[{','.join(map(str, teachers))}]"
    return [*quick("snn", **changes), told]


def test_answers_are_the_mean_of_what_the_teachers_say(text_runs):
    teachers = [text_runs / "lstm", text_runs / "bow"]
    overrides = settings(teachers, **{"distillation.unlabelled": "false", "distillation.temperature": 2.0})
    config = load_config("imdb", data=str(text_runs / "mine.csv"), overrides=overrides)
    recipe = RECIPES["imdb"]
    corpus = recipe.load(config, lambda line: None)
    found = lessons(config, corpus)
    assert found.temperature == 2.0 and found.texts is corpus.splits["train"]
    words = corpus.vocab.tokens
    texts = [" ".join(words[i] for i in found.texts.text(row)) for row in range(3)]
    said = [spikeseq.load(folder).predict(texts) for folder in teachers]
    for row in range(3):
        expected = torch.tensor([[one[row].scores[name] for name in corpus.classes] for one in said]).log()
        torch.testing.assert_close(found.answers[row], expected.mean(0), rtol=1e-4, atol=1e-4)
    assert recipe.task(config, corpus).lessons is not None


def test_what_cannot_teach_is_told_before_data_is_read(text_runs, cli, tmp_path):
    def line(*teachers, data="sample", **changes):
        overrides = sets(settings(teachers, **changes))
        command = ("train", "imdb", "--model", "snn", "--data", data, "--out", tmp_path / "a", *overrides)
        return refused(cli(*command))

    assert "nowhere is not a run folder: no such folder" in line(tmp_path / "nowhere", data="/nowhere")
    none = {"distillation.unlabelled": "false"}
    assert "lstm has the classes ['bad', 'good', 'mixed'], this run" in line(text_runs / "lstm", **none)
    mine = text_runs / "mine.csv"
    assert "distillation.unlabelled needs texts without a label" in line(
        text_runs / "lstm", data=mine, **{"distillation.unlabelled": "true"}
    )
    assert "lstm has the tokens whitespace" in line(
        text_runs / "lstm", data=mine, **none, **{"data.tokenizer": "spacy-en"}
    )
    assert not (tmp_path / "a").exists()
