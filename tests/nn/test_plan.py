"""The parts of a stack are read once, and read again after anything that may happen to its modules."""

import copy
import gc
import io
import pickle
import weakref
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize, prune

import spikeseq
from spikeseq.functional import SpikeTime
from spikeseq.nn import SpikingRNN, stack


def network(**options):
    torch.manual_seed(3)
    rnn = SpikingRNN(5, 13, num_layers=2, **options).eval()
    with torch.no_grad():
        for layer in rnn.layers:
            layer.input_map.weight.mul_(3)
    return rnn


class Half(nn.Module):
    def forward(self, x):
        return x / 2


class Louder(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 3


def double(_module, _given, out):
    return (out[0] * 2, *out[1:]) if isinstance(out, tuple) else out * 2


def in_place(rnn):
    with torch.no_grad():
        rnn.layers[1].input_map.weight.mul_(1.5)


def set_parameter(rnn):
    rnn.layers[1].input_map.weight = nn.Parameter(2 * rnn.layers[1].input_map.weight.detach())


def one_value_replaced(rnn):
    """A parameter that equals the one before it, and is then changed."""
    lif = rnn.layers[0].lif
    place = lif._parameters if "leak" in lif._parameters else lif._buffers
    place["leak"] = copy.deepcopy(place["leak"])
    rnn(torch.randn(1, 1, 5))
    with torch.no_grad():
        place["leak"].mul_(0.5)


def without_hooks_and_again(rnn):
    linear = rnn.layers[0].input_map
    linear._forward_hooks = OrderedDict()
    rnn(torch.randn(1, 1, 5))
    linear.register_forward_hook(double)


def set_data(rnn):
    rnn.layers[0].input_map.weight.data = rnn.layers[0].input_map.weight.data * 2


def load(rnn):
    rnn.load_state_dict({key: 0.7 * value for key, value in rnn.state_dict().items()})


def dropout_acts(rnn):
    rnn.between.p = 0.0
    rnn.train()
    rnn.between.p = 0.5
    torch.manual_seed(0)


def by_hand(rnn):
    linear = rnn.layers[1].input_map
    linear.forward = lambda x: nn.functional.linear(x, linear.weight) * 2


CHANGES = {
    "nothing": lambda rnn: None,
    "a hook": lambda rnn: rnn.layers[1].input_map.register_forward_hook(double),
    "a hook of a layer": lambda rnn: rnn.layers[0].register_forward_hook(double),
    "a pre-hook": lambda rnn: rnn.layers[0].lif.register_forward_pre_hook(lambda m, given: None),
    "a hook between": lambda rnn: rnn.between.register_forward_hook(double),
    "other hooks": without_hooks_and_again,
    "in place": in_place,
    "through data": lambda rnn: rnn.layers[0].input_map.weight.data.mul_(2),
    "other data": set_data,
    "another parameter": set_parameter,
    "an equal parameter": one_value_replaced,
    "no bias": lambda rnn: setattr(rnn.layers[0].input_map, "bias", None),
    "load_state_dict": load,
    "another map": lambda rnn: setattr(rnn.layers[1], "input_map", nn.Sequential(nn.Linear(13, 13), Half())),
    "another class": lambda rnn: setattr(rnn.layers[1].input_map, "__class__", Louder),
    "a forward by hand": by_hand,
    "another layer": lambda rnn: rnn.layers.__setitem__(1, network().layers[1]),
    "layers swapped": lambda rnn: setattr(rnn, "layers", nn.ModuleList(network().layers)),
    "pruning": lambda rnn: prune.l1_unstructured(rnn.layers[1].input_map, "weight", 0.5),
    "a parametrization": lambda rnn: parametrize.register_parametrization(
        rnn.layers[0].input_map, "weight", Half()
    ),
    "another reset": lambda rnn: [setattr(layer.lif, "reset", "hard") for layer in rnn.layers],
    "one reset": lambda rnn: setattr(rnn.layers[0].lif, "reset", "hard"),
    "a memory": lambda rnn: [setattr(layer.lif, "surrogate", SpikeTime()) for layer in rnn.layers],
    "substeps": lambda rnn: setattr(rnn, "substeps", 2),
    "readout": lambda rnn: setattr(rnn, "readout", "rate"),
    "double": lambda rnn: rnn.double(),
    "bfloat16": lambda rnn: rnn.bfloat16(),
    "train": lambda rnn: rnn.train(),
    "dropout": dropout_acts,
}  # fmt: skip


@torch.no_grad()
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(change, monkeypatch):
    rnn = network()
    rnn(torch.randn(1, 1, 5))
    assert rnn in stack._plans
    CHANGES[change](rnn)
    x = torch.randn(3, 2, 5, dtype=rnn.layers[0].input_map.weight.dtype)
    torch.manual_seed(1)
    found = rnn(x)
    monkeypatch.setattr(stack, "parts_of", lambda *args: "asked for")
    torch.manual_seed(1)
    expected = rnn(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("kind", [nn.Linear, nn.Module])
def test_hooks_of_all_modules_and_forwards_put_into_a_class_are_seen(kind, monkeypatch):
    rnn, x, seen = network(), torch.randn(1, 1, 5), []
    rnn(x)
    if kind is nn.Linear:
        forward = nn.Linear.forward
        monkeypatch.setattr(nn.Linear, "forward", lambda *args: seen.append(1) or forward(*args))
    else:
        handle = register_module_forward_hook(lambda *args: seen.append(1))
    try:
        rnn(x)
        assert len(seen) >= 2
    finally:
        if kind is nn.Module:
            handle.remove()


@torch.no_grad()
def test_a_monitor_sees_a_model_that_ran_before():
    rnn, x = network(), torch.randn(6, 2, 5)
    rnn(x)
    with spikeseq.monitor(rnn) as watch:
        rnn(x)
        assert watch.rates()


def test_gradients_and_autocast_are_seen():
    rnn, x = network(), torch.randn(2, 1, 5)
    with torch.no_grad():
        rnn(x)
    assert rnn(x)[0].requires_grad
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16):
            low = rnn(x)[0]
        assert not torch.equal(low.float(), rnn(x)[0])


@torch.no_grad()
def test_copies_have_plans_of_their_own():
    rnn, x = network(), torch.randn(1, 1, 5)
    expected = rnn(x)
    file = io.BytesIO()
    torch.save(rnn, file)
    assert b"Plan" not in file.getvalue() and not [key for key in vars(rnn) if "plan" in key.lower()]
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        torch.testing.assert_close(other(x), expected, rtol=0, atol=0)
        other.layers[0].input_map.weight.mul_(2)
        assert not torch.equal(other(x)[0], expected[0])
        torch.testing.assert_close(rnn(x), expected, rtol=0, atol=0)


@torch.no_grad()
def test_a_plan_dies_with_its_layer():
    rnn = network()
    rnn(torch.randn(1, 1, 5))
    weight = weakref.ref(rnn.layers[0])
    gc.disable()
    try:
        del rnn
        assert weight() is None
    finally:
        gc.enable()
