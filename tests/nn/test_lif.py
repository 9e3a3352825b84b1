"""LIF, LIFCell and Integrator as modules: parameters, bounds, state dicts."""

import math

import pytest
import torch

from spikeseq.functional import ApproximateLIF, FastSigmoid, SpikeTime, lif
from spikeseq.nn import LIF, Integrator, LIFCell, SpikingRNN, project_parameters
from spikeseq.nn.lif import SMALLEST_THRESHOLD


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
    assert repr(LIF(leak=0.9, substeps=4)) == "LIF(leak=0.9, threshold=1, substeps=4, reset='soft')"
    assert "per channel" in repr(LIF(3)) and repr(Integrator(2)) == "Integrator(substeps=2)"
