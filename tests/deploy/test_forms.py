"""Files with a state: texts in pieces, layers with feedback, torch's recurrent layers."""

import pytest
import torch
from torch import nn

from spikeseq.deploy import NotExportable, agreement, open_onnx, program, to_onnx, to_pt2
from spikeseq.models.language import RecurrentLanguageModel, SpikingLanguageModel
from spikeseq.models.sentiment import SpikingClassifier

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


def classifier(**changes):
    torch.manual_seed(0)
    model = SpikingClassifier(50, embedding_size=8, hidden_size=12, substeps=3, **changes)
    nn.init.normal_(model.readout.weight)
    if model.ngrams is not None:
        nn.init.normal_(model.ngrams.table.weight)
    return model


MODELS = {
    "pieces": (lambda: classifier(kernel_size=3), True),
    "pieces of ngrams": (lambda: classifier(ngrams=(2, 3), ngram_rows=20), True),
    "pieces with feedback": (lambda: classifier(recurrent=True), True),
    "feedback": (
        lambda: SpikingLanguageModel(
            30, embedding_size=8, neurons=12, layers=2, recurrent=True, substeps=2, reset="hard"
        ),
        False,
    ),
    "lstm": (
        lambda: RecurrentLanguageModel(
            30, kind="lstm", embedding_size=8, hidden_size=12, layers=2, ngrams=(2, 3)
        ),
        False,
    ),
    "gru": (lambda: RecurrentLanguageModel(30, kind="gru", embedding_size=8, hidden_size=8), False),
}


@pytest.fixture(scope="module", params=MODELS)
def written(request, tmp_path_factory):
    """A model's program and file."""
    model, streaming = MODELS[request.param]
    torch.manual_seed(0)
    exported = program(model(), streaming=streaming)
    file = tmp_path_factory.mktemp("forms") / "m.onnx"
    to_onnx(exported, file)
    return exported, file


def rest(exported, batch):
    return [one for _, one in exported.module.rest(batch)]


@torch.no_grad()
def test_other_lengths_and_pieces_that_make_up_the_whole(written):
    exported, file = written
    run, model = open_onnx(file), exported.module.model
    torch.manual_seed(1)
    found = agreement(exported, run, sizes=((1, 1), (2, 5), (40, 2)))
    assert found.largest < 1e-4 and found.differing == 0
    tokens, lengths = torch.randint(1, 30, (11, 3)), torch.tensor([11, 4, 6])
    state, rows, read = rest(exported, 3), [], 0
    for piece in tokens.split([2, 1, 4, 4]):
        count = (lengths - read).clamp(0, len(piece))
        read += len(piece)
        given = (piece, count) if isinstance(model, SpikingClassifier) else (piece,)
        logits, *state = run(*given, *state)
        rows.append(logits)
    if isinstance(model, SpikingClassifier):
        assert torch.allclose(rows[-1], model(tokens, lengths), atol=1e-5) and state[0].tolist() == [11, 4, 6]
    else:
        whole, after = model(tokens)
        assert torch.allclose(torch.cat(rows), whole, atol=1e-5)
        for one, (_, wanted) in zip(state, exported.module.named(after), strict=True):
            assert torch.allclose(one, wanted, atol=1e-5)


@torch.no_grad()
def test_pieces_that_end_inside_the_batch():
    """A text of a batch pauses while others go on: it keeps its own last tokens."""
    exported = program(classifier(kernel_size=3), streaming=True)
    module = exported.module
    tokens = torch.randint(1, 50, (5, 1))
    padded = torch.zeros(4, 1, dtype=torch.int64)
    state = rest(exported, 1)
    for at, count in ((0, 2), (2, 0), (2, 1), (3, 2)):
        piece = padded.clone()
        piece[:count] = tokens[at : at + count]
        logits, *state = module(piece, torch.tensor([count]), *state)
    assert torch.allclose(logits, module.model(tokens, torch.tensor([5])), atol=1e-5)


def test_what_has_no_such_file(tmp_path):
    lstm = RecurrentLanguageModel(5, kind="lstm", embedding_size=4, hidden_size=4)
    with pytest.raises(NotExportable, match="an LSTM for one length only; write it with --to onnx"):
        to_pt2(lstm, tmp_path / "a.pt2")
    with pytest.raises(NotExportable, match="streaming is for text classifiers"):
        program(lstm, streaming=True)
    biased = classifier(recurrent=True)
    biased.spiking.layers[1].feedback = nn.Linear(12, 12)
    with pytest.raises(NotExportable, match=r"feedback of spiking.layers.1 has a bias"):
        program(biased)
    odd = classifier()
    nn.init.constant_(odd.to_integrator.weight, float("nan"))
    with pytest.raises(NotExportable, match=r"to_integrator\.weight is not finite"):
        to_onnx(odd, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())
