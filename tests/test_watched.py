"""monitor, energy counts, gradient norms, reports: what else happens to a model changes nothing of theirs."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from watched_case import LOOKS, ROUTES, Host, Recurrent, X, by_energy, by_gradients, image_network, nothing

from spikeseq.evaluation.report.content import Watch
from spikeseq.events import compile_events
from spikeseq.fold import fold_embeddings
from spikeseq.monitor import monitor
from spikeseq.nn import SpikingRNN
from spikeseq.swap import swap
from spikeseq.watch import Watcher, watched


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


def test_copies_of_a_model_that_keeps_its_monitor():
    model = image_network()
    model.watch = monitor(model)
    twin = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    twin(X)
    assert twin.watch.rates() == model.watch.rates() == {}
    model(X)
    assert model.watch.rates() and not twin.watch.rates()


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


@pytest.mark.parametrize("look", [by_energy, by_gradients])
def test_compiled_models_are_measured_as_they_were_written(look):
    network = image_network()
    compiled = torch.compile(network, backend="eager")
    compiled(X)
    expected = look(network)
    assert {name.removeprefix("_orig_mod."): value for name, value in look(compiled).items()} == expected
