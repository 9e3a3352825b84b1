"""Runs of few bits that begin with a run in float32."""

import pytest
import torch

from spikeseq.recipes.config import load_config
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import load
from spikeseq.recipes.train import train

SMALL = ["data.tokenizer=whitespace", "data.limit=40", "train.epochs=1", "train.batch_size=8",
         "model.hidden_size=5", "model.embedding_size=6", "evaluate.energy_texts=2"]  # fmt: skip


def run(folder, settings=(), model="gru", start=None):
    config = load_config("imdb", model=model, overrides=[*SMALL, *settings])
    if start is not None:
        config.model.start = str(start)
    train(config, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs") / "gru")


def test_weights_and_settings_are_taken_over(before, tmp_path):
    taken = RECIPES["imdb"].inherited(before, "imdb", None, None)
    assert taken.model == "gru"
    assert {"data.tokenizer=whitespace", "data.limit=40", "model.hidden_size=5"} <= set(taken.settings)
    folder = run(tmp_path / "b4", ["model.bits=4", "train.learning_rate=1e-9"], start=before)
    ours, theirs = load(folder).model, load(before).model
    torch.testing.assert_close(ours.rnn.recurrence.weight, theirs.rnn.weight_hh_l0, atol=1e-6, rtol=0)
    torch.testing.assert_close(ours.embedding.weight, theirs.embedding.weight, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("settings", "model", "message"),
    [
        ([], "gru", "--from goes with --set model.bits=8, 4 or 3"),
        (["model.bits=4", "model.hidden_size=6"], "gru", "model.hidden_size is 6, the run .* has 5"),
        (["model.bits=4"], "lstm", "model.name is lstm, the run .* has gru"),
    ],
    ids=["no bits", "another size", "another model"],
)
def test_what_does_not_fit_is_refused(before, tmp_path, settings, model, message):
    with pytest.raises(ConfigError, match=message):
        run(tmp_path / "run", settings, model, before)
    assert not (tmp_path / "run").exists()


def test_another_vocabulary_is_refused(before, tmp_path):
    with pytest.raises(ConfigError, match="another vocabulary"):
        run(tmp_path / "run", ["model.bits=4", "data.limit=30"], start=before)


def test_only_runs_in_float32_can_be_started_from(before, tmp_path):
    with pytest.raises(ConfigError, match="--model says 'lstm'"):
        RECIPES["imdb"].inherited(before, "imdb", "lstm", None)
    bag = run(tmp_path / "snn", ["model.integrators=4"], model="snn")
    with pytest.raises(ConfigError, match=r"--from takes a run of lstm or gru without model\.bits"):
        RECIPES["imdb"].inherited(bag, "imdb", None, None)
