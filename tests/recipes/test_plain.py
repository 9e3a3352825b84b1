"""A run's configuration is the same whether read as plain values or through OmegaConf."""

import copy
import pickle
import subprocess
import sys
from dataclasses import fields

import pytest
from omegaconf import OmegaConf

from spikeseq.recipes.config import completed, load_config, to_yaml
from spikeseq.recipes.plain import CONFIGS, Settings, flat, plain, read_complete, recipe_names, room
from spikeseq.recipes.runs import RunError, read_config

VARIANTS = [
    (recipe, str(model), method)
    for recipe in recipe_names()
    for file in [OmegaConf.load(CONFIGS / f"{recipe}.yaml")]
    for model in file.get("variants", {})
    for method in file.get("methods", [None])
]


def types(config):
    return {key: (type(value), value) for key, value in flat(config).items()}


@pytest.mark.parametrize(("recipe", "model", "method"), VARIANTS)
def test_what_is_written_is_read_back(recipe, model, method, tmp_path):
    path, config = tmp_path / "config.yaml", load_config(recipe, model=model, method=method)
    path.write_text(to_yaml(config))
    found = read_complete(path)
    assert found is not None and types(found) == types(completed(path)) and list(found) == list(config)
    assert found == plain(config) and to_yaml(found) == path.read_text()


@pytest.mark.parametrize(
    ("recipe", "model", "key", "value"),
    [("lm", "snn", "ngrams", []), ("mnist-stdp", "pairs", "threshold_last", 1.0)],
    ids=["ngrams", "threshold"],
)
def test_a_setting_that_came_later_is_what_older_runs_did(recipe, model, key, value, tmp_path):
    path, kept = tmp_path / "config.yaml", plain(load_config(recipe, model=model))
    assert kept.model[key] != value
    del kept.model[key]
    path.write_text(to_yaml(kept))
    assert completed(path).model[key] == value


def test_no_setting_has_the_name_of_a_method():
    for recipe, model, _ in VARIANTS:
        for kind in room(recipe).sections(model).values():
            assert not {one.name for one in fields(kind)} & set(dir(Settings))


def test_by_name_and_by_key():
    config = plain({"model": {"name": "snn", "leaks": [0.1]}, "seed": 1})
    assert config.model.name == config["model"]["name"] == "snn" and config.model.get("method") is None
    other = config.copy()
    other.model.name = "bow"
    assert (config.model.name, other.model.name) == ("snn", "bow")
    for same in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config and type(same.model) is Settings
    with pytest.raises(AttributeError, match="no setting 'width' among name, leaks"):
        _ = config.model.width
    with pytest.raises(AttributeError, match="no setting 'width'"):
        config.model.width = 3


@pytest.mark.parametrize(
    ("old", "new", "key", "value"),
    [
        ("  limit: 200\n", "", "data.limit", None),  # a setting that was added since
        ("kept_tokens", "longest", "data.kept_tokens", 300),  # one of an older name
        ("learning_rate: 0.005", "learning_rate: 5e-3", "train.learning_rate", 0.005),  # as YAML 1.2 has it
        ("tokenizer: spacy-en", "tokenizer: 007", "data.tokenizer", "7"),
        ("dropout: 0.2", "dropout: ${model.leak}", "model.dropout", 0.95),
        ("dropout: 0.2", "dropout: 0", "model.dropout", 0.0),
    ],
)
def test_what_is_not_as_today_goes_through_omegaconf(tmp_path, old, new, key, value):
    text = to_yaml(load_config("imdb", overrides=["data.limit=200"]))
    assert text.count(old) >= 1
    (tmp_path / "config.yaml").write_text(text.replace(old, new))
    found = flat(read_config(tmp_path))
    assert found[key] == value and type(found[key]) is type(value)


@pytest.mark.parametrize("extra", ["  nonsense: 1\n", "  dropout: 0.3\n  dropout: 0.2\n"])
def test_unknown_and_double_keys_are_refused(tmp_path, extra):
    text = to_yaml(load_config("imdb"))
    (tmp_path / "config.yaml").write_text(text.replace("  dropout: 0.2\n", f"  dropout: 0.2\n{extra}"))
    assert read_complete(tmp_path / "config.yaml") is None
    with pytest.raises(RunError, match=r"config\.yaml is damaged"):
        read_config(tmp_path)


def test_reading_a_run_imports_no_omegaconf(tmp_path):
    (tmp_path / "config.yaml").write_text(to_yaml(load_config("imdb")))
    code = "import sys; from pathlib import Path; from spikeseq.recipes.runs import read_config, RECIPES\n"
    code += f"RECIPES[read_config(Path({str(tmp_path)!r})).recipe]; RECIPES['mnist']; RECIPES['multi30k']\n"
    code += "print(sorted({'omegaconf', 'spacy', 'pydantic', 'matplotlib', 'datasets'} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout == "[]\n", ran.stderr
