"""A forward that calls an op, and says its signature without reading code."""

import inspect

import torch

from spikeseq.ops.eager import forward_of


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
