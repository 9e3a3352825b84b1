"""The recipe for digits learnt by spike timing end to end, on digits that the package draws."""

import json
import re
import shutil
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.shared.pictures import weight_map
from spikeseq.recipes.stdp.model import digit_network, rule_of, thresholds_of
from spikeseq.recipes.stdp.recipe import digit_sample
from spikeseq.recipes.stdp.task import DigitTask
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
QUICK = ["data.limit=300", "model.neurons=30", "train.part=150", "train.epochs=2", "evaluate.quick=20"]


def config_of(*more, model=None):
    return load_config("mnist-stdp", model=model, overrides=[*QUICK, *more])


def task_of(seed):
    config = config_of("evaluate.labels=2")
    config.seed = seed
    return RECIPES["mnist-stdp"].task(config, digit_sample(config.data))


@pytest.fixture(scope="module")
def run(training):
    folder = training / "digits"
    return folder, train(config_of(), folder)


def test_a_run_is_learnt_opened_and_pictured(run, cli, tmp_path):
    folder, metrics = run
    test = metrics["test"]
    assert test["accuracy"] == test["vote"] > 30 and test["linear"] > 30  # 10 by chance
    assert sum(map(sum, test["confusion"])) == test["images"] == 300
    right = sum(row[k] for k, row in enumerate(test["confusion"]))
    assert 100 * right / 300 == pytest.approx(test["vote"], abs=0.01)
    assert metrics["parameters"] == 784 * 30 + 30 and 0 < metrics["energy"]["acs"] < 784 * 30 * 350
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [record["images"] for record in log] == [150, 270, 420, 540]
    opened = spikeseq.load(folder)
    pixels = digit_sample(opened.config.data).splits["test"].pixels
    one, all_ = opened.predict(pixels[:1]), opened.predict(pixels[:8])
    assert one[0] == all_[0] and sum(one[0].scores.values()) == pytest.approx(1)
    from PIL import Image

    path = tmp_path / "digit.png"
    Image.fromarray(pixels[3, 0].numpy()).save(path)
    done = cli("classify", folder, stdin=f"{path}\n".encode())
    assert done.out.split("\t")[0] == all_[3].label, done.err
    done = cli("evaluate", folder, "--json")
    assert json.loads(done.out)["vote"] == test["vote"]
    RECIPES["mnist-stdp"].draw(folder, metrics, spikeseq.load)
    assert {"weights.png", "confusion.png"} <= {path.name for path in folder.iterdir()}
    assert cli("report", folder, "--out", tmp_path / "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    for said in (
        "<summary>Inside digits", 'aria-label="Weights. ', 'aria-label="Who is taken for whom. ',
        "Weights of 30 of 30 neurons as images",
        f"Accuracy {test['accuracy']:.2f} % of the test split.",
        f" {test['spikes']:g} spikes of neurons in each image.",
        "Times shown again, per image, after every part.",
    ):  # fmt: skip
        assert said in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)  # nothing from elsewhere


@pytest.mark.parametrize(
    "more",
    [
        (),
        ("prune.when=during", "prune.first=150", "prune.regrow=false", "prune.levels=3", "prune.early=true"),
    ],
)
def test_cut_off_and_resumed_is_undisturbed(more, tmp_path, monkeypatch):
    whole = train(config_of(*more), tmp_path / "whole")
    save = DigitTask._save

    def stop(self, folder, state):
        save(self, folder, state)
        if state.epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DigitTask, "_save", stop)
        with pytest.raises(KeyboardInterrupt):
            train(config_of(*more), tmp_path / "cut")
    again = train(config_of(*more), tmp_path / "cut", resume=True)
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "cut"))
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    assert {k: v for k, v in again.items() if k != "seconds"} == {
        k: v for k, v in whole.items() if k != "seconds"
    }


@pytest.mark.parametrize("when", ["before", "during", "after"])
def test_pruned_networks_keep_their_share(when, tmp_path):
    first = ["prune.first=150"] if when == "during" else []
    metrics = train(config_of(f"prune.when={when}", "prune.share=0.2", *first), tmp_path / when)
    assert 0 < metrics["test"]["connectivity"] <= 0.201


def test_pruned_before_training_neurons_keep_their_drive():
    config = config_of("prune.when=before", "prune.share=0.2")
    task = RECIPES["mnist-stdp"].task(config, digit_sample(config.data))
    task._begin()
    weight = task.model.network.weight0
    assert int((weight > 0).sum()) == 30 * round(0.2 * 784)
    assert torch.allclose(weight.sum(0), torch.tensor(78.4))


@pytest.mark.parametrize(
    "more, rates",
    [
        (["rate_behind=0.4", "rate_last=0.1"], [0.4, 0.2, 0.1]),
        (["rate_behind=0.4"], [0.4, 0.4, 0.4]),
        (["rate_behind=null"], [0.03, 0.03, 0.03]),
        (["rate_behind=null", "neurons=401"], [0.25, 0.005**0.5, 0.02]),
    ],
    ids=["falls", "stays", "few", "many"],
)
def test_the_learning_rate_from_part_to_part(more, rates):
    model = config_of(*(f"model.{one}" for one in more)).model
    assert [rule_of(model, done).rate_behind for done in (0, 0.5, 1)] == pytest.approx(rates)


@pytest.mark.parametrize(
    "neurons, more, steps, times",
    [
        (400, [], [0.05, 0.05, 0.05], [8e6] * 3),
        (6400, [], [0.8, 0.2, 0.05], [8e6, 3.2e7, 1.28e8]),
        (6400, ["threshold_step=null", "threshold_last=1.0", "threshold_time=1e6"], [0.8] * 3, [1e6] * 3),
        (400, ["threshold_step=0.4", "threshold_last=0.25"], [0.4, 0.2, 0.1], [8e6, 1.6e7, 3.2e7]),
    ],
    ids=["few", "many", "stays", "falls"],
)
def test_the_thresholds_step_from_part_to_part(neurons, more, steps, times):
    model = config_of(*(f"model.{one}" for one in more or ["threshold_step=null"])).model
    model.neurons = neurons
    found = [thresholds_of(model, done) for done in (0, 0.5, 1)]
    assert [one["threshold_step"] for one in found] == pytest.approx(steps)
    assert [one["threshold_time"] for one in found] == pytest.approx(times)


@pytest.mark.parametrize(
    ("neurons", "own", "wanted"),
    [(400, None, 40.0), (1600, None, 20.0), (6400, None, 10.0), (1600, 5.0, 5.0)],
)
def test_inhibition_of_the_trained_network(neurons, own, wanted):
    config = config_of()
    config.model.neurons, config.evaluate.inhibition = neurons, own
    (kind,) = digit_network(config, 10, 784).network.plan.ensembles
    assert (kind.from_partner, kind.recalling) == (40.0, wanted)


def test_a_network_that_goes_on_has_the_last_step(tmp_path):
    config = config_of("model.threshold_last=0.5", "train.epochs=1")
    task = RECIPES["mnist-stdp"].task(config, digit_sample(config.data))
    train(config, tmp_path)
    task._finish(SimpleNamespace(history=[{}]))
    assert task.model.network.plan.ensembles[0].theta_step == 0.1 * 0.5


def test_few_weight_values(tmp_path):
    train(config_of("prune.when=after", "prune.levels=2", model="powerlaw"), tmp_path / "run")
    weight = spikeseq.load(tmp_path / "run").model.network.weight0
    assert all(len(column.unique()) <= 2 for column in weight.T) and len(weight.unique()) > 2


def test_what_is_refused(tmp_path, run):
    with pytest.raises(ValueError, match=r"prune\.threshold=5.0 prunes everything: the largest weight is"):
        train(config_of("prune.when=after", "prune.keep=threshold", "prune.threshold=5.0"), tmp_path / "a")
    with pytest.raises(ValueError, match=r"prune\.first=15000 is not reached: 540 images are shown"):
        train(config_of("prune.when=during", "prune.first=15000"), tmp_path / "d")
    with pytest.raises(ConfigError, match=r"model\.rate has no effect with model pairs, but with powerlaw"):
        config_of("model.rate=0.1")
    with pytest.raises(ConfigError, match=r"train\.learning_rate has no effect on learning by spike timing"):
        config_of("train.learning_rate=0.1")
    labels = digit_sample(config_of().data).splits["train"].labels
    alone = next(seed for seed in range(99) if len(set(labels[task_of(seed).labelled()].tolist())) == 1)
    with pytest.raises(ValueError, match=r"evaluate\.labels=2: all of them of class \d; take more"):
        task_of(alone).fit(tmp_path, resume=False, progress=None)
    with pytest.raises(ValueError, match="Hz, one spike a step"):
        train(config_of("model.hertz=2000.0"), tmp_path / "b")
    model = task_of(1).model
    state = model.state_dict()
    state["labels"][3] = 10
    with pytest.raises(ValueError, match=r"labels must lie in \[-1, 10\), got 10"):
        model.load_state_dict(state)
    shutil.copytree(run[0], tmp_path / "c")
    with pytest.raises(ValueError, match=r"model.name=pairs, now it is powerlaw"):
        train(config_of(model="powerlaw"), tmp_path / "c", resume=True)
    with pytest.raises(
        ValueError, match=r"images must be uint8 \(N, 1, 28, 28\), got torch.uint8 \(2, 1, 8, 8\)"
    ):
        spikeseq.load(run[0]).predict(torch.zeros(2, 1, 8, 8, dtype=torch.uint8))


def test_weights_as_a_picture():
    picture = weight_map(torch.arange(4.0 * 3).view(4, 3), 2)
    assert picture.shape == (5, 5) and picture[:2, :2].flatten().tolist() == [0.0, 3.0, 6.0, 9.0]
    assert picture[0, 3] == 1.0 and not picture[3:, 3:].any()
    assert weight_map(torch.ones(2 * 5, 3), 5).shape == (5, 11)  # that are wider than high


def test_weights_are_pictured_while_they_are_learnt(tmp_path, monkeypatch):
    def stop(self, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(DigitTask, "_finish", stop)
    with pytest.raises(KeyboardInterrupt):
        train(config_of(), tmp_path)
    from PIL import Image

    assert Image.open(tmp_path / "weights.png").size == (4 * (6 * 29 - 1),) * 2
