"""Runs of images that start from others: what they take over, and what cannot be started from."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from image_case import image_folders
from image_runs import CONVERSION, QUICK, chain, run
from recipe_case import before_manifests, refused, sets

import spikeseq
from spikeseq.nn import TimedDropout
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.images.start import inherited, open_teacher, same_images, start_model
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.runs import RunError
from spikeseq.recipes.shared.images.data import ImageSplit, load_images

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def runs(training):
    return chain(training)


@pytest.mark.parametrize(
    ("start", "model", "method", "message"),
    [
        ("ann", "vgg9", "convert", "is of the model 'vgg6', --model says 'vgg9'"),
        ("diet", None, "convert", "starts from a run of ann; .* was trained by 'diet'"),
        ("ann", None, "direct", "--from goes with --method, one of convert, hybrid, diet; got direct"),
        ("ann", None, "dite", "--from goes with --method, one of convert, hybrid, diet; got dite"),
        ("ann", None, None, "--from goes with --method, one of convert, hybrid, diet; got none"),
        ("missing", None, "diet", "no such folder"),
    ],
)
def test_what_cannot_be_started_from(runs, start, model, method, message):
    with pytest.raises((ConfigError, RunError), match=message):
        inherited(runs / start, "cifar10", model, method)


def test_a_run_takes_over_which_images_were_trained_on(runs, tmp_path):
    extra = ["data.split_seed=7", "data.validation_share=0.3"]
    run(tmp_path / "ann", "ann", extra=extra)
    _, source, settings = inherited(tmp_path / "ann", "cifar10", None, "convert")
    assert source == "sample" and {*extra, "data.limit=120", "data.size=null"} <= set(settings)


@pytest.mark.parametrize(("start", "expected"), [("ann", None), ("convert", 0.5), ("hybrid", 0.0)])
def test_a_run_takes_over_where_membranes_start(runs, start, expected):
    settings = inherited(runs / start, "cifar10", None, "diet")[2]
    found = [setting for setting in settings if setting.startswith("model.initial")]
    assert found == ([] if expected is None else [f"model.initial={expected}"])


def test_a_run_learns_from_the_ann_that_it_goes_back_to(runs, tmp_path):
    config = load_config("cifar10", method="diet", overrides=[*QUICK, "distillation.weight=0.5"])
    config.model.start = str(runs / "diet")  # and that from convert, and that from ann
    data = load_images(config.data)
    teacher = open_teacher(config, data)
    ann = spikeseq.load(runs / "ann").model
    assert not teacher.network.training and not any(p.requires_grad for p in teacher.network.parameters())
    for name, value in ann.state_dict().items():
        assert torch.equal(value, teacher.network.state_dict()[name])
    extra = ["distillation.weight=0.5", "model.substeps=3"]
    taught = run(tmp_path / "a", "diet", runs / "convert", extra=extra)
    assert taught["validation"] and taught["energy"]["table_5_3"]
    logs = [json.loads((folder / "log.jsonl").read_text()) for folder in (runs / "diet", tmp_path / "a")]
    assert logs[0]["loss"] != logs[1]["loss"]
    config.model.start = None
    with pytest.raises(ConfigError, match=r"distillation.weight needs --from RUN"):
        open_teacher(config, data)


def test_a_run_goes_on_without_what_it_started_from(runs, tmp_path, monkeypatch):
    def killed(record):
        raise KeyboardInterrupt

    def again(*args, **options):
        raise AssertionError("measured again")

    extra = ["model.substeps=2", "train.epochs=2"]
    whole = run(tmp_path / "whole", "diet", runs / "ann", extra=extra)
    shutil.copytree(runs / "ann", tmp_path / "ann")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", "diet", tmp_path / "ann", extra=extra, progress=Progress(end_epoch=killed))
    (tmp_path / "moved").mkdir()
    moved = (tmp_path / "ann").rename(tmp_path / "moved" / "ann")
    monkeypatch.setattr("spikeseq.recipes.images.start.to_spiking", again)
    cut = run(tmp_path / "cut", "diet", moved, extra=extra, resume=True)
    assert cut["test"] == whole["test"] and cut["validation"] == whole["validation"]
    assert run(tmp_path / "cut", "diet", tmp_path / "elsewhere" / "ann", extra=extra, resume=True) == cut
    with pytest.raises(RunError, match=r"was started with model.substeps=2, now it is 3"):
        run(
            tmp_path / "cut",
            "diet",
            moved,
            extra=["model.substeps=3", "train.epochs=2"],
            resume=True,
        )


@pytest.mark.parametrize("gone", [False, True])
def test_the_same_command_goes_on(runs, cli, tmp_path, monkeypatch, gone):
    def killed(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    shutil.copytree(runs / "convert", tmp_path / "start")
    command = ["train", "cifar10", "--method", "diet", "--from", "start", "--epochs", "1"]
    command += sets(["train.batch_size=16", "evaluate.energy_images=4"])
    with monkeypatch.context() as patch:
        patch.setattr("spikeseq.recipes.images.recipe.ImageClassification.test", killed)
        assert cli(*command).code == 130
    if gone:
        shutil.rmtree(tmp_path / "start")
        other = tmp_path / "runs" / "cifar10-a-diet-1"  # a damaged run of somebody else
        other.mkdir()
        (other / "config.yaml").write_text("a: [")
    assert cli(*command, "--resume").code == 0
    config = spikeseq.load(tmp_path / "runs" / "cifar10-vgg6-diet-1").config
    assert config.model.width == 0.125 and config.data.limit == 120  # as in the run that it began with
    if gone:
        other = [*command[:5], "elsewhere", *command[6:], "--resume"]
        assert "elsewhere is not a run folder: no such folder" in refused(cli(*other))


def test_other_images_than_those_of_the_start_are_refused(runs, cli, tmp_path):
    folders = image_folders(tmp_path / "pets", roles=("train", "test"), side=32)
    for method, start, extra in (
        ("convert", "ann", []),
        ("diet", "convert", []),
        ("diet", "convert", ["distillation.weight=0.5"]),
    ):
        done = cli("train", "cifar10", "--method", method, "--from", runs / start, "--data", folders,
                   "--out", tmp_path / "a", *sets(extra))  # fmt: skip
        assert re.search("was trained on images of classes .*, those of pets have cat, dog", refused(done))
    data = load_images(spikeseq.load(runs / "ann").config.data)
    same_images(runs / "ann", replace(data, mean=[0.9, 0.9, 0.9]))  # as of a few of the same images
    split = data.splits["test"]
    small = {"test": ImageSplit(split.pixels[:, :, :16, :16], split.labels)}
    for changed, message in (({"splits": small}, "images of size 32, those of sample have 16"),):
        with pytest.raises(ConfigError, match=message):
            same_images(runs / "ann", replace(data, **changed))


def test_dropout_is_that_of_the_run_and_not_of_the_ann(runs):
    overrides = [*QUICK, *CONVERSION, "model.dropout=0.3"]
    config = load_config("cifar10", method="diet", overrides=overrides)
    config.model.start = str(runs / "ann")
    model = start_model(config, load_images(config.data))
    assert {module.p for module in model.modules() if isinstance(module, TimedDropout)} == {0.3}


def test_a_run_of_before_surrogates_had_their_own_width(runs, tmp_path):
    before_manifests(shutil.copytree(runs / "diet", tmp_path / "old"))
    path = tmp_path / "old" / "config.yaml"
    path.write_text(path.read_text().replace("surrogate_width: null", "surrogate_width: 2.0"))
    neurons = spikeseq.load(tmp_path / "old").model.network.features[1].neurons
    assert neurons[0].surrogate.width == 2.0


def test_what_is_told_before_the_data_is_read(runs, monkeypatch, tmp_path):
    monkeypatch.setattr("spikeseq.recipes.images.recipe.load_images", None)
    with pytest.raises(ConfigError, match="is a run of the recipe 'cifar10', not of 'mnist'"):
        inherited(runs / "ann", "mnist", None, "convert")
    with pytest.raises(ConfigError, match="--method diet needs --from RUN"):
        run(tmp_path / "a", "diet")
    with pytest.raises(RunError, match="nowhere is not a run folder: no such folder"):
        run(tmp_path / "a", "diet", tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"--method convert starts from a run of ann; .* by 'diet'"):
        run(tmp_path / "a", "convert", runs / "diet")
    with pytest.raises(ConfigError, match=r"model.width is 0.25, the run .* has 0.125; they must be equal"):
        run(tmp_path / "a", "convert", runs / "ann", extra=["model.width=0.25"])
    with pytest.raises(ConfigError, match=r"model.name is vgg9, the run .* has vgg6"):
        run(tmp_path / "a", "convert", runs / "ann", model="vgg9")
    with pytest.raises(ConfigError, match=r"model.threshold has no effect as thresholds are measured"):
        run(tmp_path / "a", "convert", runs / "ann", extra=["model.threshold=2"])
    for setting in ("conversion.scale=0.5", "model.threshold=2", "model.leak=0.5"):
        key = setting.split("=")[0]
        with pytest.raises(ConfigError, match=rf"{key} has no effect as .* is no run of --method ann"):
            run(tmp_path / "a", "diet", runs / "convert", extra=[setting])
    before_manifests(shutil.copytree(runs / "diet", tmp_path / "diet"))
    path = tmp_path / "diet" / "config.yaml"
    path.write_text(path.read_text().replace(str(runs / "convert"), str(tmp_path / "gone")))
    with pytest.raises(RunError, match="gone is not a run folder: no such folder"):
        run(tmp_path / "a", "diet", tmp_path / "diet", extra=["distillation.weight=0.5"])
    assert not (tmp_path / "a").exists()


def test_runs_that_start_from_each_other_are_refused(runs, tmp_path):
    """Moved or edited folders may name each other: whose answers to learn from is then nowhere."""
    for one, other in (("a", "b"), ("b", "a")):
        folder = before_manifests(shutil.copytree(runs / "diet", tmp_path / one))
        path = folder / "config.yaml"
        path.write_text(path.read_text().replace(str(runs / "convert"), str(tmp_path / other)))
    with pytest.raises(ConfigError, match=r"a starts from itself: .*a leads back to it; give another --from"):
        run(tmp_path / "c", "diet", tmp_path / "a", extra=["distillation.weight=0.5"])
    assert not (tmp_path / "c").exists()
