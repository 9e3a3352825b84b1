"""LIF, LIFCell and Integrator as modules: parameters, bounds, state dicts."""

import math

import pytest
import torch

from spikeseq.functional import ApproximateLIF, FastSigmoid, SpikeTime, lif
from spikeseq.nn import LIF, Integrator, LIFCell, SpikingRNN, project_parameters
from spikeseq.nn.lif import SMALLEST_THRESHOLD
from spikeseq.spikes import again


def test_the_layer_is_the_function(device):
    layer = LIF(
        6,
        substeps=3,
        leak=0.8,
        threshold=0.9,
        reset="hard",
        surrogate=FastSigmoid(0.5, 2.0),
        detach_reset=True,
    ).to(device)
    current, lengths = torch.randn(7, 4, 6, device=device, requires_grad=True), torch.tensor([7, 0, 3, 1])
    same = {"leak": layer.leak, "threshold": layer.threshold, "reset": "hard", "lengths": lengths}
    same |= {"surrogate": FastSigmoid(0.5, 2.0), "detach_reset": True}
    for options in ({}, {"substeps": 2}, {"readout": "rate"}, {"readout": "membrane", "window": 1}):
        ours, theirs = (
            layer(current, lengths=lengths, **options),
            lif(current, **same, **{"substeps": 3, **options}),
        )
        for a, b in zip(ours, theirs, strict=True):
            assert torch.equal(a, b)
        grads = [
            torch.autograd.grad(o.sum() + s.sum(), [current, *layer.parameters()]) for o, s in (ours, theirs)
        ]
        assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_a_call_may_bring_its_leak(device):
    torch.manual_seed(0)
    layer = LIF(6, substeps=2, threshold=0.7, norm_input=True).to(device)
    current = torch.randn(7, 4, 6, device=device)
    lengths = torch.tensor([7, 0, 3, 1], device=device)
    for leak in (torch.rand(7, 4, 6, device=device), torch.rand(6, device=device), 0.3):
        ours = layer(current, leak=leak, lengths=lengths)
        neuron = {"leak": leak, "threshold": layer.threshold, "substeps": 2, "norm_input": True}
        theirs = lif(current, lengths=lengths, **neuron)
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
        ours[0].sum().backward()
        assert layer.leak.grad is None and layer.threshold.grad is not None
        spikes = again(layer, {"current": current, "leak": leak, "lengths": lengths}, "spikes")
        assert torch.equal(spikes, theirs[0])
    own = layer(current)
    assert all(torch.equal(a, b) for a, b in zip(own, layer(current, leak=layer.leak), strict=True))
    with pytest.raises(ValueError, match=r"leak must have shape .* or current's \(7, 4, 6\), got \(7, 4\)"):
        layer(current, leak=torch.ones(7, 4, device=device))
    with pytest.raises(TypeError, match=r"leak must be a number or a Tensor, got '0\.9'"):
        layer(current, leak="0.9")


@pytest.mark.parametrize("shape", [(4, 6), (5,), (3, 2, 4)], ids=str)
def test_a_cell_streams_leaks_of_tokens(device, shape):
    torch.manual_seed(0)
    cell = LIFCell(substeps=3, norm_input=True).to(device)
    current, leak = torch.randn(9, *shape, device=device), torch.rand(9, *shape, device=device)
    whole, final = lif(current, leak=leak, threshold=cell.threshold, substeps=3, norm_input=True)
    state, outs = None, []
    for row, decay in zip(current, leak, strict=True):
        assert torch.equal(
            again(cell, {"current": row, "leak": decay, "state": state}, "spikes"),
            cell(row, state, leak=decay)[0],
        )
        out, state = cell(row, state, leak=decay)
        outs.append(out)
    assert torch.equal(torch.cat(outs), whole) and torch.equal(state, final)


def test_spikes_of_half_precision_with_norm_input_are_counted_as_they_were(device):
    torch.manual_seed(0)
    layer = LIF(norm_input=True, leak=0.7, threshold=0.1).to(device).bfloat16()
    current = torch.randn(50, 8, 32, device=device).bfloat16()
    assert torch.equal(again(layer, {"current": current}, "spikes").bfloat16(), layer(current)[0])


@pytest.mark.parametrize("options", [{}, {"recurrent": True}], ids=str)
def test_layers_of_norm_input_start_as_those_without(options):
    outs = []
    for norm_input in (False, True):
        torch.manual_seed(0)
        model = SpikingRNN(
            3, 5, num_layers=2, leak=0.8, norm_input=norm_input, dtype=torch.float64, **options
        )
        torch.manual_seed(1)
        outs.append(model(torch.randn(9, 2, 3, dtype=torch.float64))[0])
    torch.testing.assert_close(*outs)


def test_layers_of_norm_input(device):
    """No fused way forgets it; layers pickled before there was one have none."""
    torch.manual_seed(0)
    for options in ({}, {"recurrent": True}, {"norm": "layer"}):
        model = SpikingRNN(3, 5, num_layers=2, norm_input=True, dtype=torch.float64, **options).to(device)
        x = torch.randn(6, 2, 3, dtype=torch.float64, device=device)
        with torch.no_grad():
            fast = model(x)
            for layer in model.layers:  # watched layers are called part by part
                layer.lif.register_forward_hook(lambda *_: None)
            parts = model(x)
            for layer in model.layers:
                layer.lif.norm_input = False
            without = model(x)
        for a, b, c in zip(fast, parts, without, strict=True):
            torch.testing.assert_close(a, b)
            assert not torch.equal(a, c)
    old = LIF()
    del old.norm_input
    current = torch.randn(4, 2, 3)
    assert torch.equal(old(current)[0], LIF()(current)[0])


def test_what_is_trained():
    assert [tuple(p.shape) for p in LIF().parameters()] == [(1,), (1,)]
    assert [tuple(p.shape) for p in LIF(5).parameters()] == [(5,), (5,)]
    fixed = LIF(learn_leak=False, learn_threshold=False)
    assert not list(fixed.parameters()) and set(fixed.state_dict()) == {"leak", "threshold"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("leak, threshold", [(1.7, -3.0), (-0.2, -6e4), (6e4, 0.0), (-1e4, -0.7)])
def test_a_parameter_past_its_bound_works_as_the_bound_and_can_come_back(device, dtype, leak, threshold):
    layer = LIF(dtype=dtype, device=device)
    with torch.no_grad():
        layer.leak.fill_(leak)
        layer.threshold.fill_(threshold)
    neuron = layer.neuron()
    assert neuron.leak.item() == min(1.0, max(0.0, leak))
    assert neuron.threshold.item() == torch.tensor(SMALLEST_THRESHOLD, dtype=dtype).item()
    out, state = layer(torch.randn(4, 3, device=device, dtype=dtype))
    (out.sum() + state.sum()).backward()
    assert layer.leak.grad.isfinite().all() and (layer.leak.grad != 0).all()
    saved = layer.state_dict()
    LIF(dtype=dtype).load_state_dict(saved)  # what is saved can be loaded
    project_parameters(torch.nn.ModuleList([layer]))
    assert layer.leak.item() == neuron.leak.item() == saved["leak"].item()
    assert layer.threshold.item() == neuron.threshold.item() == saved["threshold"].item()


@pytest.mark.parametrize("key, value", [
    ("leak", 2.0), ("leak", -0.1), ("leak", math.nan), ("threshold", -1.0), ("threshold", 0.0),
    ("threshold", math.nan), ("threshold", math.inf),
])  # fmt: skip
def test_a_state_dict_out_of_bounds_is_refused_by_its_key(key, value):
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), SpikingRNN(3, 4, num_layers=2, per_channel=True))
    state = model.state_dict()
    state[f"1.layers.1.lif.{key}"][2] = value
    with pytest.raises(ValueError, match=rf"1\.layers\.1\.lif\.{key}: {key} must .*, got {value}"):
        model.load_state_dict(state)


def test_training_with_a_wild_optimiser_never_raises():
    torch.manual_seed(0)
    model = SpikingRNN(4, 8, num_layers=2, leak=0.99, threshold=0.2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.5)
    pushed = False
    for _ in range(25):
        out, state = model(torch.randn(6, 3, 4))
        loss = -out.square().mean() - state.mean() - sum(layer.lif.leak.sum() for layer in model.layers)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        pushed = pushed or any(layer.lif.leak.item() > 1 for layer in model.layers)
    assert pushed
    project_parameters(model)
    assert all(
        0 <= layer.lif.leak <= 1 and layer.lif.threshold >= SMALLEST_THRESHOLD for layer in model.layers
    )


@pytest.mark.parametrize(
    "surrogate, planes",
    [(None, 1), (ApproximateLIF(), 3), (SpikeTime(), 2)],
    ids=["plain", "memory", "memory of one"],
)
def test_the_cell_streams(surrogate, planes):
    cell = LIFCell(5, substeps=2, surrogate=surrogate)
    spikes, state = cell(torch.randn(3, 5))
    assert spikes.shape == (2, 3, 5) and state.shape == ((3, 5) if planes == 1 else (planes, 3, 5))
    for readout in ("rate", "membrane"):
        out, state = cell(torch.randn(3, 5), state, readout=readout)
        assert out.shape == (3, 5)


@pytest.mark.parametrize("substeps", [1, 3])
def test_the_integrator_is_a_cumulative_sum(device, substeps):
    layer = Integrator(substeps)
    current = torch.randn(9, 4, 5, dtype=torch.float64, device=device, requires_grad=True)
    start = torch.randn(4, 5, dtype=torch.float64, device=device, requires_grad=True)
    out, state = layer(current, start)
    expected = start + substeps * current.cumsum(0)
    torch.testing.assert_close(out, expected)
    assert torch.equal(out[-1], state)
    grad = 1e3 * torch.randn_like(out)  # far above 1: nothing may be scaled by the unreachable threshold
    ours = torch.autograd.grad(out, (current, start), grad)
    torch.testing.assert_close(ours, torch.autograd.grad(expected, (current, start), grad))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_integrators_gradient_is_finite_in_every_dtype(device, dtype):
    current = torch.randn(9, 4, 5, device=device).to(dtype).requires_grad_()
    out, state = Integrator(2)(current)
    grad = torch.full_like(out, 16.0)
    (found,) = torch.autograd.grad((out, state), current, (grad, torch.zeros_like(state)))
    steps = torch.arange(9, 0, -1, device=device).view(-1, 1, 1)
    assert torch.equal(found, (2 * 16 * steps).to(dtype).expand_as(found))


def test_the_integrator_in_chunks_and_with_lengths():
    layer, current = Integrator(2), torch.randn(9, 4, 5)
    whole, final = layer(current)
    first, state = layer(current[:4])
    second, state = layer(current[4:], state)
    assert torch.equal(torch.cat((first, second)), whole) and torch.equal(state, final)
    lengths = torch.tensor([9, 4, 0, 1])
    out, state = layer(current, lengths=lengths)
    for b, n in enumerate(lengths.tolist()):
        assert torch.equal(out[:n, b], whole[:n, b]) and not out[n:, b].any()
        assert torch.equal(state[b], whole[n - 1, b] if n else torch.zeros(5))


def test_repr_names_what_matters():
    assert "norm_input=True" in repr(LIF(norm_input=True))
    assert repr(LIF(leak=0.9, substeps=4)) == "LIF(leak=0.9, threshold=1, substeps=4, reset='soft')"
    assert "per channel" in repr(LIF(3)) and repr(Integrator(2)) == "Integrator(substeps=2)"
