"""Counts worked out by hand, and the law that padding costs nothing."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_sequence

from spikeseq.evaluation.energy.counting import count_operations
from spikeseq.evaluation.energy.operations import COUNTS, Operations
from spikeseq.models import build_classifier
from spikeseq.models.seq2seq import build_seq2seq
from spikeseq.nn import LIF, Integrator, SpikingRNN


def total(model, *inputs, tokens=1):
    return count_operations(model, [inputs], tokens=tokens).total


def close(found, expected):
    for name in COUNTS:
        assert getattr(found, name) == pytest.approx(getattr(expected, name)), name


def test_a_linear_map_of_analog_values_and_of_spikes():
    linear = nn.Linear(3, 2)
    analog = total(linear, torch.tensor([[0.1, -0.7, 0.0]]))
    # 6 weights and 2 biases; 3 values in, 2 out
    assert analog == Operations(macs=6, adds=2, weight_bytes=4 * 8, dense_bytes=4 * 8, activation_bytes=4 * 5)
    spikes = total(nn.Linear(3, 2, bias=False), torch.tensor([[0.0, 1.0, 1.0]]))
    assert spikes == Operations(acs=4, weight_bytes=4 * 4, dense_bytes=4 * 6, activation_bytes=4 * 4)


def test_neurons():
    """Two neurons, two tokens of three sub-steps: 12 updates; a current of 1.5 fires at each."""
    counts = total(LIF(substeps=3), torch.tensor([[[1.5, 0.0]], [[1.5, 0.0]]]))
    assert counts == Operations(
        updates=12, adds=6, state_bytes=4 * 24, activation_bytes=4 * (4 + 6), spikes=6, neurons=2
    )
    integrator = total(Integrator(), torch.ones(2, 1, 3))
    assert integrator == Operations(adds=6, state_bytes=4 * 12, activation_bytes=4 * 12)


@pytest.mark.parametrize(
    ("kind", "weights", "biases", "multiplies", "adds", "states"),
    [
        # 2 inputs, 3 hidden; gates * (2 * 3 + 3 * 3) weights, gates * 3 biases twice
        (nn.LSTM, 60, 24, 8 * 3, 1 * 3, 2 * 2 * 3),  # f*c, i*g, o*tanh(c), five functions; one sum
        (nn.GRU, 45, 18, 6 * 3, 2 * 3, 2 * 3),
        (nn.RNN, 15, 6, 3, 0, 2 * 3),
    ],
)
def test_a_recurrent_layer(kind, weights, biases, multiplies, adds, states):
    one = Operations(
        macs=weights, multiplies=multiplies, adds=adds + biases, weight_bytes=4 * (weights + biases),
        dense_bytes=4 * (weights + biases),
        state_bytes=4 * states, activation_bytes=4 * 5,
    )  # fmt: skip
    assert total(kind(2, 3), torch.randn(4, 1, 2), tokens=4) == one
    packed = pack_sequence([torch.randn(1, 2), torch.randn(3, 2)], enforce_sorted=False)
    assert total(kind(2, 3), packed, tokens=4) == one
    cell = getattr(nn, f"{kind.__name__}Cell")(2, 3)
    assert total(cell, torch.randn(4, 2), tokens=4) == one
    both = total(kind(2, 3, bidirectional=True), torch.randn(4, 1, 2), tokens=4)
    assert both.macs == 2 * weights and both.state_bytes == 2 * one.state_bytes
    assert both.activation_bytes == 4 * (2 + 6)
    batch_first = total(kind(2, 3, batch_first=True), torch.randn(1, 4, 2), tokens=4)
    assert batch_first == one


def test_a_bidirectional_spiking_layer_of_a_packed_batch():
    torch.manual_seed(0)
    layer = SpikingRNN(2, 3, substeps=4, bidirectional=True, readout="rate")
    sequences = [torch.randn(n, 2) for n in (5, 2, 3)]
    packed = total(layer, pack_sequence(sequences, enforce_sorted=False))
    assert packed.macs == 2 * 10 * 2 * 3 and packed.updates == 2 * 10 * 4 * 3
    single = Operations()
    for sequence in sequences:
        single += total(layer, sequence.unsqueeze(1))
    close(packed, single)


def test_pooled_spikes_into_a_convolution():
    """Four spikes in a corner, averaged to one value of 4/4, and one alone to 1/4: five in all."""
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, :2, :2] = 1
    image[0, 0, 3, 3] = 1
    model = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(1, 5, 3, padding=1, bias=False))
    account = count_operations(model, [(image,)], tokens=1)
    # 2 x 2 values under a 3 x 3 kernel with zero padding: each reaches all four outputs
    assert account.layers["1"].acs == 5 * 4 * 5 and account.layers["1"].macs == 0
    assert account.unknown == []


def test_a_convolution_of_an_image():
    conv = nn.Conv2d(2, 4, 3, padding=1, groups=2)
    counts = total(conv, torch.randn(1, 2, 3, 3))
    # Of 9 x 9 pairs of a place and a tap 81 - 32 are inside: corners 4, edges 6, middle 9.
    inside = 4 * 4 + 4 * 6 + 9
    assert counts.macs == inside * 2 * 2 and counts.adds == 9 * 4
    one = nn.Conv1d(1, 3, 2, stride=2)
    assert total(one, torch.tensor([[[0.0, 1.0, 1.0, 0.0, 1.0]]])).acs == 2 * 3  # the last meets no tap


def test_attention_of_torch():
    layer = nn.MultiheadAttention(4, 2)
    x = torch.randn(3, 1, 4)
    counts = total(layer, x, x, x)
    assert counts.macs == 4 * 3 * 4 * 4 + 2 * 3 * 3 * 4  # four projections, scores and weighted sum
    account = count_operations(nn.TransformerEncoderLayer(4, 2, 8), [(x,)], tokens=3)
    assert account.unknown == [] and account.total.macs > 0


def test_8_bit_baselines():
    from torch.ao.quantization import quantize_dynamic

    torch.manual_seed(0)
    plain = nn.ModuleDict({"rnn": nn.LSTM(2, 3), "out": nn.Linear(3, 4)})
    plain.forward = lambda x: plain["out"](plain["rnn"](x)[0])
    with pytest.warns():
        small = quantize_dynamic(plain, {nn.LSTM, nn.Linear}, dtype=torch.qint8)
    small.forward = lambda x: small["out"](small["rnn"](x)[0])
    account = count_operations(small, [(torch.randn(5, 1, 2),)], tokens=5)
    assert account.total.int8_macs == 60 + 12 and account.total.macs == 0 and account.unknown == []
    assert (
        account.total.weight_bytes
        < count_operations(plain, [(torch.randn(5, 1, 2),)], tokens=5).total.weight_bytes / 2
    )


@pytest.mark.parametrize("name", ["snn", "lstm", "gru"])
def test_padding_costs_nothing(name):
    torch.manual_seed(0)
    model = build_classifier({"name": name, "embedding_size": 5, "hidden_size": 7}, 20, 2)
    texts = [torch.randint(1, 20, (n,)) for n in (6, 1, 4)]
    padded = total(model, pad_sequence(texts), torch.tensor([6, 1, 4]))
    single = Operations()
    for text in texts:
        single += total(model, text.unsqueeze(1), torch.tensor([len(text)]))
    close(padded, single)


@pytest.mark.parametrize("name", ["conv-snn-snn", "conv-ann-ann"])
def test_padding_costs_nothing_in_translation(name):
    torch.manual_seed(0)
    model = build_seq2seq({"name": name, "channels": 8, "layers": 2}, 11, 13).eval()
    sources = [torch.randint(4, 11, (n,)) for n in (5, 3, 2)]
    targets = [torch.randint(4, 13, (n,)) for n in (2, 6, 4)]
    lengths = [torch.tensor([len(x) for x in side]) for side in (sources, targets)]
    padded = total(model, pad_sequence(sources), lengths[0], pad_sequence(targets), lengths[1])
    single = Operations()
    for source, target in zip(sources, targets, strict=True):
        sides = [(x.unsqueeze(1), torch.tensor([len(x)])) for x in (source, target)]
        single += total(model, *sides[0], *sides[1])
    # Positions are looked up once for a batch; all else is per sentence.
    for name in ("macs", "acs", "updates", "multiplies", "adds", "state_bytes", "spikes"):
        assert getattr(padded, name) == pytest.approx(getattr(single, name)), name


def test_products_between_modules_are_counted():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn, self.unused = nn.Embedding(9, 4), nn.LSTM(4, 4), nn.CrossEntropyLoss()

        def forward(self, ids):
            return nn.functional.linear(self.rnn(self.embedding(ids))[0], self.embedding.weight) @ torch.ones(
                9, 1
            )

    account = count_operations(Tied(), [(torch.ones(3, 1, dtype=torch.int64),)], tokens=3)
    assert account.unknown == [] and account.layers[""].macs == 4 * 9 + 9


def test_a_batch_with_the_batch_first():
    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.map, self.rnn = nn.Linear(3, 4), nn.LSTM(4, 5, batch_first=True)

        def forward(self, x, lengths):
            return self.rnn(self.map(x))[0]

    found = total(Wrapped(), torch.randn(2, 8, 3), torch.tensor([8, 2]))
    assert found.macs == 10 * (3 * 4 + 4 * (4 * 5 + 5 * 5))


@pytest.mark.parametrize("mode", ["circular", "replicate"])
def test_padding_by_copies_is_multiplied(mode):
    conv = nn.Conv1d(1, 2, 3, padding=1, padding_mode=mode)
    assert total(conv, torch.randn(1, 1, 4)).macs == 4 * 3 * 2


def test_spikes_into_a_recurrent_layer():
    found = total(nn.GRU(3, 2), torch.tensor([[[0.0, 1.0, 1.0]], [[0.0, 0.0, 0.0]]]))
    assert found.acs == 2 * 3 * 2 and found.macs == 2 * 3 * 2 * 2


def test_modes_are_left_as_they_were():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    model[1].eval()
    total(model, torch.randn(3, 2))
    assert model.training and model[0].training and not model[1].training


def test_8_bit_events_read_bytes():
    from spikeseq.events import EventLinear

    x, linear = torch.tensor([[0.0, 1.0, 1.0]]), nn.Linear(3, 4, bias=False)
    assert (
        total(EventLinear(linear), x).weight_bytes
        == 4 * total(EventLinear(linear, "int8"), x).weight_bytes
        == 32
    )
