import os

import pytest
from omegaconf import OmegaConf

from spikeseq.models import CLASSIFIERS, build_classifier
from spikeseq.recipes.config import check_once, load_config
from spikeseq.recipes.plain import CONFIGS, ConfigError, flat, recipe_names
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.settings import TrainSettings


def test_every_recipe_has_a_file_and_every_model_can_be_built():
    assert recipe_names() == sorted(RECIPES)
    for model in CLASSIFIERS:
        for data in ("sample", "/some/folder"):
            config = load_config("imdb", model=model, data=data)
            assert config.model.name == model and config.data.source == data
            TrainSettings(**OmegaConf.to_container(config.train))
            build_classifier(config.model, 10, 3)
            assert not {"variants", "sample"} & set(config)


def test_order_of_precedence():
    plain, sample = load_config("imdb", data="/x"), load_config("imdb")
    assert plain.model.name == sample.model.name == "snn"
    assert plain.data.vectors == "train" and sample.data.vectors is None
    assert plain.model.embedding_dropout > sample.model.embedding_dropout
    bow = load_config("imdb", model="bow", data="/x")
    assert bow.data.kept_tokens is None and bow.train.learning_rate != plain.train.learning_rate
    changed = load_config("imdb", epochs=7, seed=5, overrides=["train.epochs=3", "train.warmup=9"])
    assert (changed.train.epochs, changed.train.warmup, changed.seed) == (3, 9, 5)


def test_a_path_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    assert load_config("imdb", data="a/b.csv").data.source == str(tmp_path / "a" / "b.csv")
    assert load_config("imdb", data="~/b.csv").data.source == "/home/someone/b.csv"
    assert load_config("imdb", data="./sample").data.source == str(tmp_path / "sample")


def test_each_of_several_paths_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "odd:name.txt"):
        (tmp_path / name).touch()

    def source(*parts):
        return load_config("lm", data=os.pathsep.join(parts)).data.source

    both = os.pathsep.join((str(tmp_path / "a.txt"), str(tmp_path / "b.txt")))
    assert source("a.txt", "b.txt") == source("./a.txt", str(tmp_path / "b.txt")) == both
    assert source(both) == both and source("a.txt", "") == str(tmp_path / f"a.txt{os.pathsep}")
    assert source("odd:name.txt") == str(tmp_path / "odd:name.txt")  # one file
    assert source("a.txt", "none.txt") == os.pathsep.join((str(tmp_path / "a.txt"), "none.txt"))


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.learning_rate=1e-3", "train.learning_rate", 0.001),
        ("train.learning_rate=1", "train.learning_rate", 1.0),
        ("data.limit=100", "data.limit", 100),
        ("data.limit=null", "data.limit", None),
        ("data.kept_tokens=", "data.kept_tokens", None),
        ("data.vectors=null", "data.vectors", None),
        ("data.vectors=/x/glove.txt", "data.vectors", "/x/glove.txt"),
        ("evaluate.shuffled=false", "evaluate.shuffled", False),
        ("model.reset=hard", "model.reset", "hard"),
        ("data.text_column=a=b", "data.text_column", "a=b"),
    ],
)
def test_an_override(override, key, value):
    found = OmegaConf.select(load_config("imdb", data="/x", overrides=[override]), key)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        (
            "train.learning_rat=1",
            ["'train.learning_rat'", "did you mean 'train.learning_rate'", "train.clip"],
        ),
        ("learning_rate=1", ["did you mean 'train.learning_rate'"]),
        ("trian.epochs=1", ["did you mean 'train.epochs'"]),
        ("model.pooling=mean", ["model.hidden_size"]),  # another model's
        ("train.epochs.more=1", ["no setting", "train.epochs"]),
        ("train=1", ["no setting 'train'", "train.epochs"]),
        ("variants.snn=1", ["no setting"]),
        ("train.epochs=2.5", ["must be int", "'2.5'"]),
        ("train.epochs=many", ["must be int", "'many'"]),
        ("train.epochs=true", ["must be int"]),
        ("train.epochs=null", ["must be int", "got 'null'"]),
        ("train.learning_rate=fast", ["must be float", "'fast'"]),
        ("evaluate.shuffled=1", ["must be bool"]),
        ("data.limit=few", ["must be int or null", "'few'"]),
        ("data.vectors=7", ["must be str or null"]),
        ("model.reset=[1, 2]", ["must be str"]),
        ("model.reset={a", ["not a YAML value"]),
        ("model.reset=${nowhere}", ["not a YAML value"]),
        ("epochs", ["takes key=value", "'epochs'"]),
        ("=1", ["takes key=value"]),
        ("seed=2", ["by --seed"]),
        ("model.name=lstm", ["by --model"]),
        ("data.source=sample", ["by --data"]),
        ("xyz=1", ["no setting 'xyz'. Valid: "]),
        (f"data.limit={2**63}", [f"data.limit must be an integer of 64 bits, got {2**63}"]),
    ],
)
def test_an_override_that_cannot_be(override, parts):
    with pytest.raises(ConfigError) as caught:
        load_config("imdb", overrides=[override])
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value)


def test_unknown_names():
    with pytest.raises(ConfigError, match="no recipe 'imbd'; did you mean 'imdb'"):
        load_config("imbd")
    with pytest.raises(
        ConfigError, match="no model 'ltsm'; did you mean 'lstm'\\? Valid: snn, lstm, gru, rnn, bow"
    ):
        load_config("imdb", model="ltsm")
    with pytest.raises(ConfigError, match=r"no recipe 'zzz'\. Valid: "):
        load_config("zzz")
    with pytest.raises(ConfigError, match="at least 1, got 0"):
        load_config("imdb", epochs=0)
    with pytest.raises(ConfigError, match=r"--seed must be an integer of 64 bits, got 9{20}"):
        load_config("imdb", seed=int("9" * 20))
    with pytest.raises(ConfigError) as caught:
        load_config("cifar10", overrides=["data.x=1"])
    assert "data.size" in str(caught.value) and "data.recipe" not in str(caught.value)


def test_flat_names_every_setting():
    settings = flat(load_config("imdb"))
    assert settings["train.epochs"] == 10 and settings["recipe"] == "imdb"


def test_a_file_may_stand_on_another():
    base, small = load_config("cifar10"), load_config("mnist")
    assert small.recipe == small.data.recipe == "mnist" and small.model.name == "lenet"
    assert not small.data.flip and base.data.flip and small.model.substeps == base.model.substeps
    assert "base" not in small and "methods" not in small


def test_a_method_has_settings_of_its_own():
    ann, hybrid = load_config("cifar10"), load_config("cifar10", method="hybrid", model="vgg5")
    assert ann.model.method == "ann" and hybrid.model.method == "hybrid" and hybrid.model.name == "vgg5"
    assert hybrid.model.surrogate == "spike_time" != ann.model.surrogate
    changed = load_config("cifar10", method="hybrid", overrides=["model.surrogate=sigmoid"])
    assert changed.model.surrogate == "sigmoid"
    with pytest.raises(ConfigError, match=r"model.method is not changed by --set but by --method"):
        load_config("cifar10", overrides=["model.method=diet"])


def test_a_method_may_have_settings_for_some_models():
    shallow, deep = (load_config("cifar10", model=model, method="diet") for model in ("vgg6", "vgg16"))
    assert deep.model.height > shallow.model.height
    assert deep.train.spike_penalty < shallow.train.spike_penalty
    assert deep.train.learning_rate == shallow.train.learning_rate
    assert load_config("cifar10", model="vgg16", method="ann").model.height == shallow.model.height
    assert not {"variants", "methods", "sample"} & set(deep)
    overridden = load_config("cifar10", model="vgg16", method="diet", overrides=["model.height=0.5"])
    assert overridden.model.height == 0.5
    whole = OmegaConf.load(CONFIGS / "cifar10.yaml")
    for method in whole.methods.values():
        assert set(method.get("variants", {})) <= set(whole.variants)


@pytest.mark.parametrize("value", ["010", "-010", "1:30", "[4, 010]", "[1:30]", "0_7"])
def test_numbers_that_yaml_takes_for_others(value):
    key = "model.widths" if "[" in value else "train.epochs"
    with pytest.raises(ConfigError, match=f"{key}=.* is no decimal number; write numbers like 10"):
        load_config("dvs128", overrides=[f"{key}={value}"])


@pytest.mark.parametrize("value", ["0x10", "1_000", "0", "100"])
def test_whole_numbers_that_are_what_they_look_like(value):
    config = load_config("imdb", overrides=[f"train.warmup={value}", "train.clip=0.05"])
    assert (config.train.warmup, config.train.clip) == (int(value, 0), 0.05)


@pytest.mark.parametrize("value", ["1e-05", "1E-05", "1.5e-05", "5.0e+00"])
def test_exponents_as_python_writes_them(value):
    config = load_config("imdb", overrides=[f"train.learning_rate={value}"])
    assert config.train.learning_rate == float(value)


@pytest.mark.parametrize("setting", ["model.widths=[[1]]", "model.widths=[1.0]", "model.leaks=['0.1', 0.2]"])
def test_what_a_list_holds(setting):
    with pytest.raises(ConfigError, match=r"must be list of (int|float)"):
        load_config("dvs128", method="frames", overrides=[setting])


def test_a_name_that_is_empty_is_not_the_default():
    for option, message in (
        ("model", "no model ''"),
        ("method", "no method ''"),
        ("data", "--data is empty"),
    ):
        with pytest.raises(ConfigError, match=message):
            load_config("cifar10", **{option: ""})


def test_a_setting_is_given_once():
    check_once(["train.epochs=3", "train.clip=1"], None)
    with pytest.raises(
        ConfigError, match=r"train.clip is given twice, by --set train.clip=1 and --set train.clip=2"
    ):
        check_once(["train.clip=1", "train.clip=2"], 3)
    with pytest.raises(
        ConfigError, match=r"train.epochs is given twice, by --epochs 3 and --set train.epochs=3"
    ):
        check_once(["train.epochs=3"], 3)
