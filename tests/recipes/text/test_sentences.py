"""The recipe `sentences`: that of `imdb` with other values, on word vectors of other texts."""

import json

import pytest
from recipe_case import quick, rows, sets, write_rows

from spikeseq.recipes import runs
from spikeseq.recipes.config import load_config
from spikeseq.recipes.registry import RECIPES

pytestmark = pytest.mark.usefixtures("cache")


def test_a_run_on_vectors_of_other_texts(cli, tmp_path):
    pytest.importorskip("torchtext.vocab")
    data = tmp_path / "set"
    write_rows(data / "train.csv")
    write_rows(data / "validation.csv", rows(2))
    write_rows(data / "test.csv", rows(3))
    file = tmp_path / "vectors.txt"
    words = ["film", "superb", "unheard", "was"]
    file.write_text(
        "".join(f"{word} {' '.join(str(n + i) for i in range(8))}\n" for n, word in enumerate(words))
    )
    settings = sets(quick(data__vectors=file, train__epochs=1))
    done = cli("train", "sentences", "--data", data, *settings, "--out", tmp_path / "run", "--json")
    assert done.code == 0, done.err
    metrics = json.loads(done.out)
    assert metrics["texts"] == {"train": 60, "validation": 6, "test": 9} and metrics["recipe"] == "sentences"
    assert "unheard" in runs.load(tmp_path / "run").vocab  # by default
    energy = cli("energy", tmp_path / "run")
    assert energy.code == 0 and "thesis 6.8" not in energy.err


@pytest.mark.parametrize("model", ["snn", "lstm", "gru", "rnn", "bow"])
def test_its_models_are_those_of_imdb(model):
    config = load_config("sentences", model=model, data="/x")
    assert config.model.keys() == load_config("imdb", model=model, data="/x").model.keys()
    assert config.data.vectors is None
    assert RECIPES["sentences"].thesis() is None
