"""Language models say what is wrong with states, tokens and arguments; hooks see every call."""

import pytest
import torch

from spikeseq import compile_events
from spikeseq.models.language import (
    RecurrentLanguageModel,
    SpikingLanguageModel,
    TransformerLanguageModel,
)
from spikeseq.nn import select_state

SNN = {"embedding_size": 8, "neurons": 12, "layers": 2}
MODELS = {
    "snn": lambda: SpikingLanguageModel(11, **SNN),
    "shift": lambda: SpikingLanguageModel(11, kernel_size=3, **SNN),
    "streamed": lambda: compile_events(SpikingLanguageModel(11, kernel_size=3, **SNN).eval()),
    "lstm": lambda: RecurrentLanguageModel(11, kind="lstm", embedding_size=6, hidden_size=8, layers=2),
    "gru": lambda: RecurrentLanguageModel(11, kind="gru", embedding_size=8, hidden_size=8),
    "transformer": lambda: TransformerLanguageModel(11, embedding_size=8, heads=2, hidden_size=9, context=6),
}
ODD = (5, "state", [], {}, torch.zeros(3), [None, 1], (torch.zeros(3, 12), None))


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().eval()


def tokens(batch=3):
    return torch.randint(0, 11, (4, batch), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_states_of_others_are_refused(name):
    model = made(name)
    _, own = model(tokens())
    others = [made(other)(tokens())[1] for other in MODELS if other != name]
    for state in (*others, *ODD, select_state(own, torch.tensor([0, 1]))):
        with pytest.raises((TypeError, ValueError), match=r"state|kept of layer|membrane of layer"):
            model(tokens(), state)
    model(tokens(), own)


@pytest.mark.parametrize("name", MODELS)
def test_tokens_that_are_none_are_refused(name):
    model = made(name)
    with pytest.raises(TypeError, match=r"tokens must be int64 or int32, got torch.uint8; take tokens.long"):
        model(tokens().to(torch.uint8))
    for odd in (tokens() + 11, tokens() - 11):
        with pytest.raises(IndexError, match=r"tokens must lie in \[0, 11\), got "):
            model(odd)


def torch_has_lstm_in_bfloat16():
    """oneDNN's needs a processor with AVX-512; torch offers no other way under autocast."""
    try:
        with torch.autocast("cpu", torch.bfloat16):
            return bool(torch.nn.LSTM(6, 8)(torch.zeros(4, 3, 6)))
    except RuntimeError:
        return False


@pytest.mark.parametrize("name", ["shift", "lstm", "gru"])
@torch.no_grad()
def test_states_go_on_under_autocast(name):
    if name == "lstm" and not torch_has_lstm_in_bfloat16():
        pytest.skip("torch has no LSTM in bfloat16 on this processor")
    model = made(name)
    with torch.autocast("cpu", torch.bfloat16):
        _, state = model(tokens())
        model(tokens(), state)


@pytest.mark.parametrize("decay", ["fixed", "input"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"norm": "layer"}, "norm is no argument of a spiking block: a block normalises before its map"),
        ({"leak": 0.5}, r"leak is no argument of a spiking block: leaks=\(low, high\)"),
        ({"norm_input": True}, "norm_input is no argument of a spiking block: decay='input' has it"),
        ({"channels": 12}, "channels is no argument of a spiking block: every neuron has"),
        ({"width": 3}, "width"),
        ({"treshold": 3}, "treshold is no argument of a spiking block: it takes threshold, reset,"),
    ],
    ids=["norm", "leak", "norm_input", "channels", "width", "misspelt"],
)
def test_arguments_that_a_block_does_not_take(decay, change, message):
    with pytest.raises(TypeError, match=message):
        SpikingLanguageModel(11, decay=decay, **SNN, **change)


@pytest.mark.parametrize("decay", ["fixed", "input"])
@torch.no_grad()
def test_hooks_of_a_layer_see_its_calls(decay):
    torch.manual_seed(0)
    model = SpikingLanguageModel(11, decay=decay, **SNN).eval()
    expected, _ = model(tokens())
    seen = []
    layer = model.blocks[0].layer
    handle = layer.register_forward_hook(lambda module, given, out: seen.append(out[0].shape))
    assert torch.equal(model(tokens())[0], expected) and seen == [(4, 3, 12)]
    handle.remove()
    layer.register_forward_hook(lambda module, given, out: (torch.zeros_like(out[0]), out[1]))
    assert not torch.equal(model(tokens())[0], expected)
