"""The native loop gives what the oracle gives, bit for bit, for every rule, connected and in batches."""

import pytest
import torch

import spikeseq
from spikeseq.stdp import Cross, Ensemble, Learnt, Network, PairOfTraces, PowerLaw, Presentation, Switching
from spikeseq.stdp.showing import _native, _plain

spikeseq.build("cpu")
RULES = [
    PairOfTraces(rate_before=0.01, rate_behind=0.3),
    PowerLaw(rate=0.05),
    Switching(on=0.5, off=0.2),
]
RATES = torch.Generator().manual_seed(0)
STILL = torch.rand(5, 20, generator=RATES) * 200 * (torch.rand(5, 20, generator=RATES) < 0.5)
STILL[2] = 0
MOVING = torch.rand(5, 7, 13, generator=RATES) * 300


def connected(rule):
    return Network(
        [
            Ensemble(20, 6, rule, total=10.0, start=0.9, from_partner=17.0, threshold_time=1e4),
            Ensemble(13, 9, rule, total=0.0, start=0.5),
        ],
        [Cross(0, 1, rule, share=0.5, start=0.3), Cross(1, 0, rule, share=0.5, start=0.3)],
        presentation=Presentation(time=80.0, rest=20.0, repeats=2, boost=0.7),
        seed=3,
    )


def shown(way, net, rates, batch, first=5):
    mine = net.learnt()
    learnt = Learnt([w.clone() for w in mine.weights], mine.possible, [t.clone() for t in mine.thetas])
    counts = [torch.zeros((len(rates[0]), len(t)), dtype=torch.int32) for t in learnt.thetas]
    noted = torch.zeros((len(rates[0]), 2), dtype=torch.int64)
    way(net.plan, learnt, net._rates(rates), counts, noted, first, batch)
    return [*learnt.weights, *learnt.thetas, *counts, noted]


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_native_is_the_oracle(rule, batch):
    net = connected(rule)
    native, plain = (shown(way, net, (STILL, MOVING), batch) for way in (_native, _plain))
    assert all(map(torch.equal, native, plain))
    before = [*net.learnt().weights, *net.learnt().thetas]
    moved = [not torch.equal(a, b) for a, b in zip(native, before, strict=False)]
    assert all(moved) if batch else not any(moved)
    assert native[-3].sum() > 5 and native[-2].sum() > 5 and native[-1][:, 0].max() > 1  # fires, and repeats


def test_smaller_steps_and_other_cells():
    net = Network(
        Ensemble(20, 11, threshold_step=1.0), presentation=Presentation(time=40.0, dt=0.5, least=2, repeats=3)
    )
    native, plain = (shown(way, net, (STILL * 3,), 1) for way in (_native, _plain))
    assert all(map(torch.equal, native, plain)) and native[2].sum() > 0


@pytest.mark.parametrize("batch", [0, 1, 3])
def test_any_number_of_threads(batch):
    net, before = connected(RULES[0]), torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = shown(_native, net, (STILL, MOVING), batch)
        torch.set_num_threads(4)
        assert all(map(torch.equal, one, shown(_native, net, (STILL, MOVING), batch)))
    finally:
        torch.set_num_threads(before)


def test_the_op_checks_what_it_is_given():
    net = connected(RULES[0])
    good = net.learnt()

    def call(message, error=ValueError, **changes):
        learnt = good._replace(**{k: v for k, v in changes.items() if k in good._fields})
        rates = changes.get("rates", net._rates((STILL, MOVING)))
        counts = changes.get("counts", [torch.zeros(5, 6).int(), torch.zeros(5, 9).int()])
        plan = changes.get("plan", net.plan)
        with pytest.raises(error, match=message):
            _native(plan, learnt, rates, counts, torch.zeros(5, 2, dtype=torch.int64), 0, 1)

    call("thetas must be float32", TypeError, thetas=[t.double() for t in good.thetas])
    swapped = {k: [*v[:2], v[3], v[2]] for k, v in good._asdict().items() if k != "thetas"}
    call("weights of connection 2 must be", **swapped)
    call("weights", weights=[w.t() for w in good.weights])
    call("one a connection", possible=good.possible[:2])
    call("counts", counts=[torch.zeros(5, 6).int(), torch.zeros(4, 9).int()])
    call("rates", rates=net._rates((STILL, MOVING))[:1])
    call("constants do not describe", plan=Network(Ensemble(20, 6)).plan)
