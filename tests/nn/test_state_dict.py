"""State dicts of layers: aliases of the parameters, whatever is done with them, and what loading refuses."""

import copy

import pytest
import torch
from safetensors.torch import load, save
from torch import nn
from torch.nn.utils import parametrize
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import spikeseq
from spikeseq.nn import LIF, SpikingRNN, project_parameters

X = torch.randn(5, 2, 3, generator=torch.Generator().manual_seed(0))


def past_bounds(leak=1.02, threshold=-0.5):
    layer = SpikingRNN(3, 4, 2, per_channel=True)
    with torch.no_grad():
        for part in layer.layers:
            part.lif.leak.fill_(leak)
            part.lif.threshold.fill_(threshold)
    return layer


# case 3.1
@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize("keep_vars", [True, False])
def test_values_of_a_state_dict_are_the_parameters(learn, keep_vars):
    layer = SpikingRNN(3, 4, learn_leak=learn, learn_threshold=learn)
    saved = layer.state_dict(keep_vars=keep_vars)
    with torch.no_grad():
        saved["layers.0.lif.leak"].fill_(0.5)
        saved["layers.0.lif.threshold"].fill_(0.25)
    assert layer.layers[0].lif.leak.item() == 0.5 and layer.layers[0].lif.threshold.item() == 0.25


def test_what_is_past_its_bound_is_saved_as_the_bound_and_loads():
    layer = past_bounds()
    out = layer(X)[0]
    saved = layer.state_dict()
    assert (saved["layers.0.lif.leak"] == 1).all() and (saved["layers.1.lif.threshold"] > 0).all()
    other = SpikingRNN(3, 4, 2, per_channel=True)
    other.load_state_dict(load(save(saved)))
    assert torch.equal(other(X)[0], out) and torch.equal(layer(X)[0], out)
    assert saved["layers.0.lif.leak"].data_ptr() == layer.layers[0].lif.leak.data_ptr()


def test_a_step_after_the_state_dict_was_taken_can_be_loaded():
    layer = SpikingRNN(3, 4, leak=1.0)
    saved = layer.state_dict()
    with torch.no_grad():
        layer.layers[0].lif.leak += 0.01  # the state dict sees it
    other = SpikingRNN(3, 4)
    other.load_state_dict(saved)
    assert torch.equal(other(X)[0], layer(X)[0])
    project_parameters(other)
    assert other.layers[0].lif.leak.item() == 1
    with torch.no_grad():
        layer.layers[0].lif.leak += 0.5
    with pytest.raises(ValueError, match=r"layers\.0\.lif\.leak: leak must .*project_parameters"):
        other.load_state_dict(saved)


def test_averages_of_every_kind():
    model, other = SpikingRNN(3, 4, leak=1.0), SpikingRNN(3, 4, leak=0.5)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for _ in range(2):
        averaged.update_parameters(model)
    average = copy.deepcopy(model)
    averages, values = average.state_dict(), other.state_dict()
    for name, value in averages.items():  # in place, as loops for moving averages are written
        value.mul_(0.5).add_(values[name], alpha=0.5)
    assert average.layers[0].lif.leak.item() == 0.75
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    for value in kept.values():
        value.mul_(1.0000001)  # rounding
    model.load_state_dict(kept)
    assert averaged.module.layers[0].lif.leak.item() == pytest.approx(1)


@pytest.mark.parametrize("assign", [True, False])
def test_assigned_partial_and_meta(assign):
    source, target = past_bounds(), SpikingRNN(3, 4, 2, per_channel=True)
    target.load_state_dict(source.state_dict(), assign=assign)
    assert torch.equal(target(X)[0], source(X)[0])
    part = {"layers.0.lif.leak": torch.full((4,), 0.25)}
    target.load_state_dict(part, strict=False, assign=assign)
    assert target.layers[0].lif.leak[0] == 0.25
    with torch.device("meta"):
        empty = SpikingRNN(3, 4, 2, per_channel=True)
    assert {value.device.type for value in empty.state_dict().values()} == {"meta"}
    empty.load_state_dict(source.state_dict(), assign=True)
    assert torch.equal(empty(X)[0], source(X)[0])


def test_a_layer_made_for_inference():
    with torch.inference_mode():
        layer = LIF()
        layer.leak.fill_(2.0)
    assert layer.state_dict()["leak"].item() == 1


class Half(nn.Module):
    def forward(self, x):
        return x / 2


# case 3.2
def test_parametrized_leaks_and_thresholds():
    def build():
        layer = SpikingRNN(3, 4)
        for name in ("leak", "threshold"):
            parametrize.register_parametrization(layer.layers[0].lif, name, Half())
        return layer

    source, target = build(), build()
    with torch.no_grad():
        source.layers[0].lif.parametrizations.leak.original.fill_(1.5)
    saved = source.state_dict()
    assert "layers.0.lif.parametrizations.leak.original" in saved and "layers.0.lif.leak" not in saved
    target.load_state_dict(saved)
    assert torch.equal(target(X)[0], source(X)[0])
    project_parameters(target)  # the parametrization says where its parameter may go
    assert torch.equal(target(X)[0], source(X)[0])
    reset = copy.deepcopy(target)
    reset.reset_parameters()
    assert reset.layers[0].lif.leak.item() == 0.75
    plain = SpikingRNN(3, 4, leak=0.75, threshold=0.5)
    plain.load_state_dict({k: v for k, v in saved.items() if "lif" not in k}, strict=False)
    assert torch.equal(plain(X)[0], source(X)[0])
    with spikeseq.monitor(source) as watch:
        source(X)
    assert len(watch.rates()) == 1
    swapped = spikeseq.swap(nn.Sequential(source, nn.LSTM(4, 4)))
    assert parametrize.is_parametrized(swapped[0].layers[0].lif)
