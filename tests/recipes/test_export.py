"""`spikeseq export --to nir`."""

import json

import pytest
import torch
from image_runs import run as image_run
from recipe_case import quick, refused, sets

import spikeseq
from spikeseq.exchange import from_nir

pytest.importorskip("nir")
pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def texts(training):
    """A run of the sentiment network with a hard reset, and one with a soft one."""
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    for reset in ("hard", "soft"):
        overrides = [*quick("snn"), f"model.reset={reset}"]
        train(load_config("imdb", model="snn", overrides=overrides), training / reset)
    return training


def test_a_text_classifier_passes_but_for_its_embedding(cli, texts, tmp_path):
    out = tmp_path / "a.nir"
    done = cli("export", texts / "hard", "--to", "nir", "--out", out, "--json")
    said = json.loads(done.out)
    assert done.code == 0 and said["to"] == "nir" and said["reset"] == "hard" and said["readout"] == "sum"
    opened = spikeseq.load(texts / "hard")
    model = opened.model
    ids = opened.encode("a very charming film , but flat in the end")[1].unsqueeze(1)
    with torch.no_grad():
        summed = from_nir(out)(model.embedding(ids))[0].sum(0)
        logits = model.readout(summed / len(ids) ** 0.5)
        assert torch.allclose(logits, model(ids, torch.tensor([len(ids)])), atol=1e-5) and summed.any()


def test_a_soft_reset_is_refused_or_measured(cli, texts, tmp_path):
    out = tmp_path / "a.nir"
    line = refused(cli("export", texts / "soft", "--to", "nir", "--out", out))
    assert "the soft reset of" in line and "With --lossy it is written all the same" in line
    assert not out.exists()
    done = cli("export", texts / "soft", "--to", "nir", "--out", out, "--lossy", "--reader", "norse")
    assert done.code == 0 and "of all spike decisions differ" in done.err and "reader: norse" in done.out


def test_an_image_classifier_passes_whole(cli, tmp_path):
    image_run(tmp_path / "direct", "direct", extra=["model.substeps=2", "model.reset=hard"])
    done = cli("export", tmp_path / "direct", "--to", "nir", "--out", tmp_path / "a.nir")
    assert done.code == 0 and "substeps: 2" in done.out and f"wrote {tmp_path / 'a.nir'}" in done.err
    model = spikeseq.load(tmp_path / "direct").model
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(from_nir(tmp_path / "a.nir")(x.unsqueeze(0))[0].sum(0), model(x), atol=1e-4)


def test_arguments_that_cannot_be(cli, texts, tmp_path):
    run, out = texts / "hard", tmp_path / "a.nir"
    assert "--to must be one of nir, onnx, pt2, hub, int8, got 'onyx'" in refused(
        cli("export", run, "--to", "onyx", "--out", out)
    )
    where = tmp_path / "no" / "a.nir"
    assert "there is no folder" in refused(cli("export", run, "--to", "nir", "--out", where))
    line = refused(cli("export", run, "--to", "nir", "--out", out, "--reader", "nengo"))
    assert "reader must be one of None, 'snntorch'" in line
    done = cli("train", "imdb", "--model", "bow", *sets(quick("bow")), "--out", tmp_path / "bow")
    assert done.code == 0
    line = refused(cli("export", tmp_path / "bow", "--to", "nir", "--out", out))
    assert "model 'bow' is no graph of spiking layers" in line
