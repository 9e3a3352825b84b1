"""Parts of layers and models with something put around them, or replaced: called, never read.  # case 1.8"""

import copy

import pytest
import torch
from torch import nn

from spikeseq.functional import SpikeTime
from spikeseq.models import SpikingClassifier
from spikeseq.models.seq2seq.build import build_seq2seq
from spikeseq.models.seq2seq.stacks import SpikingStack
from spikeseq.nn import (
    SpikingActivation,
    SpikingConvBlock,
    SpikingNetwork,
    SpikingRNN,
    SpikingRNNCell,
    TimedDropout,
)
from spikeseq.nn.layer import SpikingLayer


class Wrapper(nn.Module):
    """Has none of the attributes of what it calls."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, *args, **rest):
        return self.inner(*args, **rest)


class Hidden(nn.Module):
    """Does not show what it calls either."""

    def __init__(self, inner):
        super().__init__()
        self.held = [inner]

    def forward(self, *args, **rest):
        return self.held[0](*args, **rest)


LENGTHS = torch.tensor([5, 2, 3])


def draw(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.float64)


def image_network():
    parts = nn.Linear(4, 6), SpikingActivation(), TimedDropout(), nn.Linear(6, 2)
    return SpikingNetwork(nn.Sequential(*parts))


IDS = torch.randint(4, 11, (5, 3), generator=torch.Generator().manual_seed(0))
SENTENCES = (IDS, LENGTHS, IDS)
MODELS = {
    "rnn": (lambda: SpikingRNN(4, 6, 2), (draw(5, 3, 4),), {"lengths": LENGTHS}),
    "rnn, state": (lambda: SpikingRNN(4, 6, 2, readout="rate"), (draw(5, 3, 4), draw(2, 3, 6)), {}),
    "rnn, norm": (lambda: SpikingRNN(4, 6, 2, norm="layer", dropout=0.1), (draw(5, 3, 4),), {}),
    "rnn, feedback": (
        lambda: SpikingRNN(4, 6, 2, recurrent=True, bidirectional=True), (draw(5, 3, 4), draw(4, 3, 6)),
        {"lengths": LENGTHS},
    ),
    "rnn, memory": (
        lambda: SpikingRNN(4, 6, recurrent=True, surrogate=SpikeTime()),
        (draw(5, 3, 4), draw(1, 2, 3, 6)), {},
    ),
    "cell": (lambda: SpikingRNNCell(4, 6, recurrent=True, norm="layer"), (draw(3, 4), draw(3, 6)), {}),
    "stack": (
        lambda: SpikingStack(4, 6, layers=2, bidirectional=True), (draw(5, 3, 4),), {"lengths": LENGTHS},
    ),
    "stack, state": (
        lambda: SpikingStack(4, 6, layers=2, accumulate=False), (draw(5, 3, 4), draw(2, 3, 6)), {},
    ),
    "block": (lambda: SpikingConvBlock(4, substeps=2), (draw(5, 1, 3, 4),), {"lengths": LENGTHS}),
    "block, integrated": (lambda: SpikingConvBlock(4, substeps=2), (draw(5, 1, 3, 4),), {"integrate": True}),
    "block, stream": (
        lambda: SpikingConvBlock(4, substeps=2, stream=True, norm="batch"), (draw(5, 1, 3, 4),), {},
    ),
    "classifier": (lambda: SpikingClassifier(20, hidden_size=6), (IDS, LENGTHS), {}),
    "network": (image_network, (draw(3, 4),), {}),
}  # fmt: skip


def built(make):
    torch.manual_seed(0)
    return make().double().eval()


def tensors(found):
    if found is None:
        return []
    return [found] if isinstance(found, torch.Tensor) else [one for part in found for one in tensors(part)]


def wrapped(model, path, kind=Wrapper):
    model = copy.deepcopy(model)
    parent, _, name = path.rpartition(".")
    parent = model.get_submodule(parent)
    parent._modules[name] = kind(parent._modules[name])
    return model


def agree(found, expected):
    for a, b in zip(tensors(found), tensors(expected), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no grad"])
@pytest.mark.parametrize("case", MODELS.values(), ids=MODELS)
def test_any_part_may_be_wrapped(case, grad):
    make, args, kwargs = case
    model = built(make)
    parts = [path for path, part in model.named_modules() if path and not isinstance(part, nn.ModuleList)]
    with torch.set_grad_enabled(grad):
        expected = model(*args, **kwargs)
        for path in parts:
            try:
                agree(wrapped(model, path)(*args, **kwargs), expected)
            except Exception as error:
                raise AssertionError(f"{path} wrapped: {error}") from error


@pytest.mark.parametrize("part", ["input_map", "feedback", "norm", "lif"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_what_is_put_around_is_called_and_trains(part, recurrent):
    class Twice(Wrapper):
        def forward(self, *args, **rest):
            out = super().forward(*args, **rest)
            return (2 * out[0], out[1]) if isinstance(out, tuple) else 2 * out

    if part == "feedback" and not recurrent:
        pytest.skip("there is none")
    make = lambda: SpikingRNN(4, 6, recurrent=recurrent, norm="layer" if part == "norm" else None)  # noqa: E731
    model, x = built(make), draw(5, 3, 4)
    found = wrapped(model, f"layers.0.{part}", Twice)
    out = found(x)[0]
    assert not torch.equal(out, model(x)[0])
    if part in ("input_map", "feedback"):  # twice the weights are twice the map
        with torch.no_grad():
            for parameter in model.get_submodule(f"layers.0.{part}").parameters():
                parameter.mul_(2)
        agree(out, model(x)[0])
    out.sum().backward()
    assert all(p.grad is not None for p in found.parameters() if p.requires_grad)


def test_neurons_that_do_not_show():
    """Without a state of their own they are called; a state that only they can read is refused."""
    x, state = draw(5, 3, 4), draw(1, 3, 6)
    plain = built(lambda: SpikingRNN(4, 6, recurrent=True))
    hidden = wrapped(plain, "layers.0.lif", Hidden)
    agree(hidden(x), plain(x))
    with pytest.raises(ValueError, match=r"lif is a Hidden without an nn.LIF inside"):
        hidden(x, state)
    plain = built(lambda: SpikingRNN(4, 6))
    agree(wrapped(plain, "layers.0.lif", Hidden)(x, state), plain(x, state))
    agree(wrapped(plain, "layers.0", Hidden)(x, state), plain(x, state))
    with pytest.raises(ValueError, match=r"neurons \(Hidden\) hold no nn.LIF"):
        wrapped(image_network(), "network.1.neurons.0", Hidden)(torch.randn(3, 4))


def test_sizes_are_the_layer_s_own():
    layer = SpikingLayer(4, 6, True)
    layer.input_map = Wrapper(layer.input_map)
    assert layer.takes()[0] == 4 and layer.state_shape(3) == (3, 6)
    rnn = SpikingRNN(4, 6)
    rnn.layers[0].input_map = Wrapper(rnn.layers[0].input_map)
    with pytest.raises(ValueError, match=r"input must have 4 features, got \(5, 3, 3\)"):
        rnn(torch.randn(5, 3, 3))
    with pytest.raises(ValueError, match=r"hx must have shape \(1, 3, 6\), got \(1, 3, 5\)"):
        rnn(torch.randn(5, 3, 4), torch.randn(1, 3, 5))


FAMILIES = {
    "attention-snn-snn": {"hidden_size": 6, "embedding_size": 5},
    "attention-gru-lstm": {"hidden_size": 6, "embedding_size": 5},
    "conv-snn-snn": {"channels": 8},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_parts_of_encoder_decoders(name):
    model = built(lambda: build_seq2seq({"name": name, "layers": 2, **FAMILIES[name]}, 12, 11))
    parts = [path for path, part in model.named_modules() if path and not isinstance(part, nn.ModuleList)]
    with torch.no_grad():
        expected = model(*SENTENCES)
        for path in parts:
            try:
                found = wrapped(model, path)
                agree(found(*SENTENCES), expected)
                found.to_empty(device="cpu")
                assert len(list(found.parameters())) == len(list(model.parameters()))
            except Exception as error:
                raise AssertionError(f"{path} wrapped: {error}") from error


@pytest.mark.parametrize("path", ["encoder", "reader", "writer", "attention", "decoder"])
def test_parts_of_which_more_is_used_than_their_call(path):
    name = "conv-snn-snn" if path == "decoder" else "attention-snn-snn"
    model = built(lambda: build_seq2seq({"name": name, "layers": 2, **FAMILIES[name]}, 12, 11))
    with pytest.raises(ValueError, match=rf"^{path} \(Hidden\) holds no .*; put it around one"):
        wrapped(model, path, Hidden)(*SENTENCES)


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "plain"])
def test_a_layer_takes_a_leak_for_every_token(fused):
    """As map and neurons one after the other, with gradients; feedback refuses it."""
    torch.manual_seed(0)
    layer = SpikingLayer(4, 6, True, channels=6, norm_input=True).double()
    x, leak = draw(5, 3, 4), draw(5, 3, 6).sigmoid()
    call = {"lengths": None, "substeps": 2, "readout": "rate"}
    found = []
    for one in (layer, layer.lif):
        given, own = x.clone().requires_grad_(), leak.clone().requires_grad_()
        if one is layer.lif:
            out, state = one(layer.input_map(given), None, leak=own, **call)
        else:
            handle = None if fused else layer.lif.register_forward_hook(lambda *_: None)
            out, state = one(given, None, leak=own, **call)
            if handle is not None:
                handle.remove()
        found.append((out, state, *torch.autograd.grad(out.sum() + state.sum(), (given, own))))
    torch.testing.assert_close(found[0], found[1])
    recurrent = SpikingLayer(4, 6, True, channels=6, recurrent=True).double()
    with pytest.raises(ValueError, match="leak goes without feedback"):
        recurrent(x, None, leak=leak, **call)
