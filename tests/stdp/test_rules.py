"""Rules against their formulas, pair by pair."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spikeseq.stdp import POWER_LAW, PairOfTraces, PowerLaw, Switching
from spikeseq.stdp.rules import power

W = st.floats(0, 1, width=32)
TIMES = st.integers(0, 200)


@pytest.mark.parametrize("name", POWER_LAW)
@given(w=W, gap=TIMES)
def test_power_law_is_equation_3_3(name, w, gap):
    rule = POWER_LAW[name]
    wanted = w + rule.rate * (math.exp(-gap / rule.time) - rule.offset) * (rule.most - w) ** rule.exponent
    found = rule.pair(torch.tensor([w]), torch.tensor(10.0), torch.tensor(10.0 + gap))
    assert float(found) == pytest.approx(min(max(wanted, 0), rule.most), abs=1e-6)


@given(w=W, gap=TIMES)
def test_the_trace_form_is_the_same(w, gap):
    rule = PowerLaw(rate=0.05)
    trace = torch.tensor(rule.traces(1.0, 200)[0])[gap]
    pair = rule.pair(torch.tensor([w]), torch.tensor(0.0), torch.tensor(float(gap)))
    assert torch.allclose(rule.behind(torch.tensor([w]), trace), pair, atol=1e-6)


def test_table_3_1():
    assert [(r.rate, r.time, r.offset, r.most, r.exponent) for r in POWER_LAW.values()] == [
        (0.0005, 20.0, 0.4, 1.0, 0.9), (0.00003, 15.0, 0.4, 1.0, 0.9), (0.001, 30.0, 0.4, 1.0, 0.9),
    ]  # fmt: skip


@given(x=st.just(0.0) | st.floats(2.0**-90, 1, width=32), p=st.floats(0.1, 3))
def test_power(x, p):
    assert float(power(torch.tensor([x]), p)) == pytest.approx(x**p, rel=2e-6, abs=1e-6)


@given(w=W, before=TIMES, behind=TIMES, earlier=TIMES)
def test_pair_of_traces(w, before, behind, earlier):
    rule = PairOfTraces(rate_before=0.02, rate_behind=0.1)
    fast, trace, slow = (torch.tensor(table) for table in rule.traces(1.0, 200))
    x = torch.tensor([w])
    assert float(rule.before(x, trace[behind])) == pytest.approx(
        max(w - 0.02 * math.exp(-behind / 20), 0), abs=1e-6
    )
    wanted = w + 0.1 * math.exp(-before / 20) * math.exp(-earlier / 40)
    assert float(rule.behind(x, fast[before], slow[earlier])) == pytest.approx(min(wanted, 1), abs=1e-6)


def test_switching_switches_with_its_probabilities():
    rule, n = Switching(on=0.4, off=0.1, window=20.0), 40_000
    drawn = torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    trace = torch.tensor(rule.traces(1.0, 50)[0])
    for gap, start, wanted in [
        (0, 0.0, 0.4),
        (10, 0.0, 0.4 * math.exp(-0.5)),
        (21, 1.0, 0.9),
        (21, 0.0, 0),
        (5, 1.0, 1),
    ]:
        after = rule.behind(torch.full((n,), start), trace[gap].expand(n), None, drawn)
        assert set(after.unique().tolist()) <= {0.0, 1.0}
        assert float(after.mean()) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: PairOfTraces(most=0), "most must be a positive number, got 0"),
        (lambda: PairOfTraces(rate_behind=-1), "rate_behind must be 0 or a positive number, got -1"),
        (lambda: PowerLaw(time=0), "time must be a positive number, got 0"),
        (lambda: PowerLaw(exponent=float("nan")), "exponent must be a positive number, got nan"),
        (lambda: Switching(on=1.5), r"on must lie in \[0, 1\], got 1.5"),
    ],
)
def test_bad_rules(make, message):
    with pytest.raises(ValueError, match=message):
        make()
