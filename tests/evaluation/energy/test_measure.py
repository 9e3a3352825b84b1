import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from spikeseq.evaluation import measure_energy
from spikeseq.models import build_classifier
from spikeseq.models.language import TokenShift
from spikeseq.models.seq2seq import ConvSeq2Seq, RecurrentSeq2Seq
from spikeseq.nn import LIF, CausalConv1d, LIFCell, SpikingRNN, TokenConv1d


class Tiny(nn.Module):
    """2 inputs -> 2 LIF neurons -> 1 LIF neuron -> 3 outputs, two sub-steps a token."""

    def __init__(self, readout="spikes"):
        super().__init__()
        self.rnn = SpikingRNN(2, 2, 1, substeps=2, readout="spikes", leak=1.0)
        self.second = SpikingRNN(2, 1, 1, bias=False, substeps=1, readout=readout, leak=1.0)
        self.out = nn.Linear(1, 3)
        with torch.no_grad():
            self.rnn.layers[0].input_map.weight.copy_(torch.tensor([[1.5, 0.0], [0.0, 0.75]]))
            self.rnn.layers[0].input_map.bias.zero_()
            self.second.layers[0].input_map.weight.copy_(torch.tensor([[0.6, 0.6]]))

    def forward(self, x):
        spikes, _ = self.rnn(x)
        return self.out(self.second(spikes)[0])


# Two tokens, (1, 0) and (0, 1.1): the currents are (1.5, 0) and (0, 0.825), each for two sub-steps. Leak 1,
# threshold 1, soft reset one sub-step late.
#   neuron 0: u = 1.5*, 2.0*, 1.0, 1.0          (a spike where u > 1, marked *)
#   neuron 1: u = 0, 0, 0.825, 1.65*
#   second:   I = 0.6, 0.6, 0, 0.6;  u = 0.6, 1.2*, 0.2, 0.8
X = torch.tensor([[[1.0, 0.0]], [[0.0, 1.1]]])


def compute(found):
    """The counts of the thesis by layer."""
    kept = {name: {k: v for k, v in layer.items() if k in KINDS} for name, layer in found["layers"].items()}
    return {name: layer for name, layer in kept.items() if layer}


KINDS = ("macs", "acs", "spike_rate")


class Named(nn.LSTM):
    """A subclass, as users have them."""


def test_a_subclass_of_a_recurrent_layer_is_counted_as_one():
    x = torch.randn(4, 2, 3)
    found, plain = (measure_energy(kind(3, 5), [(x,)], tokens=8) for kind in (Named, nn.LSTM))
    assert found["macs"] == plain["macs"] > 0 and found["not_counted"] == []


def test_a_leak_for_each_neuron_is_read_at_each_update():
    x = torch.randn(4, 2, 6)
    shared, own = (
        measure_energy(SpikingRNN(6, 5, substeps=3, per_channel=each), [(x,)], tokens=8)["operations"]
        for each in (False, True)
    )
    assert own["weight_bytes"] - shared["weight_bytes"] == 4 * 2 * 3 * 5  # two values, T = 3, five neurons


def test_a_leak_for_every_token_comes_in_as_its_currents_do():
    class Decaying(nn.Module):
        def __init__(self, **neuron):
            super().__init__()
            self.lif = LIF(5, substeps=3, **neuron)

        def forward(self, x, leak=None):
            return self.lif(x, leak=leak)

    x = torch.ones(4, 2, 5)
    own = measure_energy(Decaying(), [(x,)], tokens=8)["operations"]
    found = measure_energy(Decaying(), [(x, torch.full_like(x, 0.95))], tokens=8)["operations"]
    assert own["weight_bytes"] - found["weight_bytes"] == 4 * 3 * 5
    assert found["activation_bytes"] - own["activation_bytes"] == 4 * 5
    weighted = measure_energy(Decaying(norm_input=True, threshold=0.05), [(x,)], tokens=8)["operations"]
    assert (
        weighted["multiplies"] == 5 and weighted["adds"] == own["adds"] + 5
    )  # resets as often, and 1 - leak


def test_a_small_network_by_hand():
    found = measure_energy(Tiny(), [(X,)], tokens=2)
    assert compute(found) == {
        "rnn.layers.0.input_map": {"macs": 2 * 2},
        "rnn.layers.0.lif": {"spike_rate": 3 / 2 / 2},
        "second.layers.0.input_map": {"acs": 3 * 1 / 2},
        "second.layers.0.lif": {"spike_rate": 1 / 1 / 2},
        "out": {"acs": 1 * 3 / 2},
    }
    assert found["macs"] == 4 and found["acs"] == 3
    assert found["picojoules"] == pytest.approx(4 * 4.6 + 3 * 0.9)
    assert found["spike_rate"] == pytest.approx((0.75 + 0.5) / 2)
    assert found["not_counted"] == []
    assert "6.3-6.8" in found["signature"] and "4.6" in found["signature"]


def test_a_membrane_that_is_read_out_is_analog_and_its_spikes_still_count():
    found = measure_energy(Tiny("membrane"), [(X,)], tokens=2)
    assert compute(found)["second.layers.0.lif"] == {"spike_rate": 0.5}
    assert compute(found)["out"] == {"macs": 4 * 3 / 2}  # a value at each of four sub-steps


def test_the_same_twice_and_texts_add_up():
    model = Tiny()
    once = measure_energy(model, [(X,)], tokens=2)
    assert measure_energy(model, [(X,)], tokens=2) == once
    twice = measure_energy(model, [(X,), (X,)], tokens=4)
    assert twice == once
    both = measure_energy(model, [(X.repeat(1, 3, 1),)], tokens=6)
    assert both == once


def test_spikes_are_seen_not_assumed():
    silent = measure_energy(Tiny(), [(torch.zeros(2, 1, 2) - 0.5,)], tokens=2)
    assert silent["acs"] == 0 and silent["spike_rate"] == 0 and silent["macs"] == 4
    linear = nn.Linear(3, 2)
    assert measure_energy(linear, [(torch.tensor([[0.0, 1.0, 1.0]]),)], tokens=1)["acs"] == 4
    assert measure_energy(linear, [(torch.tensor([[0.0, 1.0, 0.37]]),)], tokens=1)["macs"] == 6
    assert measure_energy(linear, [(torch.tensor([[0.0, 1.0, -0.5]]),)], tokens=1)["macs"] == 6
    assert measure_energy(linear, [(torch.tensor([[0.0, 1.0, -1.0]]),)], tokens=1)["acs"] == 4  # subtracted
    assert measure_energy(linear, [(torch.tensor([[0.0, 1.0, math.nan]]),)], tokens=1)["macs"] == 6


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3), (nn.RNN, 1)])
def test_recurrent_layers_by_the_thesis(kind, gates):
    """Equations 6.3 and 6.4: gates * (f_in * f_out + f_out * f_out) a token."""
    x = torch.randn(4, 1, 5)
    found = measure_energy(kind(5, 7), [(x,)], tokens=4)
    assert found["macs"] == gates * (5 * 7 + 7 * 7) and found["acs"] == 0
    assert found["spike_rate"] is None and found["not_counted"] == []
    deep = measure_energy(kind(5, 7, num_layers=2, bidirectional=True), [(x,)], tokens=4)
    assert deep["macs"] == 2 * gates * (5 * 7 + 7 * 7) + 2 * gates * (14 * 7 + 7 * 7)
    packed = pack_sequence([x[:, 0], x[:2, 0]])
    assert measure_energy(kind(5, 7), [(packed,)], tokens=6)["macs"] == gates * (5 * 7 + 7 * 7)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_projected_lstm():
    found = measure_energy(nn.LSTM(5, 7, proj_size=3), [(torch.randn(4, 1, 5),)], tokens=4)
    assert found["macs"] == 4 * (5 * 7 + 3 * 7) + 7 * 3


def test_a_bag_of_words_costs_its_different_words():
    model = build_classifier({"name": "bow"}, 20, 2)
    tokens = torch.tensor([[3], [3], [4], [5]])
    found = measure_energy(model, [(tokens, torch.tensor([4]))], tokens=4)
    assert found["macs"] == 3 * 2 / 4 and found["not_counted"] == []


def test_the_classifiers_by_their_sizes():
    tokens, lengths = torch.randint(1, 20, (6, 1)), torch.tensor([6])
    lstm = build_classifier({"name": "lstm", "embedding_size": 5, "hidden_size": 7}, 20, 2)
    assert measure_energy(lstm, [(tokens, lengths)], tokens=6)["macs"] == 4 * (5 * 7 + 7 * 7) + 7 * 2 / 6
    snn = build_classifier({"name": "snn", "embedding_size": 5, "hidden_size": 7}, 20, 2)
    found = measure_energy(snn, [(tokens, lengths)], tokens=6)
    rates = [found["layers"][f"spiking.layers.{i}.lif"]["spike_rate"] for i in (0, 1)]
    assert compute(found)["spiking.layers.0.input_map"] == {"macs": 5 * 7}
    assert found["layers"]["spiking.layers.1.input_map"]["acs"] == pytest.approx(rates[0] * 7 * 7)
    assert found["layers"]["to_integrator"]["acs"] == pytest.approx(rates[1] * 7 * 16)
    assert 0 < found["spike_rate"] < 5
    assert found["not_counted"] == []


@pytest.mark.parametrize("layer", [LIF(substeps=3), LIFCell(substeps=3)])
@pytest.mark.parametrize("readout", ["spikes", "rate", "membrane"])
def test_a_neuron_alone_whatever_is_read_out(layer, readout):
    """A current of 1.5 at leak 0.95 and threshold 1 fires at each of three sub-steps."""

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.lif = layer

        def forward(self, x):
            return self.lif(x, readout=readout)

    tokens = torch.full((2, 4), 1.5) if isinstance(layer, LIFCell) else torch.full((1, 2, 4), 1.5)
    found = measure_energy(Wrapped(), [(tokens,)], tokens=2)
    assert compute(found) == {"lif": {"spike_rate": pytest.approx(3.0)}}


def test_feedback_is_counted():
    torch.manual_seed(0)
    layer = SpikingRNN(2, 3, substeps=2, recurrent=True)
    found = measure_energy(layer, [(torch.ones(4, 1, 2) * 3,)], tokens=4)
    rate = found["layers"]["layers.0.lif"]["spike_rate"]
    assert 0 < rate <= 2
    # The spike of the last sub-step reaches nothing any more.
    assert rate * 3 * 3 - 9 / 4 <= found["layers"]["layers.0.feedback"]["acs"] <= rate * 3 * 3


def test_convolutions_over_tokens_by_hand():
    conv = TokenConv1d(2, 5, 3, causal=False)
    spikes = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]]).view(3, 1, 1, 2)
    # A spike at either end reaches two tokens, one in the middle three.
    assert measure_energy(conv, [(spikes,)], tokens=1)["acs"] == (1 * 2 + 2 * 2) * 5
    assert measure_energy(conv, [(spikes + 0.37,)], tokens=1)["macs"] == (2 + 3 + 2) * 2 * 5
    causal = CausalConv1d(2, 5, 3)
    assert measure_energy(causal, [(spikes,)], tokens=1)["acs"] == (1 * 3 + 2 * 1) * 5
    assert (
        measure_energy(causal, [(spikes, torch.ones(2, 1, 1, 2))], tokens=1)["acs"] == (5 + 2 * (1 + 2)) * 5
    )


def test_a_shift_over_tokens_by_hand():
    shift = TokenShift(5, 3)
    found = measure_energy(shift, [(torch.rand(4, 2, 5),)], tokens=8)
    assert found["macs"] == (3 * 4 - 1 - 2) * 2 * 5 / 8 and not found["not_counted"]
    assert measure_energy(shift, [(torch.rand(4, 2, 5), torch.rand(2, 2, 5))], tokens=8)["macs"] == 3 * 5


def test_a_convolutional_translation_model():
    torch.manual_seed(0)
    size, layers = 8, 2
    model = ConvSeq2Seq(11, 13, channels=size, layers=layers, substeps=3)
    source, target = torch.randint(4, 11, (6, 1)), torch.randint(4, 13, (4, 1))
    inputs = [(source, torch.tensor([6]), target)]
    found = measure_energy(model, inputs, tokens=4, rate_tokens={"encoder.": 6})
    acs = [layer["acs"] for name, layer in found["layers"].items() if name.endswith(".conv")]
    assert len(acs) == 2 * layers and found["core"] == {
        "macs": 0, "acs": pytest.approx(sum(acs)), "picojoules": pytest.approx(0.9 * sum(acs))
    }  # fmt: skip
    assert compute(found)["attention.0"] == {"macs": 2 * 6 * size}
    assert compute(found)["output_map"] == {"macs": size * 13}
    assert compute(found)["attention.1.query_map"].keys() == {"macs"}  # asked by currents
    rates = [layer["spike_rate"] for name, layer in found["layers"].items() if "activation" in name]
    assert len(rates) == 2 * layers and all(0 < rate <= 3 for rate in rates)
    assert found["not_counted"] == []
    dense = measure_energy(ConvSeq2Seq(11, 13, encoder="ann", decoder="ann", channels=size), inputs, tokens=4)
    assert dense["acs"] == 0 and dense["spike_rate"] is None and dense["core"]["macs"] > 0


def test_recurrent_translation_models():
    torch.manual_seed(0)
    source, target = torch.randint(4, 11, (6, 1)), torch.randint(4, 13, (4, 1))
    inputs, size = [(source, torch.tensor([6]), target)], 8
    sizes = {"embedding_size": size, "hidden_size": size, "layers": 2}
    gru = measure_energy(RecurrentSeq2Seq(11, 13, encoder="gru", decoder="gru", **sizes), inputs, tokens=4)
    cell = 3 * size
    encoder = 2 * cell * (size + size) + 2 * cell * (2 * size + size)  # two directions, two layers
    decoder = cell * (size + size) + cell * (size + 2 * size + size)
    assert gru["core"]["macs"] == encoder * 6 / 4 + decoder and gru["spike_rate"] is None
    assert compute(gru)["attention"] == {"macs": 6 * 2 * size + 6 * size}  # the weighted sum, the scores
    snn = measure_energy(RecurrentSeq2Seq(11, 13, **sizes), inputs, tokens=4, rate_tokens={"encoder.": 6})
    assert snn["core"]["acs"] > 0 and 0 < snn["spike_rate"] <= 5
    # Analog values enter each stack; from its first neurons on there are spikes.
    analog = 6 / 4 * size * 2 * size + size * size + (size + 2 * size) * size
    assert snn["core"]["macs"] == analog


def test_what_is_not_counted_is_named():
    model = nn.Sequential(
        nn.Embedding(5, 4), nn.RMSNorm(4), nn.Linear(4, 4), nn.Hardtanh(), nn.Bilinear(4, 4, 2)
    )
    model.forward = lambda ids: model[4](*[model[3](model[2](model[1](model[0](ids))))] * 2)
    found = measure_energy(model, [(torch.tensor([1, 2]),)], tokens=2)
    assert found["not_counted"] == ["1 (RMSNorm)", "3 (Hardtanh)", "4 (Bilinear)"]


def test_the_model_is_left_as_it_was():
    model = Tiny().train()
    measure_energy(model, [(X,)], tokens=2)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="features"):
        measure_energy(model, [(torch.zeros(2, 1, 9),)], tokens=2)
    assert model.training and not any(module._forward_hooks for module in model.modules())
    with pytest.raises(ValueError, match="at least 1, got 0"):
        measure_energy(model, [], tokens=0)
