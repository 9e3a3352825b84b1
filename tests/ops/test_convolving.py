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


class View(nn.Module):
    """Writes into images by one of the ways to have their values in another shape."""

    def __init__(self, way):
        super().__init__()
        self.way = way

    def forward(self, x):
        x = x * 1.0
        self.way(x).mul_(3.0)
        return x.flatten(1)


WAYS = {
    "view": lambda x: x.view(x.shape[0], -1),
    "view of keywords": lambda x: x.view(size=(x.shape[0], -1)),
    "view_as": lambda x: x.view_as(torch.empty(x.shape[0], x[0].numel())),
    "reshape": lambda x: torch.reshape(x, (-1,)),
    "flatten": lambda x: x.flatten(),
    "ravel": torch.ravel,
    "unflatten": lambda x: x.unflatten(1, (2, -1)),
    "contiguous": lambda x: x.contiguous(),
    "as_strided": lambda x: x.as_strided((x.numel(),), (1,)),
    "view of bytes": lambda x: x.view(x.shape[0], -1).view(torch.int32).view(torch.float32),
}


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_what_is_written_into_a_view_of_images_is_in_the_images(network, calls, way, gradients):
    network.network[6] = View(WAYS[way])
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    if gradients and way == "view of bytes":
        pytest.skip("torch has no gradient of bytes")
    with torch.set_grad_enabled(gradients):
        with Seen():
            expected = network.eval()(x)
        torch.testing.assert_close(network(x), expected)
    assert len(calls) == 1
