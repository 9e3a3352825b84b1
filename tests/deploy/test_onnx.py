"""ONNX files run by onnxruntime: at other lengths and batches than the example's, always."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.export import Dim

from spikeseq.deploy import Exported, Inputs, NotExportable, agreement, open_onnx, program, to_onnx, to_pt2
from spikeseq.deploy import onnx as ours
from spikeseq.functional import lif
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.models.sentiment import RecurrentClassifier, SpikingClassifier
from spikeseq.nn import SpikingRNN
from spikeseq.surrogates import SURROGATES

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")
KINDS = ("classifier", "language")


def model_of(kind):
    torch.manual_seed(0)
    if kind == "classifier":
        model = SpikingClassifier(50, embedding_size=8, hidden_size=12, kernel_size=2, substeps=3)
        nn.init.normal_(model.readout.weight)
        return model
    return SpikingLanguageModel(
        30, embedding_size=8, neurons=12, layers=2, kernel_size=2, ngrams=(2, 3), substeps=2, decay="input"
    )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Every kind's program and file."""
    folder = tmp_path_factory.mktemp("onnx")
    found = {kind: (program(model_of(kind)), folder / f"{kind}.onnx") for kind in KINDS}
    for exported, file in found.values():
        to_onnx(exported, file)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_other_lengths_and_batches_than_the_example(written, kind):
    exported, file = written[kind]
    torch.manual_seed(1)
    found = agreement(exported, open_onnx(file), sizes=((1, 1), (2, 5), (40, 2)))
    assert found.largest < 1e-4 and found.differing == 0


def test_a_text_streamed_token_by_token(written):
    exported, file = written["language"]
    run = open_onnx(file)
    torch.manual_seed(2)
    tokens = torch.randint(0, 30, (7, 2))
    state = [torch.zeros_like(one) for _, one in exported.module.rest(2)]
    rows = []
    for token in tokens:
        logits, *state = run(token.unsqueeze(0), *state)
        rows.append(logits)
    with torch.no_grad():
        whole, after = exported.module.model(tokens)
    assert torch.allclose(torch.cat(rows), whole, atol=1e-5)
    for one, (_, wanted) in zip(state, exported.module.named(after), strict=True):
        assert torch.allclose(one, wanted, atol=1e-5)


def test_it_runs_where_this_package_and_torch_are_not(written):
    _, file = written["classifier"]
    code = (
        "import sys, numpy, onnxruntime; sys.modules['torch'] = sys.modules['spikeseq'] = None;"
        f"s = onnxruntime.InferenceSession({str(file)!r});"
        "print(s.run(None, {'tokens': numpy.ones((9, 2), numpy.int64), 'lengths': numpy.array([9, 4])}"
        ")[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "(2, 2)", done.stderr


LEAK, THRESHOLD = torch.linspace(0.5, 1, 4), torch.linspace(0.5, 1.5, 4)
CALLS = {  # arguments of `lif`; whether a leak for every row, lengths, a state come in
    "soft": dict(leak=0.9, threshold=1.0),
    "shared": dict(leak=0.97, threshold=0.3, substeps=3, lengths=True),
    "shared rates": dict(leak=0.9, threshold=1.0, readout="rate", substeps=5, lengths=True),
    "shared over rows": dict(leak=1.0, threshold=1.0, readout="rate", window=4, norm_input=False),
    "shared over rows and sub-steps": dict(leak=0.0, threshold=1e-3, readout="rate", substeps=2, window=4),
    "shared ends inside a window": dict(leak=0.9, threshold=1.0, readout="rate", window=4, lengths=True),
    "integrator": dict(leak=1.0, threshold=torch.finfo(torch.float32).max, readout="membrane", lengths=True),
    "immediate": dict(leak=LEAK, threshold=THRESHOLD, reset="soft_immediate", substeps=2),
    "hard": dict(leak=LEAK, threshold=1.0, reset="hard", readout="rate", substeps=3),
    "rate over rows": dict(leak=0.9, threshold=THRESHOLD, readout="rate", window=4, lengths=True),
    "membrane": dict(leak=0.9, threshold=1.0, readout="membrane", substeps=2, lengths=True),
    "membrane over rows": dict(
        leak=0.9, threshold=1.0, readout="membrane", substeps=3, window=6, lengths=True
    ),
    "own leaks": dict(rows=True, threshold=1.0, norm_input=True, lengths=True, substeps=2),
    "weighted": dict(leak=LEAK, threshold=0.5, norm_input=True, readout="rate", window=2),
}


class Calls(nn.Module):
    """All of CALLS on one input; lengths are held to the tokens."""

    def forward(self, x, rows, state, lengths):
        out = []
        for given in CALLS.values():
            rest = {key: value for key, value in given.items() if key not in ("rows", "lengths")}
            if given.get("rows"):
                rest["leak"] = rows
            out += lif(x, state, lengths=lengths if given.get("lengths") else None, **rest)
        return tuple(out)

    def example(self, length, batch):
        shape = (length, batch, 4, 2)
        lengths = torch.arange(batch) * 5 % (length + 1)
        return torch.randn(shape) * 1.5, torch.rand(shape), torch.randn(shape[1:]), lengths


def test_every_form_of_the_op_bit_for_bit(tmp_path):
    torch.manual_seed(0)
    module, quarter, batch = Calls(), Dim("quarter"), Dim("batch")
    length = 4 * quarter
    shapes = ({0: length, 1: batch}, {0: length, 1: batch}, {0: batch}, {0: batch})
    traced = torch.export.export(module, module.example(8, 3), dynamic_shapes=shapes)
    names = tuple(f"{kind} {name}" for name in CALLS for kind in ("out", "after"))
    dynamic = ({0: "length", 1: "batch"}, {0: "length", 1: "batch"}, {0: "batch"}, {0: "batch"})
    exported = Exported(traced, module, Inputs(("x", "rows", "state", "counts"), names, dynamic))
    to_onnx(exported, tmp_path / "calls.onnx")
    run = open_onnx(tmp_path / "calls.onnx")
    for size in ((4, 1), (12, 2), (20, 4)):
        given = module.example(*size)
        for name, one, wanted in zip(names, run(*given), module(*given), strict=True):
            assert torch.equal(one, wanted), (name, size, (one - wanted).abs().max())


@pytest.mark.parametrize("opset", [17, 9, 1000, "18"])
def test_an_opset_too_old_or_unknown(tmp_path, opset):
    with pytest.raises(NotExportable, match="opset must lie between 18 and"):
        to_onnx(SpikingClassifier(5), tmp_path / "m.onnx", opset=opset)
    assert not list(tmp_path.iterdir())


def test_where_no_file_can_be_written(written, tmp_path):
    """Before anything is computed: a model may take minutes to be compiled."""
    exported, _ = written["classifier"]
    (tmp_path / "m.so").mkdir()
    for write, name, message in (
        (to_onnx, "", "is a folder; expected a file"),
        (to_onnx, "no/m.onnx", "m.onnx cannot be written: there is no folder"),
        (to_pt2, "no/m.pt2", "m.pt2 cannot be written: there is no folder"),
        (to_pt2, "m.pt2", "m.so is a folder; expected a file"),
    ):
        with pytest.raises(ValueError, match=message):
            write(exported, tmp_path / name)


def test_the_newest_opset(written, tmp_path):
    newest = pytest.importorskip("onnx").defs.onnx_opset_version()
    exported, _ = written["classifier"]
    to_onnx(exported, tmp_path / "m.onnx", opset=newest)
    session = pytest.importorskip("onnxruntime").InferenceSession(tmp_path / "m.onnx")
    assert session.get_inputs()[0].shape == ["length", "batch"]


def test_an_op_without_translation_is_named(written, monkeypatch):
    monkeypatch.setattr(ours, "TRANSLATIONS", {"spikeseq::other": None})
    with pytest.raises(NotExportable, match=r"spikeseq::lif has no translation .* are spikeseq::other"):
        ours.check_translated(written["classifier"][0])


REMEMBERS = next(name for name, kind in SURROGATES.items() if kind.memory_planes)
REFUSED = {
    "RecurrentClassifier has no exported form; known are SpikingClassifier": lambda: RecurrentClassifier(5),
    "SpikingRNN has no exported form": lambda: SpikingRNN(2, 3),
    "remembers": lambda: SpikingClassifier(5, surrogate=SURROGATES[REMEMBERS]()),
    "is on meta": lambda: SpikingClassifier(5).to("meta"),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_exported_form(message):
    with pytest.raises(NotExportable, match=message):
        program(REFUSED[message]())


def test_files_that_onnxruntime_does_not_take(written, tmp_path):
    onnx = pytest.importorskip("onnx")
    _, file = written["classifier"]

    def line(change):
        model = onnx.load(file)
        change(model)
        onnx.save(model, tmp_path / "m.onnx")
        with pytest.raises(ValueError, match=r"^onnxruntime .* cannot open m\.onnx: ") as told:
            open_onnx(tmp_path / "m.onnx")
        return str(told.value)

    assert "IR version: 99" in line(lambda model: setattr(model, "ir_version", 99))
    assert "Opset 99" in line(lambda model: setattr(model.opset_import[0], "version", 99))
    (tmp_path / "no.onnx").write_text("no")
    with pytest.raises(ValueError, match=r"cannot open no\.onnx: Protobuf parsing failed$"):
        open_onnx(tmp_path / "no.onnx")
    with pytest.raises(ValueError, match=r"cannot open none\.onnx: File doesn't exist$"):
        open_onnx(tmp_path / "none.onnx")


def test_tensors_that_a_file_does_not_take(written):
    exported, file = written["classifier"]
    run = open_onnx(file)
    tokens, lengths = exported.module.example(4, 2)
    with pytest.raises(TypeError, match="tokens must be int64 of 2 dimensions, got int32 of shape"):
        run(tokens.int(), lengths)
    with pytest.raises(
        TypeError, match=r"lengths must be int64 of 1 dimensions, got int64 of shape \(1, 2\)"
    ):
        run(tokens, lengths.unsqueeze(0))
    with pytest.raises(TypeError, match=r"takes 2 tensors \(tokens, lengths\), got 1"):
        run(tokens)


def test_numbers_that_no_model_takes(written):
    exported, file = written["classifier"]
    run, most = open_onnx(file), exported.inputs.vocabulary - 1
    tokens, lengths = exported.module.example(4, 2)
    for wrong in (-1, most + 1):
        with pytest.raises(ValueError, match=rf"^tokens must lie in \[0, {most}\], got {wrong}$"):
            run(tokens.clone().fill_(wrong), lengths)
    for wrong in (-1, 5):
        with pytest.raises(ValueError, match=rf"^lengths must lie in \[0, 4\], got {wrong}$"):
            run(tokens, lengths.clone().fill_(wrong))
    assert len(run(tokens.clone().fill_(most), lengths)) == 1
