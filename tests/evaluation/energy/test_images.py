import pytest
import torch
from torch import nn

from spikeseq.evaluation.energy.images import additions_per_spike, feeding_neurons, table_5_3, table_5_3_rows
from spikeseq.evaluation.energy.measure import measure_energy
from spikeseq.models.backbones import build_backbone
from spikeseq.nn import LIF


def test_the_formula_of_table_5_3():
    dense = {"a": {"macs": 10.0}, "b": {"macs": 60.0}, "c": {"macs": 30.0}, "d": {"adds": 5.0}}
    spiking = {
        "network.a": {"macs": 10.0}, "network.b": {"acs": 48.0}, "network.c": {"acs": 15.0},
        "network.x": {"spike_rate": 0.2}, "network.y": {"spike_rate": 0.5},
    }  # fmt: skip
    feeding = {"network.a": None, "network.b": "network.x", "network.c": "network.y"}
    found = table_5_3(spiking, dense, feeding)
    assert found["first"] == pytest.approx(0.1)
    assert found["operations"] == pytest.approx((60 * 0.2 + 30 * 0.5) / 90)
    assert found["ratio"] == pytest.approx(4.6 * 100 / (4.6 * 10 + 0.9 * 27))
    assert found["measured_operations"] == pytest.approx(63 / 90)  # where b's spikes are pooled by four
    assert found["measured_ratio"] == pytest.approx(4.6 * 100 / (4.6 * 10 + 0.9 * 63))


@pytest.mark.parametrize("name", ["vgg6", "resnet8"])
def test_whose_spikes_a_map_reads(name):
    own = {"hidden": 16} if name == "vgg6" else {}
    model = build_backbone(name, activation="spiking", width=0.125, **own).eval()
    found = feeding_neurons(model, torch.randn(1, 3, 32, 32))
    if name == "vgg6":
        assert list(found.values()) == [None, *(n for n, m in model.named_modules() if isinstance(m, LIF))]
    else:
        before = found["network.blocks.1.body.0.0"]
        assert before == found["network.blocks.1.shortcut.0"] == "network.blocks.0.fire.neurons.0"
        assert found["network.blocks.1.body.3.0"] == "network.blocks.1.body.1.neurons.0"


def test_what_a_spike_costs():
    """Of a 3 x 3 map to C channels 9 C, a quarter of it where four neurons are pooled (eq. 5.20)."""
    model = build_backbone("vgg6", activation="spiking", width=0.125, hidden=16).eval()
    costs = list(additions_per_spike(model, torch.randn(1, 3, 32, 32)).values())
    assert costs == [9 * 16 / 4, 9 * 16, 16 / 4, 16, 10]


def test_lines_beside_the_thesis():
    rest = {"measured_operations": 0.3, "measured_ratio": 11.0}
    runs = {
        "ann": {"energy": {}, "test": {"accuracy": 90.0}},
        "snn": {
            "energy": {"table_5_3": {"operations": 0.14, "first": 0.029, "ratio": 18.0, **rest}},
            "test": {},
        },
    }
    rows = table_5_3_rows(runs)
    assert [row["model"] for row in rows][:2] == ["snn", "thesis 5.3: VGG6, CIFAR10"]
    assert rows[0]["ratio"] == rows[1]["ratio"] == "18.0"
    assert table_5_3_rows({"ann": runs["ann"]}) == []


def test_subtracted_spikes_in_a_convolution():
    conv = nn.Conv2d(1, 2, 1, bias=False)
    x = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]).view(1, 1, 2, 2)
    assert measure_energy(conv, [(x,)], tokens=1)["acs"] == 4


def test_poisson_input_has_no_analog_layer():
    dense = {"a": {"macs": 10.0}, "b": {"macs": 90.0}}
    spiking = {"network.a": {"acs": 30.0}, "network.b": {"acs": 18.0}, "network.x": {"spike_rate": 0.2}}
    found = table_5_3(spiking, dense, {"network.a": None, "network.b": "network.x"})
    assert found["first"] == 0 and found["operations"] == pytest.approx(0.48)
    assert found["measured_ratio"] == pytest.approx(4.6 * 100 / (0.9 * 48))


def test_a_held_image_is_mapped_once_however_many_substeps():
    model = build_backbone("vgg5", activation="spiking", width=0.125, hidden=8, substeps=23)
    few = build_backbone("vgg5", activation="spiking", width=0.125, hidden=8, substeps=2)
    x = torch.randn(1, 3, 32, 32)
    counted = [measure_energy(m, [(x,)], tokens=1)["macs"] for m in (model, few)]
    assert counted[0] == counted[1] > 0 and model.piece == few.piece
