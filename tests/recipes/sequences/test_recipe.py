"""The recipes for long sequences end to end, on what comes with the package."""

import json

import pytest
import torch
from recipe_case import refused
from safetensors.torch import load_file

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.sequences.data import load_sequences
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
QUICK = [
    *("data.limit=60", "train.epochs=2", "train.batch_size=16", "train.warmup=2", "train.average=0.5"),
    *("evaluate.energy_sequences=2", "evaluate.streamed_sequences=2", "model.embedding_size=12"),
]
OF = {
    "psmnist": ["model.modes=8", "model.neurons=16"],
    "scifar": ["model.stride=32", "model.neurons=16", "model.layers=1", "model.kernel_size=2"],
    "imdb-bytes": ["model.ngrams=[2,3]", "model.ngram_rows=50", "model.neurons=16", "data.longest=80"],
    "lstm": ["model.hidden_size=8", "model.stride=56"],
}


def config_of(name):
    recipe, model = ("psmnist", "lstm") if name == "lstm" else (name, None)
    recent = ["model.recent=32"] if name == "scifar" else []
    return load_config(recipe, model=model, overrides=[*QUICK, *OF[name], *recent])


@pytest.fixture(scope="module")
def runs(training):
    return training, {name: train(config_of(name), training / name) for name in OF}


@pytest.mark.parametrize("name", OF)
def test_metrics_of_a_run(name, runs):
    metrics = runs[1][name]
    test, energy = metrics["test"], metrics["energy"]
    assert 0 <= test["accuracy"] <= 100
    assert test["streamed"]["same"] == 100 and test["streamed"]["difference"] < 1e-9
    assert energy["macs"] > 0 and energy["bytes_of_state"] > 0 and "per row" in energy["signature"]
    if name == "lstm":
        assert energy["spike_rate"] is energy["spike_rate_per_tick"] is None
    else:
        assert 0 < energy["spike_rate"] < energy["spike_rate_per_tick"] < 1
    assert metrics["sequences"]["test"] == 60


def test_a_text_is_classified_as_in_the_test(runs, cli):
    folder = runs[0] / "imdb-bytes"
    opened = spikeseq.load(folder)
    texts = ["a lovely film", "dull", "so so " * 40]
    found = opened.predict(texts)
    assert [one.label for one in found] == [opened.predict([text])[0].label for text in texts]
    done = cli("classify", folder, stdin="\n".join(texts).encode())
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [one.label for one in found], done.err
    with pytest.raises(TypeError, match="texts"):
        opened.predict("a text")


def test_an_image_is_classified_as_in_the_test(runs, cli, tmp_path):
    from PIL import Image

    folder = runs[0] / "scifar"
    opened = spikeseq.load(folder)
    split = load_sequences(config_of("scifar").data).splits["test"]
    grey = split.rows[:1024].view(32, 32).numpy()
    Image.fromarray(grey).save(tmp_path / "a.png")
    (found,) = opened.predict([tmp_path / "a.png"])
    assert sum(found.scores.values()) == pytest.approx(1)
    assert opened.predict([]) == []
    assert torch.equal(opened.rows([tmp_path / "a.png"])[0], split.rows[:1024])
    with pytest.raises(TypeError, match="list of paths"):
        opened.predict(str(tmp_path / "a.png"))
    line = refused(cli("classify", folder, stdin=b"none.png\n"))
    assert "none.png" in line


def test_a_run_is_evaluated_again(runs, cli):
    done = cli("evaluate", runs[0] / "psmnist", "--json")
    assert json.loads(done.out)["accuracy"] == runs[1]["psmnist"]["test"]["accuracy"], done.err
    line = refused(cli("evaluate", runs[0] / "psmnist", "--data", runs[0]))
    assert str(runs[0]) in line


def test_cut_off_and_resumed_is_undisturbed(runs, tmp_path):
    def stop(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(config_of("imdb-bytes"), tmp_path / "cut", progress=Progress(end_epoch=stop))
    train(config_of("imdb-bytes"), tmp_path / "cut", resume=True)
    whole, cut = (load_file(at / "model.safetensors") for at in (runs[0] / "imdb-bytes", tmp_path / "cut"))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[name], cut[name]) for name in whole)


def test_training_images_move_and_others_do_not():
    config = load_config("scifar", overrides=["data.limit=60", "data.shift=2"])
    recipe = RECIPES["scifar"]
    task = recipe.task(config, recipe.load(config, lambda text: None))
    rows = list(range(8))
    still = task.batch(task.corpus.splits["train"], rows)
    moved, again = (task.collate(rows, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(moved[0], again[0]) and torch.equal(moved[2], still[2])
    assert not torch.equal(moved[0], still[0]) and moved[0].shape == still[0].shape == (1024, 8, 1)
    config.data.shift = 32
    with pytest.raises(ValueError, match=r"data.shift must be below the image's 32 pixels, got 32"):
        recipe.task(config, task.corpus)
    config.data.shift, config.data.flip = 0, True
    task = recipe.task(config, task.corpus)
    mirrored, _, _ = task.collate(rows, torch.Generator().manual_seed(1))
    same = (mirrored == still[0]).all(0).flatten()
    flipped = (mirrored == still[0].view(32, 32, 8, 1).flip(1).flatten(0, 1)).all(0).flatten()
    assert (same | flipped).all() and 0 < same.sum() < 8


@pytest.mark.parametrize(
    ("recipe", "setting", "message"),
    [
        ("psmnist", "data.longest=9", "data.longest has no effect on psmnist"),
        ("psmnist", "model.ngrams=[2]", "model.ngrams has no effect on psmnist"),
        ("imdb-bytes", "model.modes=4", "model.modes has no effect on imdb-bytes"),
        ("imdb-bytes", "model.readout=sum", "model.readout must be mean or last, got 'sum'"),
        ("psmnist", "model.recent=3", "recent must be 0, or at least stride=49 rows, got 3"),
    ],
)
def test_settings_are_refused(recipe, setting, message, cli, tmp_path):
    assert message in refused(cli("train", recipe, "--out", tmp_path / "run", "--set", setting))
