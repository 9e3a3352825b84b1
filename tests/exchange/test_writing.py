"""What `to_nir` writes, and what it refuses."""

import sys

import pytest
import torch
from exchange_case import SHAPES, fed, networks
from torch import nn

import spikeseq
from spikeseq.exchange import READERS, LossyExchange, from_nir, read_nir, to_nir, write_nir
from spikeseq.exchange.models import apart
from spikeseq.exchange.network import Network
from spikeseq.models.backbones import build_backbone
from spikeseq.nn import LIF, CausalConv1d, Integrator, SpikingRNN

nir = pytest.importorskip("nir")
KINDS = ("stack", "feedback", "weighted", "chain", "images")


@pytest.mark.parametrize("name", KINDS)
def test_taken_apart_it_is_the_model(name):
    model, x = networks()[name], fed(name)
    with torch.no_grad():
        out, _ = Network(apart(model, SHAPES.get(name)))(x, substeps=1)
        if name == "images":
            expected, _ = model.advance(x)
            assert torch.allclose(out.cumsum(0), expected, atol=1e-5)
        elif name == "chain":
            spikes, _ = model[1](model[0](x))
            expected, _ = model[3](model[2](spikes))
            assert torch.equal(out, expected) and out.any()
        else:
            model.substeps = 1
            expected, _ = model(x)
            assert torch.equal(out, expected) and out.any()


def test_a_model_without_values_is_refused():
    with pytest.raises(ValueError, match=r"^layers\.0\.input_map\.weight has no values: it is on meta"):
        to_nir(SpikingRNN(3, 4, reset="hard", device="meta"))
    with pytest.raises(ValueError, match=r"^\[1\]\.weight has no values: it is on meta"):
        to_nir([nn.Linear(3, 3), nn.Linear(3, 4, device="meta")])


@pytest.mark.parametrize("reader", [None, *READERS])
@pytest.mark.parametrize("name", KINDS)
def test_what_is_written_and_read_again_fires_the_same_spikes(name, reader, tmp_path):
    model, shape, x = networks()[name], SHAPES.get(name), fed(name)
    if (reader, name) in (("sinabs", "feedback"), ("rockpool", "feedback"), ("rockpool", "images")):
        with pytest.raises(ValueError, match=f"has feedback, .*{reader}|which {reader} has no node for"):
            to_nir(model, shape, reader=reader, lossy=True)
        return
    lossy = reader in ("sinabs", "rockpool")
    with pytest.warns(LossyExchange) if lossy else torch.no_grad():
        graph = to_nir(model, shape, reader=reader, lossy=lossy)
    write_nir(graph, tmp_path / "a.nir")
    again, ours = from_nir(tmp_path / "a.nir"), Network(apart(model, shape))
    assert (again.substeps, again.readout) == (ours.substeps, ours.readout)
    with torch.no_grad():
        out, expected = again(x)[0], ours(x)[0]
    assert expected.any()
    if name == "images":
        assert torch.allclose(out, expected, atol=1e-4)
    else:
        assert torch.equal(out, expected)


@pytest.mark.parametrize("leak", [0.0, 1e-3, 0.1, 0.3, 0.9, 0.95, 0.999, 1.0])
def test_leaks_come_back_to_the_last_bit(leak):
    model = [nn.Linear(3, 4), LIF(reset="hard", leak=leak)]
    again = from_nir(to_nir(model))
    fires = next(module for module in again.layers.values() if hasattr(module, "lif"))
    assert torch.equal(fires.lif.leak, model[1].leak) and torch.equal(fires.lif.threshold, model[1].threshold)


def test_leaks_and_thresholds_of_channels(tmp_path):
    torch.manual_seed(0)
    model = [nn.Conv2d(2, 3, 3), LIF(3, reset="hard", leak=[0.1, 0.5, 1.0], threshold=[1.0, 0.2, 0.6])]
    x = torch.randn(20, 2, 2, 6, 6)
    write_nir(to_nir(model, (2, 6, 6)), tmp_path / "a.nir")
    out, _ = from_nir(tmp_path / "a.nir")(x)
    current = model[0](x.flatten(0, 1)).unflatten(0, (20, 2))
    assert torch.equal(out, model[1](current)[0]) and out.any()


@pytest.mark.parametrize("name", ["vgg5", "resnet8"])
def test_backbones(name):
    torch.manual_seed(0)
    model = build_backbone(name, activation="spiking", width=0.125, reset="hard", leak=0.9, threshold=0.3)
    x = torch.randn(2, 3, 32, 32)
    graph = to_nir(model.eval(), (3, 32, 32))
    with torch.no_grad():
        out, _ = from_nir(graph, substeps=6)(x.unsqueeze(0))
        assert torch.allclose(out.sum(0), model(x, substeps=6), atol=1e-3) and out.any()


@pytest.mark.parametrize("name", ["vgg5", "resnet8"])
def test_batch_normalisation_goes_into_the_maps(name):
    torch.manual_seed(0)
    model = build_backbone(
        name, activation="spiking", width=0.125, norm="batch", reset="hard", leak=0.9, threshold=0.5
    )
    model(torch.randn(8, 3, 32, 32), substeps=2)  # statistics
    x = torch.randn(2, 3, 32, 32)
    graph = to_nir(model.eval(), (3, 32, 32))
    with torch.no_grad():
        out, _ = from_nir(graph, substeps=4)(x.unsqueeze(0))
        assert torch.allclose(out.sum(0), model(x, substeps=4), atol=1e-3) and out.any()
    norm = next(one for one in model.modules() if isinstance(one, nn.BatchNorm2d))
    norm.running_mean = norm.running_var = None
    with pytest.raises(ValueError, match="has no statistics of its own"):
        to_nir(model, (3, 32, 32))


def test_a_graph_passes_the_checks_of_nir_itself(tmp_path):
    for name, model in networks().items():
        graph = to_nir(model, SHAPES.get(name))
        graph.infer_types()
        assert graph.check_types()
        write_nir(graph, tmp_path / "a.nir")
        nir.read(tmp_path / "a.nir")


def test_it_says_its_time_step():
    graph = to_nir(networks()["stack"], dt=1e-3)
    assert graph.metadata["dt"] == 1e-3 and graph.metadata["substeps"] == 2
    tau = next(node for node in graph.nodes.values() if isinstance(node, nir.LIF)).tau
    assert tau == pytest.approx(1e-3 / 0.1)


@pytest.mark.parametrize("reset", ["soft", "soft_immediate"])
def test_a_soft_reset_is_refused_or_measured(reset):
    model = networks(reset)["stack"]
    with pytest.raises(ValueError, match=f"the {reset} reset of neurons_layers_0.*lossy=True"):
        to_nir(model)
    with pytest.warns(LossyExchange, match="spike decisions differ") as told:
        graph = to_nir(model, lossy=True)
    share = graph.metadata["differing_spikes"]
    assert share == told[0].message.share and 0.01 < share < 0.5
    with torch.no_grad():  # ours reads what was meant
        assert torch.equal(from_nir(graph)(fed("stack"))[0], model(fed("stack"))[0])


def test_a_membrane_that_comes_out_is_refused_or_its_spikes_are_written():
    torch.manual_seed(0)
    model, x = SpikingRNN(4, 8, reset="hard"), 2 * torch.randn(9, 2, 4)
    with pytest.raises(ValueError, match="the membrane that the last layer gives out has no place in NIR"):
        to_nir(model)
    with pytest.warns(LossyExchange, match=r"gives out.*0\.00% of all spike decisions differ"):
        graph = to_nir(model, lossy=True)
    model.readout = "spikes"
    with torch.no_grad():
        assert torch.equal(from_nir(graph)(x)[0], model(x)[0])


def test_membranes_that_start_above_zero_are_refused_or_measured():
    ann = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    model = spikeseq.to_spiking(ann, [torch.randn(20, 6)], reset="hard", initial=0.5)
    with pytest.raises(ValueError, match="start above zero"):
        to_nir(model, (6,))
    with pytest.warns(LossyExchange, match="start above zero"):
        to_nir(model, (6,), lossy=True)


def linear() -> nn.Linear:
    return nn.Linear(4, 4)


def hooked() -> list[nn.Module]:
    model = linear()
    model.register_forward_hook(lambda *_: None)
    return [model, LIF(reset="hard")]


REFUSED = {
    "no node": (
        lambda: [linear(), nn.GELU(), LIF()],
        r"\[1\] \(GELU\) has no node in a graph; known are Li",
    ),
    "in a chain": (lambda: nn.Sequential(linear(), nn.ReLU()), r"1 \(ReLU\) has no node"),
    "no neurons": (lambda: linear(), r"the model \(Linear\) has no spiking neurons"),
    "hooks": (hooked, r"\[0\] \(Linear\) has forward hooks, which would be lost"),
    "directions": (lambda: SpikingRNN(4, 4, bidirectional=True), "reads sequences from both ends"),
    "norm": (lambda: SpikingRNN(4, 4, norm="layer", readout="rate"), "has a normalisation"),
    "rate within": (
        lambda: [SpikingRNN(4, 4, readout="rate", reset="hard"), LIF()],
        "gives its rate to the next",
    ),
    "causal": (lambda: [CausalConv1d(4, 4, 3), LIF()], "input_shape is needed"),
    "sizes": (lambda: [linear(), nn.Linear(5, 2), LIF()], r"takes \(5,\), and gets \(4,\)"),
    "channels": (lambda: [linear(), LIF(3)], "has 3 channels, and what reaches it is"),
    "substeps": (lambda: [linear(), LIF(reset="hard"), linear(), LIF(substeps=3)], "holds every spike for 3"),
    "empty": (lambda: [], "the model has no modules"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_said_is_named(case):
    model, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        to_nir(model())


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.a(x)) * self.factor(x)

    def factor(self, x):
        return 2.0


class Doubled(Odd):
    def forward(self, x):
        return self.relu(self.a(x)).mean(1, keepdim=True)


def test_functions_between_modules_are_named():
    batch = [torch.randn(8, 4)]
    model = spikeseq.to_spiking(Odd(), batch, reset="hard")
    with pytest.raises(ValueError, match=r"the network calls (mul|__mul__), which has no node"):
        to_nir(model, (4,))
    model = spikeseq.to_spiking(Doubled(), batch, reset="hard")
    with pytest.raises(ValueError, match="the network calls mean, which has no node"):
        to_nir(model, (4,))
    with pytest.raises(ValueError, match=r"the network fails on inputs of \(5,\)"):
        to_nir(model, (5,))


@pytest.mark.parametrize(
    ("reader", "neuron", "message"),
    [
        ("snntorch", {"threshold": [1.0, 2.0]}, "different values of threshold, and snntorch reads one"),
        ("spikingjelly", {"leak": [0.5, 0.9]}, "different values of leak, and spikingjelly reads one"),
        ("spikingjelly", {"leak": 0.0}, "leak 0, and spikingjelly takes time constants above one step"),
        ("norse", {"leak": [0.5, 1.0]}, "leak 1 in some neurons only"),
        ("sinabs", {}, "whatever the file says.*several spikes a step"),
        ("rockpool", {}, "whatever the file says.*several spikes a step"),
    ],
)
def test_what_a_reader_does_not_read_is_named(reader, neuron, message):
    with pytest.raises(ValueError, match=message):
        to_nir([nn.Linear(3, 2), LIF(2, reset="hard", **neuron)], reader=reader)


def test_arguments_are_checked():
    model = networks()["stack"]
    with pytest.raises(ValueError, match="reader must be one of None, 'snntorch', 'norse'"):
        to_nir(model, reader="nengo")
    with pytest.raises(ValueError, match="dt goes with a plain graph"):
        to_nir(model, reader="norse", dt=1e-3)
    for dt in (0, -1.0, float("inf"), True, "1"):
        with pytest.raises(ValueError, match="dt must be a positive number"):
            to_nir(model, dt=dt)
    with pytest.raises(ValueError, match="input_shape must be a tuple of positive numbers"):
        to_nir(networks()["images"], (3, 0, 8))
    with pytest.raises(ValueError, match="input_shape is needed"):
        to_nir(networks()["images"])
    with pytest.raises(TypeError, match=r"must be an nn\.Module, got str"):
        to_nir(["a"])


def test_sums_are_for_who_has_them():
    model = [nn.Linear(3, 4), LIF(reset="hard"), nn.Linear(4, 2), Integrator()]
    x = torch.randn(9, 2, 3)
    out, _ = from_nir(to_nir(model))(x)
    assert torch.allclose(out, model[3](model[2](model[1](model[0](x))[0]))[0], atol=1e-6)
    with pytest.raises(ValueError, match="adds up without spikes, which norse has no node for"):
        to_nir(model, reader="norse")


def test_a_file_is_whole_or_not_there(tmp_path):
    graph = to_nir(networks()["stack"])
    with pytest.raises(ValueError, match="there is no folder"):
        write_nir(graph, tmp_path / "nowhere" / "a.nir")
    write_nir(graph, tmp_path / "a.nir")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.nir"]
    assert read_nir(tmp_path / "a.nir").metadata["readout"] == "spikes"


def test_without_the_package_it_says_what_helps(monkeypatch):
    monkeypatch.setitem(sys.modules, "nir", None)
    with pytest.raises(ImportError, match=r"nir cannot be imported.*pip install 'spikeseq\[exchange\]'"):
        to_nir(networks()["stack"])


def test_rockpool_needs_maps_before_neurons():
    with pytest.raises(ValueError, match="follows no map of its own"):
        to_nir([LIF(3, reset="hard")], reader="rockpool", lossy=True)
