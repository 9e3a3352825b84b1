"""Numbers worked out on paper, so that the oracle itself is checked. All are exact in binary."""

import math

import pytest
import torch

from spikeseq.functional import SURROGATES, PiecewiseLinear, SpikeTime, lif, spike_of
from spikeseq.ops.reference import lif_reference

CURRENT = [0.75, 0.75, 0.75, 0.84375]
BY_HAND = {  # leak 0.5, threshold 1; the second sub-step fires
    # 0.5*1.125 + 0.75 - 1 = 0.3125; 0.5*0.3125 + 0.84375 = 1, which is not above 1
    "soft": ([0.75, 1.125, 0.3125, 1.0], [0, 1, 0, 0]),
    # 0.5*(1.125 - 1) + 0.75 = 0.8125; 0.5*0.8125 + 0.84375 = 1.25
    "soft_immediate": ([0.75, 1.125, 0.8125, 1.25], [0, 1, 0, 1]),
    # 0 + 0.75; 0.5*0.75 + 0.84375 = 1.21875
    "hard": ([0.75, 1.125, 0.75, 1.21875], [0, 1, 0, 1]),
}


@pytest.mark.parametrize("reset", BY_HAND)
def test_membranes_and_spikes(device, reset):
    membranes, spikes = BY_HAND[reset]
    current = torch.tensor(CURRENT, device=device).view(-1, 1)
    neuron = {"leak": 0.5, "threshold": 1.0, "reset": reset}
    assert lif(current, readout="membrane", **neuron)[0].flatten().tolist() == membranes
    out, state = lif(current, **neuron)
    assert out.flatten().tolist() == spikes and state.item() == membranes[-1]
    one, state_shape = torch.ones(1, device=device), (1, 1, 1)
    options = (1, 1, reset, "membrane", "piecewise_linear", 0.3, 1.0, False)
    oracle, _ = lif_reference(current, current.new_zeros(state_shape), 0.5 * one, one, None, *options)
    assert oracle.flatten().tolist() == membranes


# u[0] = 2, v = 1, I = 0.75, leak 0.5: 1 + 0.75 - 1, 0.5*(2 - 1) + 0.75, 0 + 0.75
@pytest.mark.parametrize("reset, membrane", [("soft", 0.75), ("soft_immediate", 1.25), ("hard", 0.75)])
def test_a_supplied_membrane_above_the_threshold_is_reset_without_a_spike(reset, membrane):
    current, state = torch.full((1, 1), 0.75), torch.full((1,), 2.0)
    out, after = lif(current, state, leak=0.5, threshold=1.0, reset=reset)
    assert after.item() == membrane
    assert out.item() == float(membrane > 1)  # its own spike, not the supplied one's


def test_an_integrate_and_fire_neuron_keeps_what_is_left_over_the_threshold():
    # Leak 1: u grows by 0.375 and loses 1 one sub-step after each spike.
    membrane, _ = lif(torch.full((6, 1), 0.375), leak=1.0, threshold=1.0, readout="membrane")
    assert membrane.flatten().tolist() == [0.375, 0.75, 1.125, 0.5, 0.875, 1.25]


def test_substeps_repeat_the_current():
    out, _ = lif(torch.tensor([[1.0], [0.0]]), leak=1.0, threshold=1.5, substeps=3)
    # u = 1, 2*, 1.5, 1.5, 1.5, 1.5: 1.5 is not above 1.5
    assert out.flatten().tolist() == [0, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("state, fired", [(0.75, 0), (1.5, 1)])
def test_the_thesis_gradient_with_the_temporal_path_cut(device, state, fired):
    """Thesis eq. 5.11-5.17, one sub-step; eq. 5.15 and 5.17 take u[t-1] and o[t-1] as constants.

    do/dI = s/v, do/dlambda = s*u[t-1]/v and do/dv = s*(-v*o[t-1] - u[t])/v^2,
    with s = 0.3*max(0, 1 - |u/v - 1|).
    """
    leak, v, current = 0.5, 1.25, 1.0
    u = leak * state + current - v * fired
    s = 0.3 * max(0.0, 1 - abs(u / v - 1))
    leaves = [torch.tensor([x], dtype=torch.float64, device=device, requires_grad=True) for x in (leak, v)]
    i = torch.tensor([[current]], dtype=torch.float64, device=device, requires_grad=True)
    out, _ = lif(
        i, torch.tensor([state], dtype=torch.float64, device=device), leak=leaves[0], threshold=leaves[1],
        detach_reset=True, surrogate=PiecewiseLinear(),
    )  # fmt: skip
    by_current, by_leak, by_threshold = torch.autograd.grad(out.sum(), (i, *leaves))
    assert s > 0
    assert by_current.item() == pytest.approx(s / v, abs=1e-15)
    assert by_leak.item() == pytest.approx(s * state / v, abs=1e-15)
    assert by_threshold.item() == pytest.approx(s * (-v * fired - u) / v**2, abs=1e-15)


def test_the_reset_path_by_hand():
    """Two sub-steps: u2 = leak*u1 + I2 - v*o1, so do2/dI1 = s2/v * (leak - v * s1/v)."""
    i = torch.tensor([[1.0], [1.0]], dtype=torch.float64, requires_grad=True)
    s1 = 0.3 * (1 - abs(1.0 / 1.25 - 1))
    s2 = 0.3 * (1 - abs(1.5 / 1.25 - 1))
    for detach, by_reset in ((False, s1), (True, 0.0)):
        out, _ = lif(i, leak=0.5, threshold=1.25, detach_reset=detach)
        assert out.flatten().tolist() == [0, 1]
        (grad,) = torch.autograd.grad(out[1].sum(), i)
        assert grad.flatten().tolist() == pytest.approx([s2 / 1.25 * (0.5 - by_reset), s2 / 1.25], abs=1e-15)


def test_spike_of_a_state():
    state = torch.tensor([[0.5, 1.0, 1.5]], requires_grad=True)
    threshold = torch.ones(1, requires_grad=True)
    spike = spike_of(state, threshold=threshold, surrogate=PiecewiseLinear())
    assert spike.tolist() == [[0, 0, 1]]
    by_state, by_threshold = torch.autograd.grad(spike.sum(), (state, threshold))
    assert by_state.flatten().tolist() == pytest.approx([0.15, 0.3, 0.15])
    assert by_threshold.item() == pytest.approx(-(0.15 * 0.5 + 0.3 * 1 + 0.15 * 1.5))


# Leak 0 and threshold 0.5: each sub-step fires by its own current alone, but for the reset of the one before.
SPIKE_TIMES = [
    # current, whether it fires, sub-steps since the last spike (none before the first: 1000 and those so far)
    (0.25, 0, 1001),
    (0.75, 1, 0),
    (0.25, 0, 1),  # u = -0.25
    (0.50, 0, 2),  # not above 0.5
    (1.25, 1, 0),
    (1.25, 1, 0),  # u = 0.75
    (0.25, 0, 1),
]


@pytest.mark.parametrize("height, width", [(0.3, 100.0), (2.0, 1.5)])
def test_spike_time_by_hand(device, height, width):
    """With leak 0 and the reset cut, do/dI at a sub-step is its own slope: height * exp(-dt / width) / v."""
    column = torch.tensor(SPIKE_TIMES, dtype=torch.float64, device=device).T.unsqueeze(2)
    current, spikes, since = column[0].clone().requires_grad_(), column[1], column[2]
    neuron = {"leak": 0.0, "threshold": 0.5, "surrogate": SpikeTime(height, width), "detach_reset": True}
    out, state = lif(current, **neuron)
    assert torch.equal(out, spikes) and state.flatten().tolist() == [-0.25, 1.0]
    (grad,) = torch.autograd.grad(out.sum(), current)
    expected = [height * math.exp(-dt / width) / 0.5 for dt in since.flatten().tolist()]
    assert grad.flatten().tolist() == pytest.approx(expected, rel=1e-12)

    outs, grads, state = [], [], None  # and with the state handed on after every sub-step
    for row in column[0].unsqueeze(1):
        row.requires_grad_()
        out, state = lif(row, state, **neuron)
        state = state.detach()
        outs.append(out)
        grads += torch.autograd.grad(out.sum(), row)
    assert torch.equal(torch.cat(outs), spikes) and torch.equal(torch.cat(grads), grad)


def test_spike_time_is_the_equation_of_the_thesis_at_threshold_one():
    current = torch.tensor([[2.0], [0.5], [0.5]], dtype=torch.float64, requires_grad=True)
    out, _ = lif(current, leak=0.0, threshold=1.0, surrogate=SpikeTime(), detach_reset=True)
    (grad,) = torch.autograd.grad(out.sum(), current)
    alpha, beta = 0.3, 0.01
    expected = [alpha, alpha * math.exp(-beta), alpha * math.exp(-2 * beta)]
    assert grad.flatten().tolist() == pytest.approx(expected, rel=1e-12)


def test_spike_time_starts_a_thousand_sub_steps_after_a_spike(device):
    current = torch.zeros(3, 2, 5, device=device)
    lengths = torch.tensor([3, 0], device=device)
    _, state = lif(current, leak=0.9, threshold=1.0, surrogate=SpikeTime(), substeps=2, lengths=lengths)
    assert state[1].tolist() == [[1006.0] * 5, [1000.0] * 5]  # past a sequence's end it stays


@pytest.mark.parametrize("surrogate", SURROGATES.values(), ids=SURROGATES)
def test_the_default_state_is_that_of_a_neuron_that_never_fired(surrogate):
    assert len(surrogate.memory_start) == surrogate.memory_planes
    current, neuron = torch.randn(4, 3, 5), {"leak": 0.9, "threshold": 0.5, "surrogate": surrogate()}
    start = torch.tensor([0.0, *surrogate.memory_start]).view(-1, 1, 1).repeat(1, 3, 5)
    given = start if surrogate.memory_planes else start[0]
    for a, b in zip(lif(current, **neuron), lif(current, given, **neuron), strict=True):
        assert torch.equal(a, b)


def test_spike_of_a_state_with_a_spike_time():
    state = torch.tensor([[[0.5, 1.5]], [[50.0, 0.0]]], requires_grad=True)  # membrane, dt
    spike = spike_of(state, threshold=torch.full((1,), 2.0), surrogate=SpikeTime())
    (grad,) = torch.autograd.grad(spike.sum(), state)
    assert spike.tolist() == [[0, 0]] and not grad[1].any()
    assert grad[0].flatten().tolist() == pytest.approx([0.15 * math.exp(-0.5), 0.15])
