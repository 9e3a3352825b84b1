"""The model that comes with the package: it answers, is what its folder says, and scores what is stated."""

import json
import os
import shutil
from pathlib import Path

import pytest
from recipe_case import refused
from safetensors.torch import load_file, save_file

import spikeseq
from spikeseq.recipes.evaluate import evaluate
from spikeseq.recipes.manifest import checked, read_manifest, write_manifest
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.shipped import hub
from spikeseq.recipes.shipped.fetched import SHIPPED

REVIEWS = os.environ.get("SPIKESEQ_REVIEWS")  # make test-data
DOCS = Path(__file__).parents[3] / "docs"
MOST = 3_000_000  # bytes, as everybody who installs the package has it
METRICS = json.loads((SHIPPED / "metrics.json").read_text(encoding="utf-8"))
TEXTS = {
    "a moving, beautifully acted film": "pos",
    "one of the best films of the year": "pos",
    "a dull, badly written waste of time": "neg",
    "the worst acting I have ever seen": "neg",
}


def test_texts_are_classified_without_a_run(cli, tmp_path):
    picture = tmp_path / "trace.svg"
    done = cli("classify", "--trace", picture, stdin="\n".join(TEXTS).encode())
    assert [line.split("\t")[0] for line in done.out.splitlines()] == list(TEXTS.values())
    came, wrote = done.err.splitlines()
    assert came == "spikeseq: no RUN: the model of film reviews that comes with the package answers"
    assert wrote == f"spikeseq: wrote {picture}" and "beautifully" in picture.read_text(encoding="utf-8")
    assert [one.label for one in spikeseq.load().predict(list(TEXTS))] == list(TEXTS.values())
    assert "comes with the package" in " ".join(cli("classify", "--help").out.split())


def test_it_is_small_and_whole():
    files = {path.name: path for path in SHIPPED.iterdir()}
    assert sum(path.stat().st_size for path in files.values()) <= MOST
    listed = read_manifest(SHIPPED)
    assert listed is not None
    assert files.keys() == {*listed, "manifest.json", hub.CARD_FILE, hub.ABOUT_FILE}
    assert all(checked(files[name]) for name in listed)
    stored = load_file(files["model.safetensors"])
    assert METRICS["weights"] == "int8" and stored["embedding.weight"].dtype.itemsize == 1


def test_card_results_and_page_state_its_figures():
    card = (SHIPPED / hub.CARD_FILE).read_text(encoding="utf-8")
    for key, value in hub.rows(METRICS, RECIPES["imdb"], "test").items():
        assert f"| {key} | {value} |" in card
    assert f"value: {METRICS['test']['accuracy']}" in card
    kept = json.loads((DOCS / "results" / "runs" / "reviews-1.json").read_text(encoding="utf-8"))
    assert kept["figures"]["test"] == METRICS["test"]
    page = (DOCS / "recipes" / "imdb.md").read_text(encoding="utf-8")
    assert f"| {METRICS['test']['accuracy']:.2f} % (" in page


def test_a_folder_of_a_later_version_is_refused_in_a_line(cli, tmp_path):
    later = shutil.copytree(SHIPPED, tmp_path / "reviews")
    weights = later / "model.safetensors"
    save_file(load_file(weights), weights, {"format": "9"})
    write_manifest(later, read_manifest(SHIPPED) or (), {})
    done = cli("classify", later, stdin=b"fine")
    assert "model.safetensors has format '9'; this version reads" in refused(done)


@pytest.mark.skipif(REVIEWS is None, reason="needs the reviews: make test-data DATA=DIR")
@pytest.mark.timeout(3600)
def test_it_scores_what_is_stated():
    """Processors round differently, and a spike that falls the other way may change the answer to a text."""
    found = evaluate(SHIPPED, data=REVIEWS, split="test", say=print)
    assert found["accuracy"] == pytest.approx(METRICS["test"]["accuracy"], abs=0.05)
    assert found["spike_rate"] == pytest.approx(METRICS["energy"]["spike_rate"], rel=1e-3)
    assert found["energy"]["picojoules"] == pytest.approx(METRICS["energy"]["picojoules"], rel=1e-3)
