"""Runs as folders for the hub: what is in them, what they tell, and what is refused."""

import json
import shutil
from pathlib import Path

import huggingface_hub
import pytest
from recipe_case import refused

import spikeseq
from spikeseq.recipes.config import to_yaml
from spikeseq.recipes.manifest import read_manifest, write_manifest
from spikeseq.recipes.runs import read_config
from spikeseq.recipes.shipped import hub

pytestmark = pytest.mark.usefixtures("cache")
OLD = Path(__file__).parents[2] / "data" / "old_runs"


@pytest.fixture
def published(text_runs, tmp_path):
    hub.publish(text_runs / "snn", tmp_path / "a film's verdict")
    return tmp_path / "a film's verdict"


def test_a_published_run_answers_as_the_run_does(text_runs, published):
    texts = ["not a dull film", "the pace was flat"]
    run, copy = spikeseq.load(text_runs / "snn"), spikeseq.load(published)
    assert copy.predict(texts) == run.predict(texts)
    assert not list(published.glob("*.png")) and not (published / "tensorboard").exists()


def test_the_card_has_the_score_and_both_accounts(text_runs, published):
    metrics = json.loads((text_runs / "snn" / "metrics.json").read_text())
    card = huggingface_hub.ModelCard.load(published / "README.md")
    assert card.data.library_name == "spikeseq" and card.data.pipeline_tag == "text-classification"
    assert card.data.eval_results[0].metric_value == metrics["test"]["accuracy"]
    assert f"| compute energy per token | {metrics['energy']['picojoules'] / 1e3:,.3f} nJ |" in card.text
    full = metrics["energy"]["full"]["full at 8KB"] / 1e3
    assert f"| energy with memory of 8KB per token | {full:,.2f} nJ |" in card.text
    assert (
        "energy with memory of 32KB per token, folded" in card.text and 'opened.predict(["not a' in card.text
    )


def test_places_of_this_machine_are_cut_to_names(text_runs, published):
    source = spikeseq.load(text_runs / "snn").config.data.source
    assert source == "sample" or str(Path(source).parent) not in (published / "config.yaml").read_text()
    assert hub.without_place("data.source", "/home/me/data/imdb") == "imdb"
    assert hub.without_place("data.source", "a/b.txt:c/d.txt") == "b.txt:d.txt"
    assert hub.without_place("model.start", "/runs/first") == "first"
    assert hub.without_place("data.limit", 3) == 3


def test_places_of_vectors_and_teachers_are_cut_too(text_runs, tmp_path):
    run = shutil.copytree(text_runs / "snn", tmp_path / "run")
    config = read_config(run)
    config.data.vectors, config.distillation.teachers = "/home/me/glove.txt", ["/home/me/first", "b/second"]
    (run / "config.yaml").write_text(to_yaml(config))
    write_manifest(run, [name for name in read_manifest(run) if name != "manifest.json"], {})
    hub.publish(run, tmp_path / "published")
    told = read_config(tmp_path / "published")
    assert (told.data.vectors, told.distillation.teachers) == ("glove.txt", ["first", "second"])


@pytest.mark.parametrize("name", ["mnist-diet", "imdb-bow", "multi30k-conv", "dvs128-frames"])
def test_cards_of_all_kinds(name):
    metrics = json.loads((OLD / name / "metrics.json").read_text())
    card = huggingface_hub.ModelCard(hub.card(metrics, name))
    assert card.data.model_name == name and f"recipe `{metrics['recipe']}`" in card.text
    assert "None" not in card.text and "nan" not in card.text


def test_what_cannot_be_published(text_runs, published, tmp_path):
    with pytest.raises(ValueError, match=f"{published} exists; expected the name of a new folder"):
        hub.publish(text_runs / "snn", published)
    with pytest.raises(ValueError, match=r"has no manifest.json: a version before wrote it; train it again"):
        hub.publish(OLD / "imdb-snn", tmp_path / "old")
    run = shutil.copytree(text_runs / "snn", tmp_path / "run")
    (run / "vocab.json").write_text("[]")
    with pytest.raises(ValueError, match=r"vocab.json is damaged: it has 2 bytes"):
        hub.publish(run, tmp_path / "new")
    assert not (tmp_path / "new").exists()
    (run / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"run is not finished|is missing; manifest.json lists it"):
        hub.publish(run, tmp_path / "new")


def test_the_command(cli, text_runs, tmp_path):
    done = cli("export", text_runs / "bow", "--to", "hub", "--out", tmp_path / "bow")
    assert done.code == 0 and "README.md" in done.out and "wrote" in done.err
    wrong = cli("export", text_runs / "bow", "--to", "hub", "--opset", 18, "--out", tmp_path / "b")
    assert "--opset does not go with --to hub" in refused(wrong)


def test_a_run_on_the_hub_is_fetched(published, monkeypatch):
    asked = []

    def download(repository, revision):
        asked.append((repository, revision))
        return str(published)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert spikeseq.load("hf://me/verdicts").predict(["fine"])[0].label
    spikeseq.load("hf://me/verdicts@v1")
    assert asked == [("me/verdicts", None), ("me/verdicts", "v1")]
    with pytest.raises(ValueError, match="names no run of the hub; expected hf://OWNER/NAME"):
        spikeseq.load("hf://verdicts")

    def offline(repository, revision):
        raise OSError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(ValueError, match="hf://me/verdicts cannot be fetched: no network at all"):
        spikeseq.load("hf://me/verdicts")
