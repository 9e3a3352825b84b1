"""Models counted inside transforms of torch.func, in inference mode, as programs, and without values."""

import pytest
import torch
from torch import nn

from spikeseq.evaluation import measure_energy
from spikeseq.nn import SpikingRNN

X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))
MACS = 5 * 2 * 3 * 4  # of one pass through the map


class Calling(nn.Module):
    """Calls what it holds in a way of its own."""

    def __init__(self, way, inner):
        super().__init__()
        self.way, self.inner = way, inner

    def forward(self, x):
        return self.way(self.inner, x)


def named(inner, x):
    with torch.profiler.record_function("mine"):
        return inner(x)


WAYS = {  # how a map is called, and how often its weight is read
    "vmap": (lambda inner, x: torch.vmap(inner)(x), 1),
    "grad": (lambda inner, x: torch.func.grad(lambda given: inner(given).mean())(x), 2),
    "jvp": (lambda inner, x: torch.func.jvp(inner, (x,), (x,))[1], 2),
    "functional_call": (
        lambda inner, x: torch.func.functional_call(inner, {"weight": 2 * inner.weight}, (x,)),
        1,
    ),
    "inference mode": (torch.inference_mode()(lambda inner, x: inner(x)), 1),
    "inference mode, a function": (
        torch.inference_mode()(lambda inner, x: nn.functional.linear(x, inner.weight)),
        1,
    ),
    "named for a profile": (named, 1),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
def test_a_map_is_counted_however_it_is_called(way):
    call, times = WAYS[way]
    found = measure_energy(Calling(call, nn.Linear(3, 4, bias=False)), [(X,)], tokens=1, input_kind="analog")
    assert found["macs"] == times * MACS and found["acs"] == 0
    assert not any(
        "profiler" in one or "prim" in one.split("::")[0] == "prim" for one in found["not_counted"]
    )


def test_neurons_inside_a_transform_are_counted_or_named():
    def way(inner, x):
        return torch.func.grad(lambda given: inner(given)[0].sum())(x)

    found = measure_energy(Calling(way, SpikingRNN(3, 4)), [(X,)], tokens=1, input_kind="analog")
    assert any("lif_backward" in one for one in found["not_counted"])


MAPS = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
PROGRAMS = {
    "traced": lambda: torch.jit.trace(MAPS, X),
    "frozen": lambda: torch.jit.freeze(torch.jit.trace(MAPS, X)),
    "exported": lambda: torch.export.export(MAPS, (X,)).module(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("program", PROGRAMS)
def test_programs_are_counted_operation_by_operation(program):
    assert measure_energy(PROGRAMS[program](), [(X,)], tokens=1, input_kind="analog")["macs"] == MACS + 80


def test_maps_of_no_features_cost_nothing():
    for model, x in ((nn.Linear(0, 4), X[..., :0]), (Calling(lambda inner, x: x @ x.mT, None), X[..., :0])):
        found = measure_energy(model, [(x,)], tokens=1)
        assert found["macs"] == found["acs"] == 0


@pytest.mark.parametrize("kind", ["analog", "unknown"])
def test_without_values_no_spikes_are_counted(kind):
    rnn = SpikingRNN(3, 4, device="meta")
    where = r"layers\.0\.lif \(LIF\)" if kind == "analog" else r"layers\.0\.input_map \(Linear\)"
    with pytest.raises(ValueError, match=rf"^{where} works on tensors without values .*run the model on a"):
        measure_energy(rnn, [(X.to("meta"),)], tokens=1, input_kind=kind)


def test_what_is_no_model_or_no_call_is_named():
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, got str"):
        measure_energy("mine", [(X,)], tokens=1)
    with pytest.raises(TypeError, match=r"inputs must be tuples of a call's arguments.*, got Tensor"):
        measure_energy(MAPS, [X], tokens=1)
    with pytest.raises(TypeError, match="tokens must be a number, got '3'"):
        measure_energy(MAPS, [(X,)], tokens="3")
