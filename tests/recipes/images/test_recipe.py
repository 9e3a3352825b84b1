"""The recipe for images end to end, on the sample: every method, chained by run folders."""

import json
import shutil

import pytest
import torch
from image_runs import CHAIN, CONVERSION, chain, run
from PIL import Image
from recipe_case import before_manifests, refused, sets

import spikeseq
from spikeseq.recipes.command.console import show_runs
from spikeseq.recipes.config import load_config
from spikeseq.recipes.images.recipe import some_of
from spikeseq.recipes.images.task import normalised
from spikeseq.recipes.plain import ConfigError
from spikeseq.recipes.shared.images.data import load_images

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def runs(training):
    return chain(training)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


@pytest.mark.parametrize("method", [*CHAIN, "direct"])
def test_metrics_of_a_run(runs, method):
    metrics = metrics_of(runs / method)
    assert metrics["method"] == method and metrics["model"] == "vgg6"
    assert metrics["epochs"] == metrics["best_epoch"] == (0 if method == "convert" else 1)
    assert 0 <= metrics["test"]["accuracy"] <= 100 and metrics["test"]["images"] == 120
    assert "per image" in metrics["energy"]["signature"] and not metrics["energy"]["not_counted"]
    if method == "ann":
        assert metrics["spike_rate"] is None and "table_5_3" not in metrics["energy"]
        assert metrics["energy"]["acs"] == 0
        return
    steps = {"hybrid": 4, "direct": 2}.get(method, 3)
    assert len(metrics["test"]["accuracy_by_substep"]) == steps
    assert metrics["test"]["accuracy_by_substep"][-1] == metrics["test"]["accuracy"]
    assert 0 < metrics["spike_rate"] <= steps
    table = metrics["energy"]["table_5_3"]
    taps = 94 * 94  # of 3 x 3 on 32 x 32 pixels, those over the edge left out
    assert metrics["energy"]["macs"] == 3 * 8 * taps  # the first map, once an image
    ann = metrics_of(runs / "ann")["energy"]
    macs, acs = metrics["energy"]["macs"], metrics["energy"]["acs"]
    rates = [one["spike_rate"] for one in metrics["energy"]["layers"].values() if "spike_rate" in one]
    assert min(rates) <= table["operations"] <= max(rates)
    assert table["measured_operations"] > table["operations"]  # pooled spikes
    assert table["first"] == pytest.approx(macs / ann["macs"], rel=1e-6)
    assert table["measured_ratio"] == pytest.approx(4.6 * ann["macs"] / (4.6 * macs + 0.9 * acs), rel=1e-6)


def test_the_chain_hands_on_weights_and_thresholds(runs):
    models = {name: spikeseq.load(runs / name).model for name in ("ann", "convert", "hybrid", "diet")}
    states = {name: model.state_dict() for name, model in models.items()}
    weight = "features.0.0.weight"
    assert torch.equal(states["ann"][weight], states["convert"][f"network.{weight}"])
    threshold = "network.features.1.neurons.0.threshold"
    assert states["convert"][threshold] != 1
    assert states["hybrid"][threshold] == states["convert"][threshold]  # fixed (thesis 4.5)
    assert states["diet"][threshold] != states["convert"][threshold]  # trained (thesis 5.3)
    leak = "network.features.1.neurons.0.leak"
    assert states["convert"][leak] == 1 and states["hybrid"][leak] == 1 and states["diet"][leak] < 1
    assert models["hybrid"].network.features[1].neurons[0].surrogate.name == "spike_time"


def test_evaluate_gives_the_accuracy_of_training(runs, cli):
    for method in ("ann", "diet"):
        done = cli("evaluate", runs / method, "--json")
        assert done.code == 0
        assert json.loads(done.out)["accuracy"] == metrics_of(runs / method)["test"]["accuracy"]


def test_load_predicts_files_and_pixels(runs, cli, tmp_path):
    classifier = spikeseq.load(runs / "diet")
    pixels = load_images(classifier.config.data).splits["test"].pixels[:5]
    by_pixels = classifier.predict(pixels)
    paths = []
    for number, image in enumerate(pixels):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(paths[-1])
    assert classifier.predict(paths) == by_pixels and classifier.predict([]) == []
    done = cli("classify", runs / "diet", stdin="\n".join(map(str, paths)).encode())
    assert [line.split("\t")[0] for line in done.out.splitlines()] == [p.label for p in by_pixels]
    assert sum(by_pixels[0].scores.values()) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ValueError, match=r"uint8 \(N, 3, 32, 32\), got torch.uint8 \(5, 3, 16, 16\)"):
        classifier.predict(pixels[:, :, :16, :16])
    for images in (str(paths[0]), pixels.numpy(), 3):
        with pytest.raises(TypeError, match="list of paths"):
            classifier.predict(images)
    assert (
        "line 2 of standard input is empty"
        in cli("classify", runs / "diet", stdin=bytes(paths[0]) + b"\n\n").err
    )
    (tmp_path / "text.png").write_text("no picture")
    assert "not a readable image" in refused(
        cli("classify", runs / "diet", stdin=b"%s" % bytes(tmp_path / "text.png"))
    )


def test_energy_and_report_show_images(runs, cli, tmp_path):
    done = cli("energy", runs / "ann", runs / "diet", "--json")
    assert done.code == 0 and set(json.loads(done.out)["runs"]) == {str(runs / "ann"), str(runs / "diet")}
    assert "neuron and image." in done.err.replace("\n", " ") and "token" not in done.err
    page = tmp_path / "page.html"
    assert cli("report", runs / "ann", runs / "diet", "--out", page).code == 0
    text = page.read_text()
    assert "Compute energy per image" in text and "Energy per image" in text and "token" not in text
    assert f"--method diet --from {runs / 'convert'}" in text
    assert "counted" in json.loads(done.out)["tables"]["cifar10"]["table_5_3"][0]  # as after a training


def test_runs_that_look_alike_are_told_apart(runs, capsys):
    rows = [{**metrics_of(runs / name), "run": run} for name, run in
            (("ann", "cifar10-vgg6-ann-1"), ("diet", "cifar10-taught"), ("diet", "plain"))]  # fmt: skip
    show_runs(rows, "runs")
    names = [line.split("  ")[0].strip() for line in capsys.readouterr().err.splitlines()]
    assert {"vgg6 ann", "taught", "plain"} <= set(names) and "vgg6 diet" not in names


def test_commands_chain_by_from(cli, runs, tmp_path):
    done = cli("train", "cifar10", "--method", "convert", "--from", runs / "ann", "--out", tmp_path / "x",
               *sets(["train.batch_size=16", "evaluate.energy_images=4", *CONVERSION]), "--json")  # fmt: skip
    metrics = json.loads(done.out)
    assert metrics["model"] == "vgg6" and metrics["data"] == "sample"
    assert spikeseq.load(tmp_path / "x").config.model.width == 0.125  # taken from the run
    assert "T" in done.err and "ratio" in done.err and "counted" in done.err


def test_poisson_spikes_give_the_same_answers(runs, tmp_path, cli):
    extra = ["model.encoding=poisson", "model.substeps=12"]
    run(tmp_path / "a", "convert", runs / "ann", extra=extra)
    classifier = spikeseq.load(tmp_path / "a")
    split = load_images(classifier.config.data).splits["test"]
    whole, single = classifier.predict(split.pixels), classifier.predict(split.pixels[7:8])
    assert whole == classifier.predict(split.pixels) and whole[7].label == single[0].label
    right = [p.label == classifier.classes[label] for p, label in zip(whole, split.labels, strict=True)]
    accuracy = metrics_of(tmp_path / "a")["test"]["accuracy"]
    assert 100 * sum(right) / len(right) == pytest.approx(accuracy, abs=1e-3)
    pixels = torch.stack([torch.zeros(3, 2, 2), torch.full((3, 2, 2), 255)]).to(torch.uint8)
    inputs = normalised(pixels, classifier.mean, classifier.std)
    assert inputs.abs().max().item() == pytest.approx(classifier.model.largest)


def test_other_bad_input(runs, tmp_path):
    for setting, message in {
        "model.substeps=0": "model.substeps must be at least 1, got 0",
        "conversion.percentile=0.0": r"conversion.percentile must be above 0 and at most 100",
        "conversion.scale=0.0": "conversion.scale must be a positive number",
        "conversion.statistic=mean": "conversion.statistic must be percentile or max, got 'mean'",
        "conversion.statistic=max": "conversion.percentile has no effect with conversion.statistic=max",
        "conversion.images=0": "conversion.images must be at least 1, got 0",
        "model.chunk=0": "model.chunk has no effect with --method convert",
        "evaluate.energy_images=0": "evaluate.energy_images must be at least 1, got 0",
        "data.shift=-1": "data.shift has no effect with --method convert",
        "train.precision=fp8": "train.precision must be one of auto, float32, bf16",
    }.items():
        with pytest.raises(ValueError, match=message):
            run(tmp_path / "a", "convert", runs / "ann", extra=["model.substeps=2", setting])
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError, match="no method 'dite'; did you mean 'diet'"):
        load_config("cifar10", method="dite")
    with pytest.raises(ConfigError, match="its models need no --method"):
        load_config("imdb", method="ann")


@pytest.mark.parametrize("recipe", ["mnist", "cifar100", "svhn", "imagenette"])
def test_other_recipes_share_the_settings(recipe, tmp_path):
    settings = ["model.substeps=2", "model.norm=batch-steps"]
    metrics = run(tmp_path / "a", "direct", recipe=recipe, model="lenet", extra=settings)
    assert metrics["recipe"] == recipe and metrics["data"] == "sample"


def test_a_sample_is_taken_evenly():
    data = load_images(load_config("cifar10").data).splits["test"]
    some = some_of(data, 50)
    assert some.labels.bincount().tolist() == [5] * 10 and some_of(data, None) is data


@pytest.mark.parametrize(
    ("change", "problem"),
    [({"mean": [0.5, float("nan"), 0.5]}, "mean is"), ({"std": [0, 1, 1]}, "std is"), ({"std": [1]}, "std"),
     ({"classes": ["a"] * 10}, "'a' is there twice"), ({"size": 10**9}, ""), ({"mean": 0.5}, "")],
)  # fmt: skip
def test_what_a_run_keeps_of_its_images_is_checked(runs, tmp_path, change, problem):
    folder = before_manifests(shutil.copytree(runs / "ann", tmp_path / "ann"))
    about = json.loads((folder / "images.json").read_text()) | change
    (folder / "images.json").write_text(json.dumps(about))
    told = rf"images.json is damaged: .*{problem}|ask for a model of more than"
    with pytest.raises(ValueError, match=told):
        spikeseq.load(folder)
