"""The module: what it learns, keeps, and refuses."""

import copy
import math
from dataclasses import replace

import pytest
import torch

import spikeseq
from spikeseq.stdp import EXCITATORY, Cross, Ensemble, Network, PairOfTraces, Presentation

QUICK = Presentation(time=100.0, rest=50.0, repeats=5)


def two_patterns(n, seed=0):
    """Rates of 16 inputs: either half of them is busy."""
    g = torch.Generator().manual_seed(seed)
    targets = torch.randint(0, 2, (n,), generator=g)
    rates = torch.rand(n, 16, generator=g) * 10
    for k in (0, 1):
        rates[targets == k, 8 * k : 8 * k + 8] += 90
    return rates, targets


def learner(**changes):
    kind = Ensemble(16, 4, PairOfTraces(rate_behind=0.05), total=4.0, threshold_time=1e5)
    return Network(kind, presentation=QUICK, **changes)


def test_thresholds_settle_while_no_weight_moves():
    net = learner()
    rates, _ = two_patterns(200)
    net(rates)
    net.weight0.mul_(torch.tensor([1.0, 1.5, 1.5, 0.7]))  # a weight may lie above the rule's largest
    weight, theta = net.weight0.clone(), net.theta0.clone()
    uneven = net.eval()(rates).counts.sum(0).float()
    shown = net.settle(rates)
    assert torch.equal(net.weight0, weight) and not torch.equal(net.theta0, theta)
    assert int(net.seen) == 400 and shown.counts.shape == (200, 4)
    even = net(rates).counts.sum(0).float()
    assert even.std() / even.mean() < uneven.std() / uneven.mean()


def test_thresholds_of_many_neurons_settle_within_as_many_examples():
    few, more, many = (Ensemble(4, n) for n in (100, 400, 1600))
    assert (few.theta_step, more.theta_step, many.theta_step) == (0.05, 0.05, 0.2)
    assert (few.decay_time, more.decay_time, many.decay_time) == (2e6, 8e6, 8e6)


def test_another_rule_is_followed_from_then_on():
    rates, _ = two_patterns(40)
    nets = learner(), learner()
    for net in nets:
        net(rates[:20])
    before = nets[0].weight0.clone()
    nets[0].follow(PairOfTraces(rate_before=0.0, rate_behind=0.0))
    for net in nets:
        net(rates[20:])
    assert torch.allclose(nets[0].weight0, before, atol=1e-5) and not torch.allclose(
        nets[1].weight0, before, atol=0.01
    )
    assert nets[0].plan.ensembles[0].sum == 4.0 and nets[0].theta0.max() > 0


def test_thresholds_follow_another_step_from_then_on():
    rates, _ = two_patterns(20)
    net = learner()
    net.follow(PairOfTraces(), threshold_step=0.0)
    net(rates)
    kind = net.plan.ensembles[0]
    assert not net.theta0.any() and (kind.theta_step, kind.decay_time) == (0.0, 1e5)
    with pytest.raises(ValueError, match="threshold_time must be a positive number, got 0"):
        net.follow(PairOfTraces(), threshold_time=0.0)


def test_neurons_come_to_stand_for_patterns():
    net = learner()
    rates, targets = two_patterns(300)
    net(rates)
    counts = net.eval()(rates).counts
    votes = spikeseq.stdp.Votes.fit(counts, targets, 2)
    fresh, wanted = two_patterns(60, seed=1)
    assert (votes.predict(net(fresh, first=1000).counts) == wanted).float().mean() > 0.9
    halves = torch.stack([net.weight0[:8].sum(0), net.weight0[8:].sum(0)])
    assert float((halves.max(0).values / halves.sum(0)).mean()) > 0.6


def test_weights_keep_their_sum_and_bounds():
    net = learner()
    net(two_patterns(40)[0])
    assert torch.allclose(net.weight0.sum(0), torch.full((4,), 4.0), atol=1e-4)
    assert float(net.weight0.min()) >= 0 and float(net.weight0.max()) <= 1


def test_parts_saved_and_loaded_are_the_whole():
    rates = two_patterns(30)[0]
    whole, part = learner(), learner()
    seen = [whole(rates).counts]
    parts = [part(rates[:11]).counts]
    loaded = learner()
    loaded.load_state_dict(copy.deepcopy(part.state_dict()))
    parts.append(loaded(rates[11:]).counts)
    assert torch.equal(seen[0], torch.cat(parts))
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    whole.eval()
    again = torch.cat([whole(rates[:7]).counts, whole(rates[7:], first=7).counts])
    assert torch.equal(whole(rates).counts, again) and int(whole.seen) == 30


def test_evaluation_changes_nothing_and_a_seed_changes_all():
    rates = two_patterns(5)[0]
    net = learner().eval()
    before = copy.deepcopy(net.state_dict())
    net(rates)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert not torch.equal(learner(seed=1).weight0, net.weight0)
    assert not torch.equal(net(rates, first=50).counts, net(rates).counts)


def test_other_inhibition_in_evaluation():
    kind = Ensemble(16, 8, start=0.9, total=8.0)
    less = replace(kind, recall_partner=0.0)
    rates, _ = two_patterns(20)
    nets = [Network(one, presentation=QUICK) for one in (kind, less, replace(kind, from_partner=0.0))]
    assert torch.equal(nets[0](rates).counts, nets[1](rates).counts)  # not while they learn
    nets[2].load_state_dict(nets[0].state_dict())
    found = [net.eval()(rates).counts for net in nets]
    assert torch.equal(found[1], found[2]) and found[1].sum() > found[0].sum()


def test_silence_is_shown_once_and_what_cannot_fire_ends():
    net = learner()
    shown = net(torch.zeros(1, 16))
    assert shown.times.tolist() == [1] and shown.inputs.tolist() == [0] and not shown.counts.any()
    shown = net(torch.cat([torch.full((1, 1), 0.1), torch.zeros(1, 15)], 1))
    assert shown.times.tolist() == [QUICK.repeats + 1]


def test_batches_learn_too():
    net = learner()
    rates, targets = two_patterns(160)
    net(rates, batch=8)
    counts = net.eval()(rates).counts
    assert (spikeseq.stdp.Votes.fit(counts, targets, 2).predict(counts) == targets).float().mean() > 0.9


def test_cross_connections_excite():
    """An ensemble without input fires through what comes from another one."""
    kinds = [Ensemble(16, 4, total=4.0), Ensemble(5, 3, excitatory=replace(EXCITATORY, threshold=-64.5))]
    net = Network(kinds, [Cross(0, 1, start=1.0)], presentation=QUICK).eval()
    busy = torch.full((2, 16), 150.0)
    first, second = net.split(net(busy, torch.zeros(2, 5)).counts)
    assert first.any() and second.any()
    net.cross0.zero_()
    assert not net.split(net(busy, torch.zeros(2, 5)).counts)[1].any()


def test_compiled_and_traced():
    net, rates = learner().eval(), two_patterns(2)[0]
    assert torch.equal(torch.compile(net, backend="eager")(rates).counts, net(rates).counts)
    with pytest.raises(RuntimeError, match=r"cannot be traced by torch\.jit"):
        torch.jit.trace(net, (rates,))


def test_pruned_synapses_stay_at_zero():
    net = learner()
    kept = spikeseq.stdp.strongest(net.weight0, 0.5)
    net.prune(kept)
    fired = net(two_patterns(40)[0]).counts.any(0)
    assert not net.weight0[~kept].any() and (net.weight0[kept] > 0).any() and fired.any()
    assert torch.allclose(net.weight0.sum(0)[fired], torch.tensor(4.0), atol=1e-4)
    with pytest.raises(ValueError, match="this leaves none of the 64 synapses of weight0; prune less"):
        net.prune(spikeseq.stdp.critical(net.weight0, 1.0))
    with pytest.raises(ValueError, match=r"must be \(16, 4\) bool, got \(4, 16\) torch.bool"):
        net.prune(kept.T)


@pytest.mark.parametrize(
    "rates, message",
    [
        ((), "there are 1 ensembles, each takes rates, got 0"),
        ((torch.zeros(2, 15),), r"rates of ensemble 0 must be \(N, 16\) or \(N, frames, 16\), got \(2, 15\)"),
        ((torch.full((2, 16), 1001.0),), r"must lie in \[0, 1000\] Hz, one spike a step, got 1001 to 1001"),
        ((torch.full((2, 16), -1.0),), "must lie in"),
        ((torch.full((2, 16), torch.nan),), "must lie in"),
        ((torch.zeros(2, 0, 16),), "must have 1 to 100 frames, got 0"),
        ((torch.zeros(2, 101, 16),), "must have 1 to 100 frames, got 101"),
        ((torch.zeros(2, 16, device="meta"),), "must be on the CPU, got meta"),
    ],
)
def test_bad_rates(rates, message):
    net = learner()
    before = copy.deepcopy(net.state_dict())
    with pytest.raises(ValueError, match=message):
        net(*rates)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Ensemble(0, 4), "inputs must be at least 1, got 0"),
        (lambda: Ensemble(4, 4, total=5.0), "total must be at most 4, inputs times .*, got 5.0"),
        (lambda: Ensemble(4, 4, start=2.0), r"start must lie in \(0, 1.0\], the largest weight, got 2.0"),
        (lambda: Ensemble(4, 4, from_partner=-1), "from_partner must be 0 or a positive number, got -1"),
        (lambda: Ensemble(4, 4, recall_partner=-1.0), "recall_partner must be 0 or a positive .*, got -1.0"),
        (lambda: Ensemble(4, 4, threshold_time=0.0), "threshold_time must be a positive number, got 0.0"),
        (lambda: Cross(0, 0), "a cross connection leads to another ensemble, got 0 twice"),
        (lambda: Cross(0, 1, share=2.0), r"share must lie in \[0, 1\], got 2.0"),
        (lambda: Network(Ensemble(4, 4), [Cross(0, 1)]), "target of .* is ensemble 1, there are 1"),
        (lambda: Network([]), "a network has at least one ensemble, got none"),
        (lambda: Presentation(time=0.2), "time must be at least a step of 1.0 ms, got 0.2"),
        (lambda: learner()(torch.zeros(1, 16), batch=0), "batch must be at least 1, got 0"),
        (lambda: Network([Ensemble(4, 4)] * 2)(torch.zeros(1, 4), torch.zeros(2, 4)),
         r"ensembles are shown as many examples each, got \[1, 2\]"),
    ],
)  # fmt: skip
def test_bad_networks(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda net, rates: net(rates.to_sparse()), "rates of ensemble 0 must be dense, got layout"),
        (lambda net, rates: net(rates, batch="a"), "batch must be an int, got 'a'"),
        (lambda net, rates: net(rates, batch=1.5), "batch must be an int, got 1.5"),
        (lambda net, rates: net(rates, first=1.5), "first must be an int, got 1.5"),
        (
            lambda net, rates: net.half()(rates),
            "weight0 must be torch.float32 on the CPU, got torch.float16",
        ),
        (
            lambda net, rates: net.to("meta")(rates),
            "weight0 must be torch.float32 on the CPU, got .* on meta",
        ),
    ],
)
def test_what_is_of_another_type_is_named(call, message):
    with pytest.raises(TypeError, match=message):
        call(learner(), torch.zeros(2, 16))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("weight0", -0.1, r"weight0 must lie in \[0, 1\], got -0.1 to"),
        ("weight0", 1.5, r"weight0 must lie in \[0, 1\], got 0\S* to 1.5"),
        ("weight0", math.nan, r"weight0 must lie in \[0, 1\], got nan to nan"),
        ("cross0", 1.5, r"cross0 must lie in \[0, 1\], got 0 to 1.5"),
        ("cross0", 0.5, "cross0 must be 0 where cross0_possible is: there is no synapse"),
        ("theta1", math.inf, "theta1 must be finite"),
    ],
)
def test_what_cannot_have_been_learnt(name, value, message):
    net = Network([Ensemble(4, 4, total=0.0)] * 2, [Cross(0, 1, share=0.0)])
    net.get_parameter(name).flatten()[0] = value
    before = {key: one.clone() for key, one in net.state_dict().items()}
    for mode in (True, False):
        with pytest.raises(ValueError, match=message):
            net.train(mode)(torch.zeros(1, 4), torch.zeros(1, 4))
    assert all(torch.equal(before[key], one) for key, one in net.state_dict().items() if key != name)
