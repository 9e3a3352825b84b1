"""Classifiers of long sequences: whole = chunked = streamed, what the memory holds, refusals."""

import math

import pytest
import torch

from spikeseq.models.sequence import Oscillators, TokenFront, ValueFront, build_sequence_classifier
from spikeseq.nn.state import select_state

SMALL = {"embedding_size": 6, "stride": 4}
SNN = {**SMALL, "name": "snn", "neurons": 10, "layers": 2, "leaks": [0.0, 0.9]}
KINDS = {
    "pixels": ({**SNN}, None),
    "memory": ({**SNN, "recent": 0, "modes": 5, "span": 20}, None),
    "both": ({**SNN, "recent": 9, "modes": 5, "span": 20, "kernel_size": 3}, None),
    "last": ({**SNN, "readout": "last", "decay": "input"}, None),
    "every row": ({**SNN, "stride": 1, "recurrent": True}, None),
    "bytes": ({**SNN}, 9),
    "ngrams": ({**SNN, "ngrams": [2, 3], "ngram_rows": 7, "mixer": 4}, 9),
    "lstm": ({**SMALL, "name": "lstm", "hidden_size": 7, "layers": 2}, None),
    "gru": ({**SMALL, "name": "gru", "hidden_size": 7, "ngrams": [3], "ngram_rows": 7, "readout": "last"}, 9),
}


def made(kind):
    config, vocabulary = KINDS[kind]
    torch.manual_seed(0)
    model = build_sequence_classifier(config, 3, vocabulary=vocabulary).double().eval()
    torch.nn.init.normal_(model.to_classes.weight)  # which starts at zero
    return model


def sequences(kind, length=24, batch=3):
    generator = torch.Generator().manual_seed(1)
    if KINDS[kind][1] is None:
        return torch.randn(length, batch, 1, generator=generator, dtype=torch.float64)
    return torch.randint(1, 9, (length, batch), generator=generator)


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_whole_is_chunked_is_streamed(kind):
    model, x = made(kind), sequences(kind)
    whole, last = model(x)
    assert whole.shape == (3, 3) and whole.std() > 0.1
    for cuts in ([5, 19], [1] * 24, [3, 1, 20], [23, 1]):
        state = None
        for part in x.split(cuts):
            out, state = model(part, state)
        torch.testing.assert_close(out, whole)
    torch.testing.assert_close(state, last)
    two, _ = model(x[8:, 1:], select_state(model(x[:8])[1], torch.tensor([1, 2])))
    torch.testing.assert_close(two, whole[1:])


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_what_comes_behind_an_end_changes_nothing(kind):
    model, x = made(kind), sequences(kind)
    lengths = torch.tensor([24, 8, 12])
    found, _ = model(x, lengths=lengths)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row], model(x[:length, row : row + 1])[0][0])


@torch.no_grad()
def test_no_answer_before_the_first_tick():
    model, x = made("both"), sequences("both")
    logits, state = model(x[:3])
    assert not logits.any() and state[1] is None
    assert made("both")(x[:4])[0].all()


def test_padding_has_no_vector():
    model, x = made("ngrams"), sequences("ngrams", 8)
    silent = torch.zeros(4, 3, dtype=torch.int64)
    ticks, _ = model.front(torch.cat((x[:4], silent)))
    assert ticks[0].all() and not ticks[1].any()


@torch.no_grad()
def test_the_memory_is_a_fourier_transform_of_the_fading_past():
    memory = Oscillators(4, span=12, stride=3).double()
    memory.reset_parameters()  # in float64
    x = torch.randn(12, 1, 1, dtype=torch.float64)
    told, _ = memory(x)
    found = torch.view_as_complex(told[-1, 0].view(4, 2))
    age = torch.arange(11, -1, -1, dtype=torch.float64)
    faded = x.flatten() * torch.exp(-age / 12) * math.sqrt(2 / 12)
    turned = torch.exp(2j * math.pi / 12 * age * torch.arange(4).unsqueeze(1))
    torch.testing.assert_close(found, (turned * faded).sum(1))


def test_gradients():
    config = {**SNN, "neurons": 3, "embedding_size": 3, "layers": 1, "modes": 2, "span": 8}
    torch.manual_seed(0)
    model = build_sequence_classifier(
        config | {"name": "gru", "hidden_size": 3, "neurons": None, "leaks": None}, 2
    )
    model = model.double()
    torch.nn.init.normal_(model.to_classes.weight)
    x = torch.randn(8, 2, 1, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda given: model(given)[0], x)
    spiking = build_sequence_classifier(config, 2).double()
    torch.nn.init.normal_(spiking.to_classes.weight)
    spiking(x)[0].square().sum().backward()
    for name, parameter in spiking.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), name


def test_a_model_without_memory_gets_its_weights_later():
    torch.manual_seed(0)
    here = build_sequence_classifier({**SNN, "modes": 3}, 2)
    with torch.device("meta"):
        there = build_sequence_classifier({**SNN, "modes": 3}, 2)
    there.to_empty(device="cpu")
    for module in there.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    for name, value in here.front.memory.named_buffers():
        assert torch.equal(value, there.front.memory.get_buffer(name)), name


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"name": "rnn"}, ValueError, "model must be one of snn, lstm, gru, got 'rnn'"),
        ({**SNN, "heads": 2}, TypeError, "snn takes no 'heads'"),
        ({**SMALL, "name": "lstm", "decay": "input"}, TypeError, "lstm takes no 'decay'"),
        ({**SNN, "stride": 0}, ValueError, "stride must be"),
        ({**SNN, "recent": 3}, ValueError, "recent must be 0, or at least stride=4 rows, got 3"),
        ({**SNN, "recent": 0}, ValueError, "recent=0 goes with modes"),
        ({**SNN, "readout": "sum"}, ValueError, "readout must be"),
        ({**SNN, "modes": 2, "span": 0}, ValueError, "span must be"),
    ],
)
def test_arguments_are_refused(config, error, message):
    with pytest.raises(error, match=message):
        build_sequence_classifier(config, 2)


def test_input_and_states_are_refused():
    model, tokens = made("both"), made("bytes")
    x = sequences("both")
    with pytest.raises(ValueError, match=r"x must be \(L, B, 1\), got \(24, 3\)"):
        model(x[..., 0])
    with pytest.raises(TypeError, match="x must be int64 tokens"):
        tokens(x[..., 0])
    with pytest.raises(IndexError, match=r"tokens must lie in \[0, 9\), got 9"):
        tokens(torch.full((4, 1), 9))
    _, state = model(x)
    with pytest.raises(ValueError, match="lengths goes with whole sequences"):
        model(x, state, lengths=torch.tensor([4, 4, 4]))
    with pytest.raises(ValueError, match="state must be what front, body and read-out keep"):
        model(x, state[:2])
    with pytest.raises(ValueError, match="state of the read-out"):
        model(x, (*state[:2], state[2][:1]))
    with pytest.raises(ValueError, match="state of a front"):
        model(x[:, :2], state)
    with pytest.raises(ValueError, match="state of a front must be the rows that it keeps and the memory's"):
        model(x, ((state[0][0], None), *state[1:]))
    with pytest.raises(ValueError, match="state of a front must keep 5 to 8 rows"):
        model(x, ((state[0][0][:, :2], state[0][1]), *state[1:]))
    with pytest.raises(ValueError, match="one of every block, 2"):
        model(x, (state[0], state[1][:1], state[2]))
    lstm = made("lstm")
    with pytest.raises(ValueError, match="state of LSTM must be hidden and cell state"):
        lstm(x, (lstm(x)[1][0], x, lstm(x)[1][2]))


def test_fronts_name_what_they_cannot_be():
    with pytest.raises(ValueError, match="channels must be"):
        ValueFront(0, 4, stride=2, recent=None, modes=0, span=1)
    with pytest.raises(ValueError, match="vocabulary must be"):
        TokenFront(0, 4, stride=2, ngrams=(), ngram_rows=1)
