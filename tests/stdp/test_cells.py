"""Neurons in steps against a fine integration of their differential equations."""

import math

import pytest
import torch

from spikeseq.stdp import EXCITATORY, INHIBITORY, Cell


def fine(cell, arrivals, time, dt=0.001):
    """Potentials at whole ms by small explicit steps of eq. 3.1 and 3.2. arrivals: ms -> (g_e, g_i)."""
    v, g_e, g_i, found = cell.rest, 0.0, 0.0, []
    for k in range(round(time / dt)):
        if k % round(1 / dt) == 0:
            more = arrivals.get(k * dt // 1, (0, 0))
            g_e, g_i = g_e + more[0], g_i + more[1]
        v += (
            dt
            / cell.time_constant
            * (cell.rest - v + g_e * (cell.excitatory - v) + g_i * (cell.inhibitory - v))
        )
        g_e -= dt / cell.excitatory_time * g_e
        g_i -= dt / cell.inhibitory_time * g_i
        if (k + 1) % round(1 / dt) == 0:
            found.append(v)
    return torch.tensor(found)


def stepped(cell, arrivals, time, dt):
    step, v, g_e, g_i, found = cell.step(dt), *torch.zeros(3, 1), []
    per_ms = round(1 / dt)
    for k in range(time * per_ms):
        if k % per_ms == 0:
            more = arrivals.get(k // per_ms, (0, 0))
            g_e, g_i = g_e + more[0], g_i + more[1]
        v = step.move(v, g_e, g_i)
        g_e, g_i = g_e * step.keep_e, g_i * step.keep_i
        if (k + 1) % per_ms == 0:
            found.append(float(v) + cell.rest)
    return torch.tensor(found)


ARRIVALS = {2: (0.8, 0), 5: (0.3, 0), 9: (0, 2.0), 11: (0.5, 0), 20: (0, 17.0), 25: (1.0, 0)}


# A partner's membrane is fast beside a step of 1 ms, so that it is met less closely.
@pytest.mark.parametrize(
    "cell, share", [(EXCITATORY, 0.05), (INHIBITORY, 0.2)], ids=["excitatory", "inhibitory"]
)
def test_steps_come_near_the_differential_equations(cell, share):
    exact = fine(cell, ARRIVALS, 40)
    errors = [float((stepped(cell, ARRIVALS, 40, dt) - exact).abs().max()) for dt in (1.0, 0.5, 0.25)]
    swing = float(exact.max() - exact.min())
    assert errors[0] < share * swing and errors[0] > 1.5 * errors[1] > 2 * errors[2]


def test_many_inhibitory_spikes_at_once_are_stable():
    """Explicit steps overshoot the equilibrium potential here."""
    step = EXCITATORY.step(1.0)
    v, g_i = torch.zeros(1), torch.tensor([40.0 * 400])
    for _ in range(30):
        v, g_i = step.move(v, torch.zeros(1), g_i), g_i * step.keep_i
        assert step.inhibit <= float(v) <= 0


def test_one_spike_makes_a_partner_fire():
    step = INHIBITORY.step(1.0)
    assert float(step.move(torch.zeros(1), torch.tensor([10.4]), torch.zeros(1))) > step.threshold


@pytest.mark.parametrize(
    "change, message",
    [
        ({"time_constant": 0}, "time_constant must be a positive number, got 0"),
        ({"reset": 0.0}, "reset must be below threshold -52.0, got 0.0"),
        ({"refractory": -1}, "refractory must be 0 or a positive number, got -1"),
        ({"excitatory_time": math.nan}, "excitatory_time must be a positive number, got nan"),
    ],
)
def test_bad_cells(change, message):
    with pytest.raises(ValueError, match=message):
        Cell(**{**vars(EXCITATORY), **change})
