"""The recipe for convolutions learnt by spike timing, end to end on the sample."""

import json
import re

import pytest
import torch
from PIL import Image
from recipe_case import refused, sets

import spikeseq
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.features.pictures import kernel_map
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
QUICK = [
    *("data.limit=100", "model.neurons=6", "model.stride=6", "model.pool=2", "evaluate.quick=20"),
    "train.images=30",
]
SHOWN = ["train.patches=400", "train.part=200"]


def config(model="pairs", *more):
    short = {"random": [], "backprop": ["train.epochs=2", "train.batch_size=16"]}.get(model, SHOWN)
    quick = [one for one in QUICK if model != "random" or "quick" not in one]
    return load_config("cifar10-stdp", model=model, overrides=[*quick, *short, *more])


@pytest.fixture(scope="module")
def run(training):
    folder = training / "run"
    train(config(), folder)
    return folder


def state(folder):
    return spikeseq.load(folder).model.state_dict()


@pytest.mark.parametrize("model", ["powerlaw", "switching", "random", "backprop"])
def test_every_model_trains_and_is_opened(tmp_path, model):
    metrics = train(config(model), tmp_path / "run")
    assert metrics["model"] == model and 0 <= metrics["test"]["accuracy"] <= 100
    assert metrics["epochs"] == {"random": 1}.get(model, 2)
    again = spikeseq.load(tmp_path / "run").model
    assert again.kernel.isfinite().all() and again.kernel.any() and again.weight.any()


def test_metrics_and_log(run):
    metrics = json.loads((run / "metrics.json").read_text())
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    assert [one["patches"] for one in log] == [200, 400]
    assert sum(map(sum, metrics["test"]["confusion"])) == metrics["test"]["images"] == 100
    assert metrics["test"]["kernel_images"] == 30
    places = 5 * 5  # of 6 x 6 pixels, 6 apart, in 32 x 32
    assert metrics["energy"]["macs"] == places * 6 * 108
    spikes = metrics["energy"]["spike_rate"] * places * 6 * 8
    assert metrics["energy"]["acs"] == pytest.approx(10 * spikes)


class Stopped(Exception):
    pass


def stop(record):
    raise Stopped


@pytest.mark.parametrize("model", ["pairs", "switching", "backprop"])
def test_a_run_that_was_stopped_goes_on_bit_for_bit(tmp_path, model):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(config(model), whole)
    with pytest.raises(Stopped):
        train(config(model), cut, progress=Progress(end_epoch=stop))
    assert (cut / "resume.pt").exists()
    train(config(model), cut, resume=True)
    first, second = state(whole), state(cut)
    assert first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_kernels_do_not_depend_on_labels(tmp_path, run):
    task_config = config()
    corpus = RECIPES["cifar10-stdp"].load(task_config, lambda text: None)
    split = corpus.splits["train"]
    split.labels = split.labels.roll(1)
    task = RECIPES["cifar10-stdp"].task(task_config, corpus)
    model, _ = task.fit(tmp_path, resume=False, progress=Progress())
    there = state(run)
    assert torch.equal(model.kernel, there["kernel"]) and not torch.equal(model.weight, there["weight"])


def test_fewer_images_are_among_more():
    task = RECIPES["cifar10-stdp"].task(config(), RECIPES["cifar10-stdp"].load(config(), lambda text: None))
    assert torch.equal(task.rows("kernels", 10), task.rows("kernels", 30)[:10])


def test_evaluate_gives_the_accuracy_of_training(run, cli):
    done = cli("evaluate", run, "--json")
    assert done.code == 0
    assert (
        json.loads(done.out)["accuracy"] == json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    )


def test_images_are_classified(run, cli, tmp_path):
    path = tmp_path / "one.png"
    Image.new("RGB", (40, 50), (250, 10, 10)).save(path)
    done = cli("classify", run, stdin=f"{path}\n".encode())
    assert done.code == 0
    opened = spikeseq.load(run)
    (found,) = opened.predict([str(path)])
    assert found.label in opened.classes and sum(found.scores.values()) == pytest.approx(1)
    with pytest.raises(ValueError, match=r"uint8 \(N, 3, 32, 32\), got"):
        opened.predict(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(TypeError, match="list of paths"):
        opened.predict("one.png")


def test_pictures(run, tmp_path):
    model = spikeseq.load(run).model
    assert kernel_map(model.kernel.detach(), 3).shape == (20, 20, 3)
    RECIPES["cifar10-stdp"].draw(run, json.loads((run / "metrics.json").read_text()), spikeseq.load)
    for name in ("kernels", "confusion"):
        assert Image.open(run / f"{name}.png").size[0] > 100


def test_a_report_shows_them(run, cli, tmp_path):
    out = tmp_path / "report.html"
    assert cli("report", run, "--out", out).code == 0
    page = out.read_text()
    assert f"<summary>Inside {run.name}</summary>" in page and "<summary>Learning</summary>" in page
    for picture in ("Kernels", "Who is taken for whom"):
        assert f'aria-label="{picture}. ' in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)', page)  # nothing from elsewhere


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("model.side=40", "side of a kernel must be 2 to 32, that of the images, got 40"),
        ("model.side=31", "model.pool must be at most 1, the places of a kernel, got 2"),
        ("model.total=2.0", "model.total must be in [0, 1], got 2.0"),
        ("model.first=1.5", "start must lie in (0, 1.0], the largest weight, got 1.5"),
        ("model.rate=0.1", "model.rate has no effect with model pairs, but with powerlaw; got 0.1"),
    ],
)
def test_bad_settings_are_told(cli, tmp_path, setting, told):
    line = refused(cli("train", "cifar10-stdp", "--out", tmp_path / "run", *sets([*QUICK, *SHOWN, setting])))
    assert line == told


def test_a_damaged_file_is_told(tmp_path, run):
    folder = tmp_path / "run"
    with pytest.raises(Stopped):
        train(config(), folder, progress=Progress(end_epoch=stop))
    (folder / "resume.pt").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"resume\.pt is damaged: it is no file of a training"):
        train(config(), folder, resume=True)
