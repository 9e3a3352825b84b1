"""monitor: rates worked out by hand, whatever the read-out; the penalty against its definition."""

import pytest
import torch
from torch import nn

from spikeseq.monitor import monitor
from spikeseq.nn import LIF, LIFCell, SpikingConvBlock, SpikingRNN, SpikingRNNCell
from spikeseq.swap import swap

# IF neurons with threshold 1, soft reset, four sub-steps, one token:
#   current 0.6: u = 0.6, 1.2*, 0.8, 1.4*           2 spikes
#   current 0.2: u = 0.2, 0.4, 0.6, 0.8             0 spikes
#   current 3.0: u = 3*, 5*, 7*, 9*                 4 spikes
CURRENT = torch.tensor([[[0.6, 0.2, 3.0]]])  # (L, B, neurons) = (1, 1, 3)


def if_neurons(kind=LIF, substeps=4):
    return kind(leak=1.0, substeps=substeps)


@pytest.mark.parametrize("readout", ["spikes", "rate", "membrane"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_rates_by_hand(readout, dtype):
    layer = if_neurons()
    with monitor(layer) as watch:
        layer(CURRENT.to(dtype), readout=readout)
    assert watch.rates() == {"model": pytest.approx(6 / 3)}  # spikes / neurons, between 0 and T = 4
    assert watch.rates(per="substep") == {"model": pytest.approx(6 / 12)}
    assert watch.silent() == {"model": pytest.approx(1 / 3)}
    assert watch.saturated() == {"model": pytest.approx(1 / 3)}


@pytest.mark.parametrize("readout", ["spikes", "membrane"])
def test_padding_is_left_out(readout):
    layer = if_neurons()
    current = CURRENT.expand(3, 2, 3)
    with monitor(layer) as watch:
        layer(current, lengths=torch.tensor([1, 0]), readout=readout)
    assert watch.rates() == {"model": pytest.approx(2.0)}
    assert watch.saturated() == {"model": pytest.approx(1 / 3)}


def test_a_cell_counts_as_its_layer():
    cell = if_neurons(LIFCell)
    for readout in ("spikes", "rate", "membrane"):
        with monitor(cell) as watch:
            cell(CURRENT[0], readout=readout)
        assert watch.rates() == {"model": pytest.approx(2.0)}, readout


def test_passes_add_up_until_reset():
    layer = if_neurons()
    with monitor(layer) as watch:
        layer(CURRENT)
        layer(torch.zeros(3, 1, 3), readout="membrane")
        assert watch.rates() == {"model": pytest.approx(0.5)}  # 2 in one token, nothing in three
        assert watch.saturated() == {"model": 0.0}
        watch.reset()
        assert watch.rates() == {}
        layer(torch.zeros(1, 1, 3))
        assert watch.silent() == {"model": 1.0}
        watch.reset()
        layer(torch.zeros(1, 1, 5))  # another shape is fine after a reset
        with pytest.raises(ValueError, match=r"\(5,\), now \(3,\).*reset"):
            layer(CURRENT)


def test_closed_monitor_no_longer_counts():
    layer = if_neurons()
    watch = monitor(layer)
    layer(CURRENT)
    watch.close()
    layer(torch.zeros(1, 1, 3))
    assert watch.rates() == {"model": pytest.approx(2.0)}
    assert not layer._forward_hooks


def spikes_of(model, x, **kwargs):
    """Spikes of the last layer, counted without a monitor."""
    model.readout = "spikes"
    out = model(x, **kwargs)[0]
    model.readout = "membrane"
    return out


@pytest.mark.parametrize("recurrent", [False, True])
def test_every_layer_of_a_spiking_rnn_is_per_token(recurrent):
    torch.manual_seed(0)
    rnn = SpikingRNN(4, 6, num_layers=2, bidirectional=True, substeps=3, recurrent=recurrent)
    x, lengths = torch.randn(7, 5, 4), torch.tensor([7, 3, 1, 6, 2])
    with torch.no_grad():
        expected = spikes_of(rnn, x, lengths=lengths).unflatten(-1, (2, 6)).sum((0, 1, 3)) / (
            lengths.sum() * 6
        )
        with monitor(nn.Sequential(rnn)) as watch:
            rnn(x, lengths=lengths)
    rates = watch.rates()
    assert list(rates) == [f"0.layers.{i}.lif" for i in range(4)]
    assert [rates["0.layers.2.lif"], rates["0.layers.3.lif"]] == pytest.approx(expected.tolist())
    per_substep = watch.rates(per="substep")
    assert all(rates[name] == pytest.approx(3 * per_substep[name]) for name in rates)
    assert all(0 < rate < 3 for rate in rates.values())


def test_sub_steps_per_token_of_layers_chained_by_hand():
    class Chain(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = if_neurons(), if_neurons(substeps=1)

        def forward(self, x):
            return self.second(3 * self.first(x)[0])

    model = Chain()
    with monitor(model) as unknown, monitor(model, substeps=4) as told:
        model.eval()(CURRENT)
    # The second layer gets 3 at each spike: 0 1 0 1 / 0 0 0 0 / 1 1 1 1 -> 3, 0 and 4 spikes, by hand:
    # 0, 3*, 2*, 4*: three; silent; always.
    assert unknown.rates() == {"first": pytest.approx(2.0), "second": pytest.approx(7 / 12)}
    assert told.rates() == {"first": pytest.approx(2.0), "second": pytest.approx(7 / 3)}
    model.substeps = 4  # or the model says it itself
    with monitor(model) as found:
        model(CURRENT)
    assert found.rates() == told.rates()


def test_a_swapped_model_and_its_cell():
    model = nn.ModuleDict({"rnn": nn.LSTM(4, 6), "cell": nn.GRUCell(4, 6)})
    spiking = swap(model, 2)
    with monitor(spiking) as watch:
        assert watch.rates() == {}
        spiking["rnn"](torch.randn(5, 3, 4))
        spiking["cell"](torch.randn(3, 4))
    assert set(watch.rates()) == {"rnn.layers.0.lif", "cell.layer.lif"}
    assert isinstance(spiking["cell"], SpikingRNNCell)
    table = watch.table().splitlines()
    assert len(table) == 3 and table[0].startswith("layer") and table[1].startswith("rnn.layers.0.lif")
    assert len({len(line) for line in table}) == 1


@pytest.mark.parametrize("readout", ["spikes", "rate", "membrane"])
def test_penalty_is_the_mean_rate_and_its_gradient(readout):
    layer = if_neurons()
    current = CURRENT.clone().requires_grad_()
    expected = layer(current)[0].mean()
    (gradient,) = torch.autograd.grad(expected, current)
    with monitor(layer, penalty=True) as watch:
        layer(current, readout=readout)
        penalty = watch.penalty()
        assert penalty.item() == pytest.approx(0.5)
        penalty.backward()
        torch.testing.assert_close(current.grad, gradient)
        assert gradient.abs().sum() > 0
        with pytest.raises(ValueError, match="no forward pass"):
            watch.penalty()
        layer(current.detach().requires_grad_())  # the next step, without a reset
        watch.penalty().backward()
        assert watch.rates() == {"model": pytest.approx(2.0)}


def test_penalty_leaves_padding_out_and_weighs_layers_by_neurons():
    model = nn.ModuleList([if_neurons(), if_neurons()])
    with monitor(model, penalty=True) as watch:
        model[0](CURRENT.expand(3, 2, 3), lengths=torch.tensor([1, 0]))  # 6 spikes at 12 places
        model[1](torch.full((1, 1, 1), 0.2))  # 0 at 4
        with torch.no_grad():
            model[1](torch.full((1, 1, 1), 3.0))  # no gradients, no part in it
        assert watch.penalty().item() == pytest.approx(6 / 16)


def test_penalty_lowers_the_rate():
    torch.manual_seed(0)
    rnn = SpikingRNN(4, 16, substeps=3)
    optimizer = torch.optim.Adam(rnn.parameters(), lr=0.02)
    x = torch.randn(6, 8, 4)
    rates = []
    with monitor(rnn, penalty=True) as watch:
        for _ in range(20):
            rnn(x)
            penalty = watch.penalty()
            optimizer.zero_grad()
            penalty.backward()
            optimizer.step()
            rates.append(penalty.item())
    assert rates[-1] < 0.5 * rates[0]


def test_monitoring_changes_nothing():
    torch.manual_seed(0)
    rnn = SpikingRNN(4, 6, num_layers=2)
    x = torch.randn(5, 3, 4)
    grads = []
    for watched in (False, True):
        rnn.zero_grad()
        if watched:
            monitor(rnn, penalty=True)
        rnn(x)[0].square().sum().backward()
        grads.append([p.grad.clone() for p in rnn.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))


def test_errors():
    with pytest.raises(ValueError, match=r"no spikeseq\.nn\.LIF"):
        monitor(nn.Linear(2, 2))
    with pytest.raises(TypeError, match="got int"):
        monitor(3)
    with pytest.raises(ValueError, match="substeps must be at least 1"):
        monitor(if_neurons(), substeps=0)
    with pytest.raises(ValueError, match="'token' or 'substep', got 'word'"):
        monitor(if_neurons()).rates(per="word")
    with pytest.raises(ValueError, match="penalty=True"):
        monitor(if_neurons()).penalty()


def test_silence_is_seen_and_normalised_currents_cure_it():
    torch.manual_seed(0)
    x = 0.01 * torch.randn(50, 8, 32)  # far too small for thresholds of 1
    for norm, expected in ((None, 1.0), ("layer", 0.0)):
        model = swap(nn.LSTM(32, 64), norm=norm)
        with monitor(model) as watch:
            model(x)
        assert watch.silent() == {"layers.0.lif": expected}


def test_a_convolutional_block_and_its_padding():
    torch.manual_seed(0)
    block = SpikingConvBlock(5, substeps=3, causal=False)
    current, lengths = torch.randn(6, 1, 2, 5), torch.tensor([6, 2])
    spikes, _ = block.activation(current, lengths=lengths)
    with monitor(block, penalty=True) as watch:
        block(current, lengths=lengths)
        share = spikes.sum().item() / (5 * 8 * 3)  # neurons * tokens that count * sub-steps
        assert watch.rates("substep") == {"activation": pytest.approx(share)}
        assert watch.rates() == {"activation": pytest.approx(3 * share)}
        assert watch.penalty().item() == pytest.approx(share)


@pytest.mark.parametrize(
    ("costs", "expected"), [(None, 8 / 16), ({"0": 10.0, "1": 2.0}, 80 / 96), ({"1": 1.0}, 0.0)]
)
def test_penalty_by_what_spikes_cost(costs, expected):
    model = nn.ModuleList([if_neurons(), if_neurons()])
    with monitor(model, penalty=True, costs=costs) as watch:
        model[0](torch.full((1, 1, 2), 3.0))  # 8 spikes at 8 places
        model[1](torch.full((1, 1, 2), 0.2))  # 0 at 8
        assert watch.penalty().item() == pytest.approx(expected)


def test_costs_of_a_layer_that_is_not_there():
    with pytest.raises(ValueError, match="costs must name layers out of 0, 1, got '2'"):
        monitor(nn.ModuleList([if_neurons(), if_neurons()]), penalty=True, costs={"2": 1.0})
