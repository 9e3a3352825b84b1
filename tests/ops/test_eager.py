"""A forward that calls an op, and says its signature without reading code."""

import inspect

import pytest
import torch

from spikeseq.functional import lif
from spikeseq.nn import SpikingRNN
from spikeseq.ops.eager import forward_of, once_differentiable


def test_a_function_with_its_context_apart_takes_it():
    class Double(torch.autograd.Function):
        forward = forward_of(lambda x, factor: x * factor)

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.factor, None

    x = torch.ones(3, requires_grad=True)
    out = Double.apply(x, 2.0)
    assert out.tolist() == [2.0] * 3
    assert torch.autograd.grad(out.sum(), x)[0].tolist() == [2.0] * 3


def test_its_signature_is_given_and_not_read():
    forward = forward_of(torch.add).__func__
    assert inspect.signature(forward) is forward.__signature__


class Seen(torch.autograd.Function):
    """x * y by a kernel, of which autograd sees nothing; y is not saved."""

    @staticmethod
    def forward(ctx, x, y):
        ctx.save_for_backward(x)
        ctx.y = y.detach()
        return x * y

    @staticmethod
    @once_differentiable
    def backward(ctx, saved, grad):
        assert not torch.is_grad_enabled()
        return grad * ctx.y, grad * saved[0]


def test_what_is_differentiated_once_is_no_constant():
    """Torch's decorator gives constants here: a gradient penalty would do nothing, and say nothing."""
    x, y = (torch.tensor([2.0, 3.0], requires_grad=True) for _ in range(2))
    (by_y,) = torch.autograd.grad(Seen.apply(x, y).sum(), y, create_graph=True)
    assert torch.equal(by_y, x)
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        torch.autograd.grad(by_y.sum(), x, allow_unused=True)
    Seen.apply(x, y).sum().backward()
    assert torch.equal(x.grad, y) and not x.grad.requires_grad


def test_calls_without_gradients_give_the_same_without_a_function(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    current = torch.randn(3, 2, 4, generator=generator)
    leaf = current.clone().requires_grad_()
    layer = SpikingRNN(4, 5, 2)
    with_graph = [*lif(leaf, leak=0.9, threshold=1.0), *layer(leaf)]
    calls = []
    monkeypatch.setattr(torch.autograd.Function, "apply", lambda *_: calls.append(1))
    with torch.no_grad():
        without = [*lif(leaf, leak=0.9, threshold=1.0), *layer(leaf, lengths=torch.tensor([3, 3]))]
    assert not calls and not any(one.requires_grad for one in without)
    assert all(map(torch.equal, without, with_graph))
