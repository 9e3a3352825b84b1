"""Convolutions of a network over time: through the op, with the same results, unless others look on."""

import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from spikeseq.nn.activation import SpikingActivation, TimedDropout
from spikeseq.nn.network import SpikingNetwork
from spikeseq.ops import conv


class Seen(TorchFunctionMode):
    """What is called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        self.names.append(getattr(function, "__name__", ""))
        return function(*args, **(kwargs or {}))


@pytest.fixture
def network():
    torch.manual_seed(0)
    inner = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, padding=1, bias=False), SpikingActivation()),
        *(TimedDropout(0.2), nn.Conv2d(32, 32, 3, padding=1), SpikingActivation()),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32 * 64, 4)),
    )
    return SpikingNetwork(inner, substeps=2)


@pytest.fixture
def calls(monkeypatch):
    """How often the op was run."""
    made = []
    fused = conv._Conv.apply
    monkeypatch.setattr(conv._Conv, "apply", lambda *args: made.append(1) or fused(*args))
    return made


def step(network, x):
    torch.manual_seed(1)
    out = network(x)
    return out, *torch.autograd.grad(out.square().sum(), tuple(network.parameters()))


def test_the_op_stands_in_for_torch(network, calls):
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with Seen() as seen:  # convolutions are those of torch
        expected = step(network, x)
    assert seen.names.count("conv2d") == 2 and not calls
    found = step(network, x)
    assert len(calls) == 1  # the other one has three channels
    for a, b in zip(found, expected, strict=True):
        assert float((a - b).norm() / b.norm()) < 1e-3


@pytest.mark.parametrize("change", [lambda x: x[:1], lambda x: x.double()], ids=["small", "float64"])
def test_what_gains_nothing_goes_without(network, calls, change):
    x = change(torch.randn(4, 3, 16, 16))
    network.to(x.dtype)(x)
    assert not calls


def test_hooks_of_a_convolution_see_its_call(network, calls):
    seen = []
    network.network[3].register_forward_hook(lambda module, given, out: seen.append(out.shape))
    with torch.no_grad():
        network(torch.randn(4, 3, 16, 16))
    assert seen == [(8, 32, 16, 16)] and len(calls) == 1


class Writes(nn.Module):
    """Writes into images by one of the ways to have their values in another shape."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x):
        x = x * 1.0
        self.way(x).mul_(3.0)
        return x


WAYS = {
    "view": lambda x: x.view(x.shape[0], -1),
    "view of keywords": lambda x: x.view(size=(x.shape[0], -1)),
    "reshape": lambda x: torch.reshape(x, (-1,)),
    "flatten": lambda x: x.flatten(),
    "contiguous": lambda x: x.contiguous(),
    "as_strided": lambda x: x.as_strided((x.numel() // 2,), (1,)),
    "a part": lambda x: x[:1].flatten(),
    "channels": lambda x: x[:, :2],
}


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("place", [3, 4, 5], ids=["currents", "spikes", "pooled"])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_into_a_view_of_images_is_in_the_images(network, calls, way, place, gradients):
    network.network.insert(place + 1, Writes(WAYS[way]))
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.set_grad_enabled(gradients):
        with Seen():
            expected = network.eval()(x)
        torch.testing.assert_close(network(x), expected)
    assert len(calls) == 1


def test_a_network_written_for_views_runs(network, calls):
    class View(nn.Module):
        def forward(self, x):
            return x.view(len(x), -1)

    network.network = nn.Sequential(*network.network[:5], View(), nn.Linear(32 * 256, 4))
    network(torch.randn(4, 3, 16, 16)).sum().backward()
    assert len(calls) == 1


@pytest.mark.parametrize("turned", ["images", "weights", "both", "neither"])
def test_images_come_in_the_order_in_which_torch_gives_them(turned, calls):
    def run():
        x, layer = torch.randn(8, 32, 16, 16), nn.Conv2d(32, 32, 3, padding=1)
        if turned in ("images", "both"):
            x = x.contiguous(memory_format=torch.channels_last)
        if turned in ("weights", "both"):
            layer.to(memory_format=torch.channels_last)
        return layer(x).stride()

    expected = run()
    with conv.convolving(torch.zeros(1, 8, 32, 16, 16), 1):
        assert run() == expected
    assert len(calls) == 1


@pytest.mark.parametrize("precision", ["high", "medium"])
def test_products_that_torch_may_round_are_left_to_it(network, calls, precision):
    torch.set_float32_matmul_precision(precision)
    try:
        network(torch.randn(4, 3, 16, 16))
    finally:
        torch.set_float32_matmul_precision("highest")
    assert not calls


def test_a_bias_that_does_not_fit_is_refused_as_by_torch(network, calls):
    network.network[3].bias = nn.Parameter(torch.zeros(1))
    with pytest.raises(RuntimeError, match="bias"):
        network(torch.randn(4, 3, 16, 16))
    assert not calls


def test_many_gradients_at_once(calls):
    x = torch.randn(4, 32, 32, 32, requires_grad=True)
    weight = torch.randn(32, 32, 3, 3, requires_grad=True)
    with conv.convolving(x.detach()[None], 1):
        out = torch.conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
    assert len(calls) == 1
    many = torch.randn(3, *out.shape)
    found = torch.autograd.grad(out, (x, weight), many, is_grads_batched=True, retain_graph=True)
    for i, one in enumerate(many):
        for a, b in zip(found, torch.autograd.grad(out, (x, weight), one, retain_graph=True), strict=True):
            assert float((a[i] - b).norm() / b.norm()) < 1e-4


def test_a_gradient_under_autocast(calls):
    x = torch.randn(4, 32, 32, 32, requires_grad=True)
    weight = torch.randn(32, 32, 3, 3, requires_grad=True)
    with conv.convolving(x.detach()[None], 1):
        out = torch.conv2d(x, weight, None, (1, 1), (1, 1), (1, 1), 1)
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.autograd.grad(out.square().sum(), (x, weight))
    assert len(calls) == 1 and all(one.dtype == torch.float32 for one in found)


def test_a_precision_that_was_set_in_two_ways(network, calls, monkeypatch):
    def mixed():
        raise RuntimeError("mix of the legacy and new APIs")

    monkeypatch.setattr(torch, "get_float32_matmul_precision", mixed)
    network(torch.randn(4, 3, 16, 16))
    assert not calls
