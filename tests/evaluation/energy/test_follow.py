"""Spikes are followed from what emits them; where nothing is known, what is taken for spikes is told."""

import pytest
import torch
from torch import nn

from spikeseq.evaluation import measure_energy
from spikeseq.models.backbones import build_backbone
from spikeseq.nn import LIF, SpikingRNN


class Through(nn.Module):
    """Neurons that fire at each of two sub-steps where the current is high, a way, and a map."""

    def __init__(self, way, features, **arguments):
        super().__init__()
        self.lif, self.way, self.map = LIF(substeps=2), way, nn.Linear(features, 3, bias=False)
        self.arguments = arguments

    def forward(self, x):
        return self.map(self.way(self.lif(x, **self.arguments)[0]))


# (L, B, features): five of eight neurons fire at both of two sub-steps, ten spikes.
CURRENT = torch.tensor([1.5, 0, 1.5, 1.5, 0, 0, 1.5, 1.5]).view(1, 2, 4)
WAYS = {
    "as they are": (lambda s: s, 10),
    "a scale": (lambda s: s * 0.37, 10),
    "divided": (lambda s: s / 3, 10),
    "a scale in a tensor": (lambda s: s * torch.tensor(0.7), 10),
    "reshaped": (lambda s: s.reshape(-1, 4).contiguous().clone(), 10),
    "turned": (lambda s: s.transpose(0, 1).flip(0), 10),
    "summed": (lambda s: s.sum(0), 10),
    "mean": (lambda s: s.mean(0), 10),
    "mean, scaled": (lambda s: s.mean(0) * 2, 10),
    "cut": (lambda s: s[:1], 5),
    "chunked": (lambda s: torch.cat(s.chunk(2)), 10),
    "stacked": (lambda s: torch.stack((s, s)), 20),
    "with zeros": (lambda s: torch.cat((s, torch.zeros_like(s))), 10),
    "padded": (lambda s: nn.functional.pad(s, (0, 0, 0, 0, 1, 1)), 10),
    "pooled": (lambda s: nn.functional.avg_pool2d(s.unsqueeze(0), 2).repeat_interleave(2, -1), 20),
    "the largest": (lambda s: nn.functional.max_pool1d(s, 2).repeat_interleave(2, -1), None),
    "residual": (lambda s: s + s, 20),
    "masked": (lambda s: s * (torch.arange(4) < 2).float(), 2),
    "filled": (lambda s: s.masked_fill(torch.arange(4) < 2, 0), 8),
    "in place": (lambda s: s.clone().mul_(0.5), 10),
    "written into zeros": (lambda s: torch.zeros(2, 2, 4).copy_(s), 10),
    "rectified": (lambda s: s.relu(), 10),
    "dropout": (lambda s: nn.functional.dropout(s, 0.5, training=False), 10),
    "gathered": (lambda s: s.index_select(0, torch.tensor([0, 1])), 10),
    "half": (lambda s: s.bfloat16().float() * 0.3, 10),
}


@pytest.mark.parametrize("name", WAYS)
def test_spikes_on_their_way_to_a_map(name):
    way, spikes = WAYS[name]
    found = measure_energy(Through(way, 4), [(CURRENT,)], tokens=1)
    assert found["guessed"] == [] and found["macs"] == 0 and found["not_counted"] == []
    assert found["acs"] == 3 * spikes if spikes is not None else found["acs"] > 0


def test_rates_and_membranes():
    rate = measure_energy(Through(lambda s: s, 4, readout="rate"), [(CURRENT,)], tokens=1)
    assert rate["acs"] == 3 * 10 and rate["guessed"] == []
    # Membranes of 1 look like spikes, and are not.
    whole = torch.ones(1, 2, 4)
    membrane = measure_energy(Through(lambda s: s.round(), 4, readout="membrane"), [(whole,)], tokens=1)
    assert membrane["guessed"] == ["map (Linear)"]  # rounded: nobody knows
    model = Through(lambda s: s, 4, readout="membrane", substeps=1)
    membrane = measure_energy(model, [(whole,)], tokens=1)
    assert membrane["macs"] == 3 * 8 and membrane["acs"] == 0


def test_mixed_with_analog_values_they_are_analog():
    for way in (lambda s: s + 1, lambda s: torch.cat((s, nn.functional.linear(s, torch.eye(4)))), torch.exp):
        found = measure_energy(Through(way, 4), [(CURRENT,)], tokens=1)
        assert found["layers"]["map"].get("acs", 0) == 0


def test_neurons_of_others_are_known_by_their_threshold():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 3, bias=False)

        def forward(self, x):
            return self.b((self.a(x) > 0).float())

    found = measure_energy(Own(), [(torch.randn(9, 4),)], tokens=1, input_kind="analog")
    assert found["layers"]["b"].get("macs", 0) == 0 and found["guessed"] == []


@pytest.mark.parametrize(
    "values", [torch.randint(0, 100, (6, 4)).float(), torch.tensor([[0.0, 1.0, 1.0, 0.0]]), torch.zeros(2, 4)]
)
def test_a_guess_is_told(values):
    linear = nn.Linear(4, 3)
    found = measure_energy(linear, [(values,)], tokens=1)
    assert found["macs"] == 0 and found["guessed"] == ["model (Linear)"]
    analog = measure_energy(linear, [(values,)], tokens=1, input_kind="analog")
    assert analog["macs"] == values.numel() * 3 and analog["guessed"] == []
    spikes = measure_energy(linear, [(values,)], tokens=1, input_kind="spikes")
    assert spikes["acs"] == float(values.sum()) * 3 and spikes["guessed"] == []
    assert measure_energy(linear, [(values + 0.3123,)], tokens=1)["guessed"] == []
    with pytest.raises(ValueError, match=r"input_kind must be one of 'unknown', .*, got 'pix'"):
        measure_energy(linear, [(values,)], tokens=1, input_kind="pix")


@pytest.mark.parametrize("encoding", ["direct", "poisson"])
def test_nothing_is_guessed_in_an_image_network(encoding):
    model = build_backbone("resnet8", activation="spiking", width=0.125, encoding=encoding).eval()
    x = torch.randint(0, 9, (1, 3, 32, 32)).float()
    found = measure_energy(model, [(x,)], tokens=1, input_kind="analog")
    assert found["guessed"] == found["not_counted"] == []
    first = next(iter(found["layers"].values()))
    assert ("acs" in first) == (encoding == "poisson")


class Padded(nn.Module):
    def __init__(self, **declared):
        super().__init__()
        self.map = nn.Linear(3, 4, bias=False)
        vars(self).update(declared)

    def forward(self, x, lengths):
        return self.map(x)


def test_where_tokens_and_batch_are_alike_padding_is_not_guessed():
    x, lengths = torch.randn(2, 2, 3), torch.tensor([2, 1])
    unsaid = measure_energy(Padded(), [(x, lengths)], tokens=1)
    assert unsaid["macs"] == 4 * 12 and unsaid["guessed"] == ["padding in model (Padded)"]
    for declared in (False, True):
        found = measure_energy(Padded(batch_first=declared), [(x, lengths)], tokens=1)
        assert found["macs"] == 3 * 12 and found["guessed"] == []
    layer = measure_energy(SpikingRNN(3, 4), [(x, None)], tokens=1)
    assert layer["guessed"] == []


def test_a_product_between_modules_without_its_padding():
    class Function(Padded):
        def forward(self, x, lengths):
            return nn.functional.linear(x, self.map.weight)

    found = measure_energy(Function(), [(torch.randn(5, 2, 3), torch.tensor([5, 1]))], tokens=1)
    assert found["macs"] == 6 * 12
