"""Map and neurons in one call against the two one after the other, in float64, where no spike may differ."""

import pytest
import torch
from torch.nn.functional import linear

from spikeseq.functional import ApproximateLIF, SpikeTime, lif
from spikeseq.functional.linear_lif import linear_lif
from spikeseq.nn import SpikingRNN
from spikeseq.ops.build import ensure_native

NEURON = {"leak": 0.9, "threshold": 1.0}


def case(kind="sparse", bias=True, length=7, batch=3, size=11, width=10):
    random = torch.Generator().manual_seed(0)
    draw = torch.randn(length, batch, size, generator=random, dtype=torch.float64)
    share = {"sparse": 0.1, "dense": 0.7}
    x = draw if kind == "analog" else (torch.rand(draw.shape, generator=random) < share[kind]).double() * 1.25
    weight = torch.randn(width, size, generator=random, dtype=torch.float64)
    start = torch.randn(batch, width, generator=random, dtype=torch.float64)
    b = torch.randn(width, generator=random, dtype=torch.float64) * 0.3 if bias else None
    return [t if t is None else t.requires_grad_() for t in (x, weight, b, start)]


def gradients(call, leaves):
    out, state = call()
    random = torch.Generator().manual_seed(1)
    loss = (out * torch.randn(out.shape, generator=random, dtype=out.dtype)).sum() + (state**2).sum()
    return [out, state, *torch.autograd.grad(loss, [leaf for leaf in leaves if leaf is not None])]


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", ["sparse", "dense", "analog"])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("changes", [{}, {"substeps": 3, "readout": "membrane"}, {"reset": "hard"}])
def test_the_same_as_one_after_the_other(kind, bias, recompute, changes):
    x, weight, b, state = leaves = case(kind, bias)
    leak, threshold = (torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (0.9, 1.0))
    neuron = {"leak": leak, "threshold": threshold, "lengths": torch.tensor([7, 0, 4]), **changes}
    found = gradients(
        lambda: linear_lif(x, weight, b, state, recompute=recompute, **neuron), [*leaves, leak, threshold]
    )
    expected = gradients(lambda: lif(linear(x, weight, b), state, **neuron), [*leaves, leak, threshold])
    close(found, expected)


def test_only_some_gradients():
    for needed in range(3):
        leaves = [t.detach() for t in case()[:3]]
        leaf = leaves[needed].requires_grad_()
        (found,) = torch.autograd.grad(linear_lif(*leaves, **NEURON)[0].sum(), leaf)
        (expected,) = torch.autograd.grad(lif(linear(*leaves), **NEURON)[0].sum(), leaf)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_gradient_of_the_state_alone():
    x, weight, b, state = case()
    (found,) = torch.autograd.grad(linear_lif(x, weight, b, state, **NEURON)[1].sum(), weight)
    (expected,) = torch.autograd.grad(lif(linear(x, weight, b), state, **NEURON)[1].sum(), weight)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_inputs_that_are_views():
    x, weight, b, _ = case()
    turned = x.transpose(0, 1)
    close(linear_lif(turned, weight, b, **NEURON), linear_lif(turned.contiguous(), weight, b, **NEURON))


@pytest.mark.parametrize("surrogate", [ApproximateLIF(), SpikeTime()], ids=["two", "one"])
def test_a_surrogate_with_a_memory(surrogate):
    x, weight, b, _ = leaves = case()
    neuron = {**NEURON, "surrogate": surrogate}
    found = gradients(lambda: linear_lif(x, weight, b, **neuron), leaves[:3])
    close(found, gradients(lambda: lif(linear(x, weight, b), **neuron), leaves[:3]))


def test_a_caller_s_tensors_stay():
    x, weight, b, state = case()
    before = [t.clone() for t in (x, weight, b, state)]
    linear_lif(x, weight, b, state, **NEURON)[0].sum().backward()
    assert all(torch.equal(a, b) for a, b in zip(before, (x, weight, b, state), strict=True))


@pytest.mark.parametrize("size", [{"width": 0}, {"batch": 0}])
def test_nothing_to_do(size):
    leaves = case(**size)
    x, weight, b, state = leaves
    close(
        gradients(lambda: linear_lif(x, weight, b, state, **NEURON), leaves),
        gradients(lambda: lif(linear(x, weight, b), state, **NEURON), leaves),
    )


@pytest.mark.filterwarnings("ignore")
def test_tracing_goes_the_plain_way():
    x, layer = torch.randn(7, 2, 5), SpikingRNN(5, 13, num_layers=2)
    traced = torch.jit.trace(layer, (x,))
    torch.testing.assert_close(traced(x + 1), layer(x + 1))


def test_autocast_and_transforms_go_the_plain_way():
    x, weight, b, _ = (t.detach().float() for t in case())
    with torch.autocast("cpu", torch.bfloat16):
        assert linear_lif(x, weight, b, **NEURON)[0].dtype == torch.bfloat16
    found = torch.func.grad(lambda w: linear_lif(x, w, b, **NEURON)[0].sum())(weight)
    leaf = weight.clone().requires_grad_()
    (expected,) = torch.autograd.grad(linear_lif(x, leaf, b, **NEURON)[0].sum(), leaf)
    torch.testing.assert_close(found, expected)


def test_only_what_the_gradients_need_is_kept():
    x, weight, b, _ = (t.detach() for t in case())
    for needed, most in ((x, 2), (weight, 2)):
        needed.requires_grad_()
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):  # noqa: B023
            linear_lif(x, weight, b, **NEURON)
        needed.requires_grad_(False)
        ours = [t for t in kept if t.numel() > 1 and t.dtype != torch.int64]
        assert len(ours) <= most + 2  # currents, checkpoints, the final state and one factor


def test_gradients_are_contiguous():
    x, weight, b, _ = case()
    (grad,) = torch.autograd.grad(linear_lif(x, weight, b, **NEURON)[0].sum(), weight)
    assert grad.is_contiguous() and grad.shape == weight.shape


def test_bad_input_is_named():
    x, weight, b, state = case()
    with pytest.raises(ValueError, match="leak must lie in"):
        linear_lif(x, weight, b, leak=1.5, threshold=1.0)
    with pytest.raises(ValueError, match="state must have shape"):
        linear_lif(x, weight, b, state[:2], **NEURON)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        linear_lif(x, weight[:, :-1], b, **NEURON)  # of as many bytes as bits
    with pytest.raises(TypeError, match="surprise"):
        linear_lif(x, weight, b, surprise=1, **NEURON)


@pytest.mark.skipif(not ensure_native("cpu"), reason="needs the native kernel")
@pytest.mark.parametrize("recompute, most", [(False, 4.75), (True, 0.75)])
def test_spikes_are_kept_as_bits(recompute, most):
    """4 bytes of current, a bit of spike and a sixteenth of a membrane for each neuron and row."""
    x = (torch.rand(320, 8, 64) < 0.1).float().requires_grad_()
    weight, kept = torch.randn(64, 64, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t), t)[1], lambda t: t):
        linear_lif(x, weight, None, recompute=recompute, **NEURON)
    assert sum(t.nbytes for t in kept if t is not weight) < most * 320 * 8 * 64
