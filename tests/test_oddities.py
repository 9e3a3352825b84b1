"""Kinds of oddity x operations: the result of calling the module, or one error, and nothing changed."""

import pytest
import torch
from odd_modules import EVERY_MODULE, ODDITIES, made_odd
from torch import nn

import spikeseq
from spikeseq.events import weights_read
from spikeseq.models import build_classifier
from spikeseq.models.seq2seq import ConvSeq2Seq
from spikeseq.nn import SpikingRNN, TokenConv1d, run_in_chunks

IDS = torch.randint(1, 12, (5, 2), generator=torch.Generator().manual_seed(0))
TEXTS = (IDS, torch.tensor([5, 3]))
CODES = torch.randn(16, 3, generator=torch.Generator().manual_seed(1))


def set_at(model, path, change):
    """Makes the part at `path` odd; the model itself at ""."""
    if not path:
        return change(model)
    parent, _, name = path.rpartition(".")
    setattr(model.get_submodule(parent), name, change(model.get_submodule(path)))
    return model


def seeded(model):
    torch.manual_seed(0)
    return model().double().eval()


def rnn():
    return nn.ModuleDict({"encoder": nn.Sequential(nn.LSTM(3, 4, num_layers=2)), "head": nn.Linear(4, 2)})


def ann():
    return nn.Sequential(
        *(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Dropout(0.1), nn.Linear(6, 5), nn.ReLU()),
        nn.Linear(5, 2),
    )


def classifier(**sizes):
    model = build_classifier({"name": "snn", "embedding_size": 4, "hidden_size": 6, **sizes}, 12, 2)
    nn.init.normal_(model.readout.weight)
    return model


def lstm_classifier():
    return build_classifier({"name": "lstm", "embedding_size": 4, "hidden_size": 6}, 12, 2)


def token_table(mapped):
    return lambda: nn.Sequential(nn.Embedding(12, 4), mapped(), nn.Identity())


def tensors(out):
    return [t for part in out for t in tensors(part)] if isinstance(out, tuple | list) else [out]


STEPS = {"substeps": 400, "calibration_substeps": 20}
OPERATIONS = {
    "fold": (spikeseq.fold_embeddings, lambda m: m(*TEXTS)),
    "fold sequence": (spikeseq.fold_embeddings, lambda m: m(IDS)),
    "compile": (spikeseq.compile_events, lambda m: m(*TEXTS)),
    "compile rnn": (spikeseq.compile_events, lambda m: m(CODES.double()[:, None])),
    "compile seq2seq": (spikeseq.compile_events, lambda m: m(IDS, TEXTS[1], IDS, TEXTS[1])),
    "convert": (lambda m: spikeseq.to_spiking(m, [CODES.double()], **STEPS), None),
    "keep": (lambda m: spikeseq.to_spiking(m, [CODES.double()], **STEPS, batch_norm="keep"), None),
    "swap": (spikeseq.swap, None),
    "swap in place": (lambda m: spikeseq.swap(m, inplace=True), None),
}
# Operation, model, the part that is odd; "read": it is read or replaced, "called": it is called as it is, or
# "code": replaced parts are its own, so that only code of its own matters.
PLACES = [
    ("swap", rnn, "encoder.0", "read"),
    ("swap in place", rnn, "encoder.0", "read"),
    ("swap", rnn, "encoder", "called"),
    ("swap in place", rnn, "head", "called"),
    ("fold", classifier, "embedding", "read"),  # case 1.1
    ("fold", classifier, "embedding_dropout", "read"),
    ("fold", classifier, "spiking", "read"),
    ("fold", classifier, "spiking.layers.0", "read"),
    ("fold", classifier, "spiking.layers.0.input_map", "read"),
    ("fold", classifier, "to_integrator", "called"),
    ("fold", classifier, "", "code"),
    ("fold", lambda: classifier(kernel_size=3), "context", "read"),
    ("fold", lstm_classifier, "embedding", "read"),
    ("fold", lstm_classifier, "rnn", "read"),
    ("fold", lstm_classifier, "readout", "called"),
    ("fold", lstm_classifier, "", "code"),
    ("fold sequence", token_table(lambda: nn.Linear(4, 5)), "", "read"),
    ("fold sequence", token_table(lambda: nn.Linear(4, 5)), "0", "read"),  # case 1.1
    ("fold sequence", token_table(lambda: nn.Linear(4, 5)), "1", "read"),
    ("fold sequence", token_table(lambda: nn.Linear(4, 5)), "2", "called"),
    ("fold sequence", token_table(lambda: TokenConv1d(4, 5, causal=False)), "0", "read"),
    ("fold sequence", token_table(lambda: TokenConv1d(4, 5, causal=False)), "1", "read"),
    ("compile", classifier, "to_integrator", "read"),
    ("compile", classifier, "spiking.layers.1.input_map", "read"),
    ("compile", classifier, "spiking.layers.1", "code"),
    ("compile", classifier, "readout", "called"),
    ("compile rnn", lambda: SpikingRNN(3, 5, num_layers=2), "layers.1.input_map", "read"),  # case 1.2
    ("compile rnn", lambda: SpikingRNN(3, 5, recurrent=True), "layers.0.feedback", "read"),
    ("compile rnn", lambda: SpikingRNN(3, 5, num_layers=2), "between", "called"),
    ("compile rnn", lambda: SpikingRNN(3, 5, num_layers=2), "", "called"),
    ("compile seq2seq", lambda: ConvSeq2Seq(12, 12, channels=4, layers=1), "decoder.blocks.0.conv", "read"),
    ("compile seq2seq", lambda: ConvSeq2Seq(12, 12, channels=4, layers=1), "decoder.blocks.0", "code"),
    ("compile seq2seq", lambda: ConvSeq2Seq(12, 12, channels=4, layers=1), "output_map", "called"),
    ("convert", ann, "0", "read"),
    ("convert", ann, "1", "read"),
    ("convert", ann, "2", "read"),  # case 1.3
    ("convert", ann, "3", "read"),
    ("convert", ann, "4", "called"),
    ("keep", ann, "0", "called"),
    ("keep", ann, "", "called"),
]
CODE = ("own forward", "own __call__", "own __getattr__", "mixed in", "put in forward", "wrapper")
UNCOPIED = ("put in forward", "own tensor")  # these close over the original, or have no deepcopy
CELLS = [
    pytest.param(operation, model, path, odd, how, id=f"{operation}-{path}-{odd}")
    for operation, model, path, how in PLACES
    for odd in ODDITIES
]


def has_weights(model, path):
    return any(p.dim() > 1 for p in model.get_submodule(path).parameters(recurse=False))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("operation", "model", "path", "odd", "how"), CELLS)
def test_as_called_or_refused(operation, model, path, odd, how):
    run, call = OPERATIONS[operation]
    plain = seeded(model)
    if odd not in EVERY_MODULE and not has_weights(plain, path):
        return
    model = set_at(plain, path, lambda part: made_odd(odd, part))
    if path == "" and odd == "wrapper":
        return  # another model
    kind = type(model.get_submodule(path)).__name__
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modules = list(model.named_modules())
    try:
        expected = None if call is None else call(model)
    except (AttributeError, AssertionError):
        return  # the model cannot use it either
    try:
        done = run(model)
    except (ValueError, TypeError) as error:
        message = str(error)
        if odd in UNCOPIED and ("copied" in message or "make it a method" in message):
            return
        named = kind in message and (path or "the model") in message and ";" in message
        # A wrapper is named by its neighbour, or as what stands in the place of what could be folded.
        others = ("follow a convolution", "must begin with", "fold_embeddings found a Wrapper")
        assert named or any(other in message for other in others), message
        assert how == "read" or (how == "code" and odd in CODE), message
    else:
        # What is inside a wrapper is replaced, and the wrapper called.
        allowed = ("wrapper",) if call is None or how == "code" else ()
        assert how == "called" or odd in allowed or (how == "code" and odd not in CODE)
        if call is not None:
            with torch.no_grad():
                for a, b in zip(tensors(call(done)), tensors(expected), strict=True):
                    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, equal_nan=True)
        elif operation in ("convert", "keep"):
            x = CODES.double()
            torch.testing.assert_close(done(x) / 400, model(x), atol=0.05, rtol=0.0)
        else:
            assert not any(isinstance(part, nn.LSTM) for part in done.modules())
    if operation != "swap in place" or (how == "read" and odd != "wrapper"):
        assert [name for name, _ in modules] == [name for name, _ in model.named_modules()]
        assert all(a[1] is b[1] for a, b in zip(modules, model.named_modules(), strict=True))
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_was_compiled_is_refused_or_replaced_inside():  # the wrapper of torch.compile calls what it held
    model = rnn()
    compiled = torch.compile(model, backend="eager")
    assert not any(isinstance(part, nn.LSTM) for part in spikeseq.swap(compiled).modules())
    lstm = model["encoder"][0]
    model["encoder"][0] = torch.compile(lstm, backend="eager")
    with pytest.raises(
        ValueError, match=r"^encoder\.0 \(OptimizedModule\) was compiled; swap the model before"
    ):
        spikeseq.swap(model)
    lstm.compile(backend="eager")
    model["encoder"][0] = lstm
    with pytest.raises(ValueError, match=r"^encoder\.0 \(LSTM\) was compiled; swap the model before"):
        spikeseq.swap(model, inplace=True)
    with pytest.raises(
        ValueError, match=r"^the model \(OptimizedModule\) was compiled; convert the model bef"
    ):
        spikeseq.to_spiking(torch.compile(ann(), backend="eager"), [CODES])
    with pytest.raises(
        ValueError, match=r"^the model \(OptimizedModule\) was compiled; fold the model before"
    ):
        spikeseq.fold_embeddings(torch.compile(classifier(), backend="eager"))


@pytest.mark.parametrize(
    "take",
    [
        *(spikeseq.swap, spikeseq.compile_events, spikeseq.explain, spikeseq.monitor, weights_read),
        *(spikeseq.project_parameters, lambda model: spikeseq.to_spiking(model, [CODES])),
        lambda model: run_in_chunks(model, CODES, size=2),
    ],
)
def test_what_is_no_module_is_named(take):
    with pytest.raises(TypeError, match=r"^(model|ann|layer) must be an nn\.Module, got (type|NoneType)"):
        take(None)
    with pytest.raises(TypeError, match="got type"):
        take(nn.LSTM)
