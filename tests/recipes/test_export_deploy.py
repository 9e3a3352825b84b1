"""`spikeseq export --to onnx` and `--to pt2`."""

import json

import numpy
import pytest
import torch
from image_runs import run as image_run
from recipe_case import LANGUAGE, quick, refused, sets

import spikeseq

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def text(training):
    """A run of the sentiment network."""
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.train import train

    train(load_config("imdb", model="snn", overrides=quick("snn")), training / "deployed")
    return training / "deployed"


def test_a_text_classifier_as_onnx(cli, text, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "a.onnx"
    said = json.loads(cli("export", text, "--to", "onnx", "--out", out, "--json").out)
    assert said["takes"] == "tokens, lengths" and said["gives"] == "logits"
    assert said["largest_difference"] < 1e-4 and said["bytes"] == out.stat().st_size
    opened = spikeseq.load(text)
    ids = opened.encode("a very charming film, but flat in the end")[1]
    given = {"tokens": ids.unsqueeze(1).numpy(), "lengths": torch.tensor([len(ids)]).numpy()}
    (logits,) = onnxruntime.InferenceSession(out).run(None, given)
    with torch.no_grad():
        wanted = opened.model(ids.unsqueeze(1), torch.tensor([len(ids)]))
    assert torch.allclose(torch.from_numpy(logits), wanted, atol=1e-4)


def test_a_text_classifier_in_pieces(cli, text, tmp_path):
    pytest.importorskip("onnxruntime")
    done = cli("export", text, "--to", "onnx", "--out", tmp_path / "a.onnx", "--streaming", "--json")
    said = json.loads(done.out)
    assert said["takes"] == "tokens, lengths, seen, sum, membrane_0, membrane_1"
    assert said["gives"].startswith("logits, seen_after, sum_after") and said["share_differing"] == 0


def test_a_network_that_sees_images(cli, tmp_path):
    pytest.importorskip("onnxruntime")
    image_run(tmp_path / "direct", "direct", extra=["model.substeps=2"])
    said = json.loads(
        cli("export", tmp_path / "direct", "--to", "onnx", "--out", tmp_path / "a.onnx", "--json").out
    )
    assert said["takes"] == "images" and said["largest_difference"] < 1e-4 and said["share_differing"] == 0


SIZES = {"snn": "model.neurons=24", "gru": "model.hidden_size=20"}


@pytest.mark.parametrize("model", SIZES)
def test_onnxruntime_alone_writes_what_generate_writes(cli, training, tmp_path, model):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    settings = [one for one in LANGUAGE if not one.startswith("model.neurons")]
    run, out = training / f"deployed-{model}", tmp_path / "a.onnx"
    given = sets([*settings, SIZES[model]])
    assert cli("train", "lm", "--model", model, *given, "--out", run).code == 0
    said = json.loads(cli("export", run, "--to", "onnx", "--out", out, "--json").out)
    assert said["largest_difference"] < 1e-4
    expected = cli("generate", run, "--prompt", "ada has", "--tokens", 25, "--temperature", 0).out

    unit, session = spikeseq.load(run).unit, onnxruntime.InferenceSession(out)
    kinds = {"tensor(int64)": numpy.int64, "tensor(float)": numpy.float32}
    state = {one.name: numpy.zeros([1, *one.shape[1:]], kinds[one.type]) for one in session.get_inputs()[1:]}
    ids, tokens = [], [unit.end, *unit.encode("ada has")]
    while len(ids) < 25:
        logits, *after = session.run(None, {"tokens": numpy.array([tokens]).T, **state})
        state = dict(zip(state, after, strict=True))
        tokens = [int(logits[-1, 0].argmax())]
        if tokens == [unit.end]:
            break
        ids += tokens
    decoder = unit.decoder()
    found = "".join(map(decoder.take, ids)) + decoder.rest()
    assert "ada has" + found == expected.rstrip("\n") or found == expected.rstrip("\n")


def test_what_cannot_be(cli, text, tmp_path):
    def line(run, to, name, *more):
        found = refused(cli("export", run, "--to", to, "--out", tmp_path / name, *more))
        assert not (tmp_path / name).exists()
        return found

    assert "--out must end in .onnx, got a.pt2" in line(text, "onnx", "a.pt2")
    assert "--out must end in .pt2, got a.onnx" in line(text, "pt2", "a.onnx")
    assert "--opset does not go with --to pt2" in line(text, "pt2", "a.pt2", "--opset", "18")
    assert cli("train", "imdb", "--model", "bow", *sets(quick("bow")), "--out", tmp_path / "bow").code == 0
    assert "a BagOfWords has no exported form; known are" in line(tmp_path / "bow", "pt2", "b.pt2")
    pytest.importorskip("onnxscript")
    assert "opset must lie between 18 and" in line(text, "onnx", "a.onnx", "--opset", "9")
