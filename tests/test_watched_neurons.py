"""Which spikes of neurons are counted, however these are called, and once."""

import sys

import pytest
import torch
from torch import nn
from watched_case import X, image_network

from spikeseq.evaluation.energy.measure import measure_energy
from spikeseq.evaluation.report.content import Watch
from spikeseq.monitor import monitor
from spikeseq.nn import LIF, LIFCell, NormalisedLIF, SpikingRNN

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


TOKENS = X.expand(5, 2, 3)
SEEN_IN = {
    "plain": lambda rnn: rnn(TOKENS),
    "func.grad": lambda rnn: torch.func.grad(lambda x: rnn(x)[0].sum())(TOKENS),
    "functional_call": lambda rnn: torch.func.functional_call(rnn, dict(rnn.named_parameters()), (TOKENS,)),
}


@pytest.mark.parametrize("penalty", [False, True])
@pytest.mark.parametrize("way", SEEN_IN)
def test_calls_inside_transforms_are_seen(way, penalty):
    torch.manual_seed(0)
    rnn = SpikingRNN(3, 4, num_layers=2)
    with monitor(rnn, penalty=penalty) as watch:
        SEEN_IN["plain"](rnn)
        expected = watch.rates()
        SEEN_IN[way](rnn)
        assert watch.rates() == expected and min(expected.values()) > 0
        assert watch.silent().keys() == expected.keys()


def test_calls_without_values_are_no_spikes():
    rnn = SpikingRNN(3, 4, device="meta")
    with monitor(rnn, penalty=True) as watch:
        rnn(torch.randn(5, 2, 3, device="meta"))
        assert watch.rates() == {}
