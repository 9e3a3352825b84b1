"""The parts of a stack are read once, and read again after anything that may happen to its modules."""

import copy
import gc
import io
import pickle
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrize, prune
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import spikeseq
from spikeseq.functional import SpikeTime
from spikeseq.nn import SpikingRNN, stack
from spikeseq.ops.stack import plan_maker

spikeseq.build("cpu")
pytestmark = pytest.mark.skipif(plan_maker() is None, reason="the kernel was built without Python's headers")


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


def swap(rnn):
    """The same parameter with the inside of another."""
    torch.utils.swap_tensors(rnn.layers[1].input_map.weight, nn.Parameter(torch.randn(13, 13)))


def set_storage(rnn):
    rnn.layers[1].input_map.weight.set_(torch.randn(13, 13).t())


def tied(rnn):
    """Two names whose tensors change places."""
    leak, threshold = rnn.layers[0].lif.leak, rnn.layers[0].lif.threshold
    rnn.layers[0].lif._parameters.update(leak=threshold, threshold=leak)


def another_dictionary(rnn):
    linear = rnn.layers[0].input_map
    linear.__dict__ = {**vars(linear), "_parameters": {**linear._parameters, "bias": None}}


def in_another_layer(rnn):
    rnn.layers._modules["0"] = SpikingRNN(5, 13, norm="layer").layers[0]


CHANGES = {
    "the inside of a parameter": swap,
    "its storage": set_storage,
    "parameters that change places": tied,
    "another dictionary": another_dictionary,
    "a layer with a norm": in_another_layer,
    "a leak past its bound": lambda rnn: rnn.layers[0].lif.leak.data.fill_(1.5),
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
    assert stack.again(rnn, torch.randn(1, 1, 5), None) is not None
    CHANGES[change](rnn)
    x = torch.randn(3, 2, 5, dtype=rnn.layers[0].input_map.weight.dtype)
    torch.manual_seed(1)
    found = rnn(x)
    monkeypatch.setattr(stack, "again", lambda *args: None)
    monkeypatch.setattr(stack, "parts_of", lambda *args: "asked for")
    torch.manual_seed(1)
    expected = rnn(x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


class _Ops(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


class _Functions(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return function(*args, **(kwargs or {}))


SEEING = {
    "gradients": torch.enable_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "a mode of ops": _Ops,
    "a mode of functions": _Functions,
    "fake tensors": FakeTensorMode,
    "a profiler": torch.profiler.profile,
    "forward derivatives": forward_ad.dual_level,
}


@torch.no_grad()
@pytest.mark.parametrize("context", SEEING)
def test_it_gives_way_to_whoever_sees_ops(context):
    rnn, x = network(), torch.randn(1, 1, 5)
    _, hx = rnn(x)
    assert stack.again(rnn, x, hx) is not None
    with SEEING[context]():
        assert stack.again(rnn, x, hx) is None
    with torch.inference_mode():
        assert stack.again(rnn, x, hx)[0].is_inference()


@torch.no_grad()
def test_it_gives_way_to_transforms():
    rnn, x = network(), torch.randn(4, 1, 1, 5)
    rnn(x[0])
    seen = []
    torch.func.vmap(lambda one: seen.append(stack.again(rnn, one, None)) or one)(x)
    torch.jit.trace(
        lambda one: seen.append(stack.again(rnn, one, None)) or one + 0, (x[0],), check_trace=False
    )
    assert seen == [None, None]
    values = {name: 2 * value for name, value in rnn.named_parameters()}
    assert not torch.equal(torch.func.functional_call(rnn, values, (x[0],))[0], rnn(x[0])[0])


@torch.no_grad()
def test_what_does_not_fit_is_left_to_the_other_way():
    rnn, x = network(), torch.randn(1, 1, 5)
    _, hx = rnn(x)
    for bad in (
        (x[0], hx), (x[:0], hx), (x[..., :4], hx), (x.double(), hx), (x.half(), hx), (x.to("meta"), hx),
        (x.to_sparse(), hx), (x, hx[:1]), (x, hx.double()), (x, [hx]), (x, hx.to("meta")), (None, hx),
        (torch._neg_view(x), hx), (nn.Parameter(x), hx),
    ):  # fmt: skip
        assert stack.again(rnn, *bad) is None
    for changed in ({"substeps": 2.0}, {"substeps": True}, {"readout": None}, {"bidirectional": True}):
        before = {name: getattr(rnn, name) for name in changed}
        vars(rnn).update(changed)
        assert stack.again(rnn, x, hx) is None
        vars(rnn).update(before)
    assert stack.again(rnn, x, hx) is not None
    rnn.readout = "all"
    with pytest.raises(ValueError, match="readout must be one of"):
        rnn(x, hx)


@torch.no_grad()
def test_threads_share_it():
    rnn, xs = network(), torch.randn(40, 1, 1, 5)
    expected = [rnn(x)[0] for x in xs]
    with ThreadPoolExecutor(4) as pool:

        def run(x):
            with torch.no_grad():
                return rnn(x)[0]

        assert all(map(torch.equal, pool.map(run, xs), expected))


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
    weight, key = weakref.ref(rnn.layers[0]), id(rnn)
    assert key in stack._plans
    gc.disable()
    try:
        del rnn
        assert weight() is None and key not in stack._plans
    finally:
        gc.enable()
