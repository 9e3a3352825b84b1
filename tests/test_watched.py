"""monitor, energy counts, gradient norms, reports: what else happens to a model changes nothing of theirs."""

import copy
import io
import pickle
import sys
from threading import Thread

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from spikeseq.evaluation.energy.measure import measure_energy
from spikeseq.evaluation.gradients import gradient_norms
from spikeseq.evaluation.report.content import Watch
from spikeseq.events import compile_events
from spikeseq.fold import fold_embeddings
from spikeseq.monitor import monitor
from spikeseq.nn import (
    LIF,
    LIFCell,
    NormalisedLIF,
    SpikingActivation,
    SpikingNetwork,
    SpikingRNN,
    run_in_chunks,
)
from spikeseq.swap import swap
from spikeseq.watch import Watcher, watched

X = torch.linspace(-1, 2, 6).view(2, 3)


class Recurrent(nn.Module):
    """In chunks of itself; the ReLU is for gradient norms."""

    def __init__(self):
        super().__init__()
        self.rnn, self.relu = SpikingRNN(3, 4, num_layers=2), nn.ReLU()

    def forward(self, x):
        return run_in_chunks(self.rnn, self.relu(x).expand(4, 2, 3), size=2)[0][-1]


def image_network():
    torch.manual_seed(0)
    maps = nn.Linear(3, 4), nn.Linear(4, 2)
    return SpikingNetwork(nn.Sequential(maps[0], SpikingActivation(), maps[1]), substeps=4)


class Host(nn.Module):
    """Runs a network with gradients, in some way, and lets something happen in the middle of its forward."""

    def __init__(self, network, route, happens, backward=False):
        super().__init__()
        self.network, self.route, self.happens, self.backward = network, route, happens, backward

    def forward(self, x):
        self.happens(self.network)
        with torch.enable_grad():
            out = self.route(self.network, x.clone().requires_grad_())
            if self.backward:
                out.sum().backward(retain_graph=True)
        self.happens(self.network)
        return out


def by_monitor(host):
    with monitor(host, penalty=True) as watch:
        host(X)
        return watch.rates(), watch.silent(), watch.penalty().item()


def by_energy(host):
    """Of its layers. What the host does by itself, a backward pass or the products of a copy, is its own."""
    layers = measure_energy(host, [(X,)], tokens=1)["layers"]
    return {name: counts for name, counts in layers.items() if name}


def by_gradients(host):
    return gradient_norms(host, X, torch.tensor([0, 1]))


def by_report(host):
    with Watch(host) as watch:
        host(X)
    return {name: [spikes.tolist() for spikes in calls] for name, calls in watch.seen.items()}


LOOKS = {"monitor": by_monitor, "energy": by_energy, "gradients": by_gradients, "report": by_report}

ROUTES = {  # cases 2.1, 2.2
    "plain": lambda network, x: network(x),
    "checkpoint": lambda network, x: checkpoint(network, x, use_reentrant=False),
    "reentrant": lambda network, x: checkpoint(network, x, use_reentrant=True),
    "chunk=": lambda network, x: network(x, chunk=2),
    "run_in_chunks": lambda network, x: network(x),
}


def nothing(network):
    pass


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("route", ROUTES)
def test_recomputation_is_not_watched(look, route):
    if (look, route) in {("gradients", "reentrant"), ("monitor", "reentrant")}:
        pytest.skip("torch has no graph of what it checkpoints so")
    network = Recurrent() if route == "run_in_chunks" else image_network()
    once, again = (LOOKS[look](Host(network, ROUTES[route], nothing, backward)) for backward in (False, True))
    assert again == once and once


def saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def copied(how):
    def happens(network):
        twin = how(network)
        assert not any(watched(module) for module in twin.modules())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in twin.modules())
        twin(X)

    return happens


def failing(network):
    with pytest.raises(RuntimeError):
        network.network[0](X[:, :2])


def replaced(network):
    old = network.network[0]
    network.network[0] = nn.Linear(3, 4)
    network.network.append(nn.ReLU())
    network.network[0](X)
    network.network[0] = old
    del network.network[-1]


def stored(network):
    image_network().load_state_dict(network.state_dict())
    assert set(network.state_dict()) == set(image_network().state_dict())


def overlapping(network):
    watch = monitor(network)
    watch.close()
    watch.close()
    with monitor(network), Watch(network):
        pass


HAPPENS = {  # cases 2.3, 2.4
    "deepcopy": copied(copy.deepcopy),
    "pickle": copied(lambda model: pickle.loads(pickle.dumps(model))),
    "torch.save": copied(saved),
    "state dict": stored,
    "error": failing,
    "replaced": replaced,
    "other watchers": overlapping,
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("what", HAPPENS)
def test_what_happens_beside_changes_nothing(look, what):
    network = image_network()
    expected = LOOKS[look](Host(network, ROUTES["plain"], nothing))
    assert LOOKS[look](Host(network, ROUTES["plain"], HAPPENS[what])) == expected and expected


@pytest.mark.parametrize("look", LOOKS)
def test_errors_leave_nothing_behind(look):
    def fail(network):
        network(X)
        raise KeyError("mine")

    host = Host(image_network(), ROUTES["plain"], fail)
    call = nn.Module.__call__
    with pytest.raises(KeyError, match="mine"):
        LOOKS[look](host)
    assert nn.Module.__call__ is call and not watched(*host.modules())
    assert host.training and not any(module._forward_hooks for module in host.modules())


KEYWORDS = {  # case 2.5
    "LIF": (LIF(substeps=2), {"current": X.expand(4, 2, 3)}),
    "LIF, rate": (LIF(substeps=2), {"readout": "rate", "current": X.expand(4, 2, 3)}),
    "LIFCell": (LIFCell(substeps=2), {"current": X}),
    "LIFCell, membrane": (LIFCell(substeps=2), {"readout": "membrane", "current": X}),
    "NormalisedLIF": (NormalisedLIF(3, substeps=2), {"currents": X.expand(4, 1, 2, 3)}),
    "NormalisedLIF, lengths": (
        NormalisedLIF(3, substeps=2),
        {"lengths": torch.tensor([4, 2]), "currents": X.expand(4, 1, 2, 3)},
    ),
}


class ByName(nn.Module):
    def __init__(self, neurons):
        super().__init__()
        self.neurons = neurons

    def forward(self, given, by_name):
        if by_name:
            return self.neurons(**given)
        given = dict(given)
        first = given.pop("current", None) if "current" in given else given.pop("currents")
        return self.neurons(first, **given)


@pytest.mark.parametrize("case", KEYWORDS)
def test_arguments_by_name_are_read_as_those_by_place(case):
    layer, given = KEYWORDS[case]
    model = ByName(layer)
    found = []
    for by_name in (False, True):
        with monitor(model) as watch, Watch(model) as report:
            model(given, by_name)
        energy = measure_energy(model, [(given, by_name)], tokens=8)["layers"]
        seen = {name: [one.tolist() for one in spikes] for name, spikes in report.seen.items()}
        found.append((watch.rates(), watch.silent(), seen, energy))
    assert found[0] == found[1] and found[0][0]


def test_closed_monitors_can_be_read_and_closed_again():
    network = image_network()
    watch = monitor(network, penalty=True)
    network(X)
    watch.close()
    watch.close()
    rates = watch.rates()
    network(X)
    assert watch.rates() == rates and rates
    assert watch.penalty().item() > 0


def test_a_layer_at_two_places_and_one_put_in_later():
    layer = LIF()
    model = nn.ModuleDict({"a": layer, "b": layer})
    with monitor(model) as watch:
        model["b"](X.expand(1, 2, 3))
        model["a"] = LIF()
        model["a"](X.expand(1, 2, 3))
    assert list(watch.rates()) == ["a"]


def test_copies_of_a_model_that_keeps_its_monitor():
    model = image_network()
    model.watch = monitor(model)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    twin(X)
    assert twin.watch.rates() == model.watch.rates() == {}
    model(X)
    assert model.watch.rates() and not twin.watch.rates()


def test_membranes_of_odd_neurons_are_refused_and_their_spikes_are_counted():
    class Odd(LIF):
        def forward(self, current, state=None, **options):
            return super().forward(2 * current, state, **options)

    odd, hooked = Odd(), LIF()
    hooked.register_forward_pre_hook(lambda module, args: (2 * args[0],))
    current = X.expand(1, 2, 3)
    for layer, reason in ((odd, "forward of its own"), (hooked, "forward pre hooks")):
        with monitor(layer) as watch:
            spikes, _ = layer(current)
            assert watch.rates() == {"model": pytest.approx(spikes.mean().item())}
            with pytest.raises(ValueError, match=rf"model \({type(layer).__name__}\).*{reason}.*'membrane'"):
                layer(current, readout="membrane")


def test_nobody_else_sees_that_spikes_are_computed_again():
    class Chosen(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = LIF()

        def forward(self, x):
            return self.lif(x, readout="membrane")[0]

    def profile(frame, event, argument):
        if event == "call" and frame.f_code is LIF.forward.__code__:
            seen.append(1)

    model, seen = Chosen(), []
    with monitor(model), Watch(model):
        sys.setprofile(profile)
        model(X.expand(1, 2, 3))
        sys.setprofile(None)
    assert len(seen) == 1


CHANGES = {
    "swap": (swap, lambda: nn.Sequential(SpikingRNN(3, 3), nn.LSTM(3, 4))),
    "fold_embeddings": (
        fold_embeddings,
        lambda: nn.Sequential(nn.Embedding(5, 3), nn.Linear(3, 4), SpikingRNN(4, 4)),
    ),
    "compile_events": (compile_events, lambda: SpikingRNN(3, 4, num_layers=2)),
    "deepcopy": (copy.deepcopy, image_network),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_watched_model_may_be_read(change):
    """Watching changes nothing of what is computed, and what is made of a watched model is not watched."""
    make, model = CHANGES[change][0], CHANGES[change][1]().eval()
    before = set(model.modules())
    expected = make(copy.deepcopy(model)).state_dict()
    with monitor(model), Watch(model), Watcher(dict(model.named_modules())):
        made = make(model)
        assert not any(watched(module) for module in set(made.modules()) - before)
    assert expected.keys() == made.state_dict().keys()
    assert all(
        torch.equal(made.state_dict()[key], value) for key, value in expected.items() if change != "swap"
    )
    assert not watched(*made.modules(), *model.modules())


def test_compiled_neurons_are_counted_too():
    layer, current = LIF(substeps=2), X.expand(3, 2, 3)
    with monitor(layer) as watch:
        layer(current, readout="membrane")
        rates = watch.rates()
        watch.reset()
        compiled = torch.compile(layer, backend="eager", fullgraph=True)
        compiled(current, readout="membrane")
        assert watch.rates() == rates
    compiled(current, readout="membrane")
    layer(current, readout="membrane")
    assert watch.rates() == rates


def in_threads(count, work):
    """Runs `work(number)` in so many threads at once; the first error of any is raised."""
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("look", LOOKS)
def test_what_other_threads_do_with_the_model(look):
    """A monitor is there for all of them; what is measured on inputs of one is not changed by others."""
    network = image_network()
    expected = LOOKS[look](Host(network, ROUTES["plain"], nothing))

    def elsewhere(network):
        in_threads(1, lambda _: network(X + 1))

    if look == "monitor":
        with monitor(network) as watch:
            network(X)
            elsewhere(network)
            both = watch.rates()
            watch.reset()
            network(X)
            network(X + 1)
            assert both == watch.rates() and both
    else:
        assert LOOKS[look](Host(network, ROUTES["plain"], elsewhere)) == expected and expected


def test_watchers_are_opened_and_closed_in_threads():
    call = nn.Module.__call__

    def work(_):
        network = image_network()
        for _ in range(10):
            with monitor(network) as watch:
                network(X)
                assert watch.rates()

    in_threads(4, work)
    assert nn.Module.__call__ is call


@pytest.mark.parametrize("look", [by_energy, by_gradients])
def test_compiled_models_are_measured_as_they_were_written(look):
    network = image_network()
    compiled = torch.compile(network, backend="eager")
    compiled(X)
    expected = look(network)
    assert {name.removeprefix("_orig_mod."): value for name, value in look(compiled).items()} == expected
