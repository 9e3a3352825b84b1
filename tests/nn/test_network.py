"""Image networks over time: the clock, spiking activations, dropout and normalisation inside them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeseq.functional import ArcTan, SpikeTime, lif, poisson
from spikeseq.nn import (
    SpikingActivation,
    SpikingNetwork,
    StepBatchNorm,
    TimedDropout,
    reorder_state,
    select_state,
)
from spikeseq.nn.clock import Clock, current_clock, running


def small(dropout: float = 0.0, norm: bool = False, **neuron: object) -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4) if norm else nn.Identity(),
        SpikingActivation(threshold=0.3, leak=0.9, **neuron),
        TimedDropout(dropout) if dropout else nn.Identity(),
        nn.AvgPool2d(2),
        nn.Conv2d(4, 6, 3, bias=False),
        SpikingActivation(threshold=0.2, leak=0.9, **neuron),
        nn.Flatten(),
        nn.Linear(6 * 4, 3, bias=False),
    ).double()


def frames(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, 2, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(network: nn.Sequential, rows: torch.Tensor, hold: int) -> torch.Tensor:
    """The same network with time in a loop of its own: every layer over (T, B, *)."""
    x = rows.repeat_interleave(hold, 0)
    for layer in network:
        if isinstance(layer, SpikingActivation):
            x, _ = lif(x, **layer.neurons[0].neuron()._asdict())
        else:
            x = torch.stack([layer(row) for row in x])
    return x.cumsum(0)[hold - 1 :: hold]


@pytest.mark.parametrize("channels", [None, 6])
@pytest.mark.parametrize("surrogate", [ArcTan(), SpikeTime(width=20.0)])
def test_membranes_can_start_at_a_share_of_the_threshold(channels, surrogate):
    neurons = SpikingActivation(initial=0.5, leak=0.9, threshold=0.4, channels=channels, surrogate=surrogate)
    if channels:
        neurons.neurons[0].threshold.data *= torch.linspace(0.5, 2, channels)
    neurons.double()
    model = SpikingNetwork(nn.Sequential(neurons, nn.Flatten()))
    currents = 0.3 * torch.randn(3, 6, 2, 2, dtype=torch.float64)
    out, _state = model.advance(currents.unsqueeze(0), hold=4, every=True)
    # The same as a current in the first sub-step that the leak brings to that share.
    lif_layer = neurons.neurons[0]
    primed = currents.expand(4, 3, 6, 2, 2).clone()
    primed[0] += 0.9 * 0.5 * lif_layer.threshold.view(-1, 1, 1)
    spikes, _ = lif(primed, **lif_layer.neuron()._asdict())
    assert 0 < spikes.mean() < 1
    torch.testing.assert_close(out, spikes.flatten(2).cumsum(0))
    # Later calls go on from the state, however time is cut.
    parts, later = [], None
    for _ in range(4):
        part, later = model.advance(currents.unsqueeze(0), later)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), out)


def test_thresholds_learn_from_where_membranes_start():
    def gradient(**change: float) -> torch.Tensor:
        neurons = SpikingActivation(leak=1.0, threshold=0.5, **change)
        SpikingNetwork(nn.Sequential(neurons, nn.Flatten()), substeps=1)(
            torch.full((1, 1), 0.2)
        ).sum().backward()
        return neurons.neurons[0].threshold.grad

    # u = 0.2 + initial * 0.5, z = u / 0.5 - 1 = -0.1 at 0.5: dz/dthreshold = (0.5 * 0.5 - u) / 0.25.
    slope = 0.3 * (1 - 0.1)  # piecewise linear surrogate of height 0.3 at |z| = 0.1
    assert gradient(initial=0.5).item() == pytest.approx(slope * (0.25 - 0.45) / 0.25)
    assert gradient().item() == pytest.approx(0.3 * (1 - 0.6) * (-0.2) / 0.25)


@pytest.mark.parametrize("hold", [1, 4])
def test_every_layer_sees_its_own_time(hold):
    network, rows = small(), frames(3, 5)
    out, _ = SpikingNetwork(network).advance(rows, hold=hold)
    assert out.abs().max() > 0
    torch.testing.assert_close(out, by_hand(network, rows, hold))


def test_forward_holds_the_input():
    model, x = SpikingNetwork(small(), substeps=6), frames(5)
    torch.testing.assert_close(model(x), model.advance(x.unsqueeze(0), hold=6)[0][-1])
    torch.testing.assert_close(model(x, substeps=2), model.advance(x.expand(2, *x.shape))[0][-1])


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(1, 4), hold=st.integers(1, 3), memory=st.booleans())
def test_chunks_are_the_whole(cut, hold, memory):
    model = SpikingNetwork(small(**({"surrogate": SpikeTime()} if memory else {})))
    rows = frames(5, 3)
    whole, end = model.advance(rows, hold=hold)
    first, state = model.advance(rows[:cut], hold=hold)
    second, state = model.advance(rows[cut:], state, hold=hold)
    torch.testing.assert_close(torch.cat((first, second)), whole)
    for part, expected in zip(state, end, strict=True):
        torch.testing.assert_close(part, expected)


@pytest.mark.parametrize("surrogate", [ArcTan(), SpikeTime()], ids=str)
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_rows_of_a_state_can_be_chosen(surrogate, order):
    model, rows = SpikingNetwork(small(surrogate=surrogate)), frames(4, 3)
    rows = rows.flatten(0, 1).contiguous(memory_format=order).unflatten(0, (4, 3))
    whole, _ = model.advance(rows)
    _, state = model.advance(rows[:2])
    for chosen, select in (([2, 0, 2], reorder_state), ([False, True, True], select_state)):
        out, _ = model.advance(rows[2:, chosen], select(state, torch.tensor(chosen)))
        torch.testing.assert_close(out, whole[2:, chosen])


def test_batch_first_agrees_with_time_first():
    rows, network = frames(4, 3), small()
    whole, state = SpikingNetwork(network).advance(rows)
    other, again = SpikingNetwork(network, batch_first=True).advance(rows.transpose(0, 1))
    torch.testing.assert_close(other.transpose(0, 1), whole)
    torch.testing.assert_close(again[-1], state[-1])


def test_sequences_do_not_see_each_other_nor_the_future():
    model, rows = SpikingNetwork(small()), frames(4, 3)
    whole, _ = model.advance(rows)
    changed = rows.clone()
    changed[2:] += 1
    changed[:, 1] += 1
    out, _ = model.advance(changed)
    torch.testing.assert_close(out[:2, [0, 2]], whole[:2, [0, 2]])
    assert not torch.equal(out[2:], whole[2:])


def test_memory_order_of_pixels_changes_nothing():
    model, x = SpikingNetwork(small(), substeps=3), frames(4)
    plain, state = model.advance(x.unsqueeze(0), hold=3)
    turned, other = model.advance(x.contiguous(memory_format=torch.channels_last).unsqueeze(0), hold=3)
    torch.testing.assert_close(turned, plain)
    assert [part.shape for part in other] == [part.shape for part in state]
    more, _ = model.advance(x.unsqueeze(0), other)
    torch.testing.assert_close(more, model.advance(x.unsqueeze(0), state)[0])


def test_gradients_reach_every_parameter():
    model = SpikingNetwork(small(norm=True), substeps=4)
    model(frames(5)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_gradients_reach_back_one_chunk():
    def gradients(run) -> list[torch.Tensor]:
        model = SpikingNetwork(small(), substeps=6)
        run(model).square().sum().backward()
        return [parameter.grad for parameter in model.parameters()]

    x = frames(4)

    def by_hand(model: SpikingNetwork) -> torch.Tensor:
        state, total = None, 0.0
        for _ in range(3):
            state = (
                None if state is None else (*(p.detach() for p in state[:-1]), torch.zeros_like(state[-1]))
            )
            out, state = model.advance(x.unsqueeze(0), state, hold=2)
            total = total + out[-1]
        return total

    whole, cut = gradients(lambda model: model(x)), gradients(lambda model: model(x, chunk=2))
    for a, b in zip(cut, gradients(by_hand), strict=True):
        torch.testing.assert_close(a, b)
    assert any(not torch.allclose(a, b) for a, b in zip(cut, whole, strict=True))
    for a, b in zip(gradients(lambda model: model(x, chunk=6)), whole, strict=True):
        torch.testing.assert_close(a, b)


def test_chunks_hand_dropout_on():
    neurons = SpikingActivation(leak=1.0, threshold=0.5, surrogate=ArcTan())
    model = SpikingNetwork(nn.Sequential(neurons, TimedDropout(0.5), nn.Flatten()), substeps=6).train()
    x = torch.ones(6, 50, requires_grad=True)
    torch.manual_seed(0)
    out = model(x, chunk=2)
    assert set(out.flatten().tolist()) == {0.0, 12.0}
    out.sum().backward()
    assert ((x.grad != 0) == (out != 0)).all()


def test_nothing_is_kept_between_calls():
    model, x = SpikingNetwork(small(), substeps=3), frames(2)
    first = model(x)
    assert current_clock() is None
    torch.testing.assert_close(model(x), first, rtol=0, atol=0)
    with pytest.raises(RuntimeError, match="SpikingNetwork"):
        model.network(x)


def test_a_module_called_twice_has_neurons_for_each_call():
    class Twice(nn.Module):
        def __init__(self, calls: int) -> None:
            super().__init__()
            self.fire = SpikingActivation(calls)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fire(2 * self.fire(x)).flatten(1)

    x = torch.full((1, 3), 0.6)
    model = SpikingNetwork(Twice(2), substeps=4)
    model.network.fire.neurons[1].threshold.data.fill_(3.0)
    assert model(x).tolist() != SpikingNetwork(Twice(2), substeps=4)(x).tolist()
    with pytest.raises(RuntimeError, match="made for 1 calls a pass"):
        SpikingNetwork(Twice(1))(x)


def test_spikes_can_count_as_much_as_thresholds():
    layer = SpikingActivation()
    layer.set_height(0, 2.5)
    model = SpikingNetwork(nn.Sequential(layer, nn.Flatten()), substeps=1)
    assert model(torch.full((1, 2), 1.5)).tolist() == [[2.5, 2.5]]
    fresh = SpikingActivation()
    fresh.load_state_dict(layer.state_dict())
    assert fresh.scaled


def test_dropout_has_one_mask_for_all_substeps_and_hands_it_on():
    model = SpikingNetwork(
        nn.Sequential(SpikingActivation(leak=1.0), TimedDropout(0.5), nn.Flatten())
    ).train()
    x = torch.full((1, 6, 50), 1.5)  # every neuron fires at every sub-step
    torch.manual_seed(0)
    first, state = model.advance(x, hold=3)
    assert set(first.flatten().tolist()) == {0.0, 6.0}
    second, _ = model.advance(x, state, hold=3)
    torch.testing.assert_close(second, 2 * first)
    torch.testing.assert_close(model.eval()(x[0]), torch.full((6, 50), 5.0))
    outside = TimedDropout(0.5).train()(torch.ones(100, 50))
    assert set(outside.flatten().tolist()) == {0.0, 2.0}


def test_normalisation_by_substep():
    norm = StepBatchNorm(3, steps=2).double().train()
    x = torch.randn(3, 8, 3, 4, 4, dtype=torch.float64) * torch.tensor([1.0, 5.0, 9.0]).view(3, 1, 1, 1, 1)
    clock = Clock(rows=1, hold=3, batch=8, fired=1)
    with running(clock):
        out = norm(x.flatten(0, 1)).unflatten(0, (3, 8))
    deviations = out.std((1, 3, 4), correction=0)
    torch.testing.assert_close(deviations, torch.ones_like(deviations), atol=1e-3, rtol=0)
    assert norm.norms[0].running_var.max() < norm.norms[1].running_var.min()
    assert clock.after[0].tolist() == [3] * 8
    with running(Clock(rows=3, hold=1, batch=8)):  # before the first neurons: statistics of all
        together = norm(x.flatten(0, 1)).unflatten(0, (3, 8))
    assert together[0].std() < 0.5 < 1.2 < together[2].std()


def test_poisson_spikes_come_at_the_rate_of_the_values():
    x = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0, -0.3])
    spikes = poisson(x, 20_000, generator=torch.Generator().manual_seed(5))
    assert set(spikes.unique().tolist()) == {-1.0, 0.0, 1.0}
    deviation = (x.abs() * (1 - x.abs()) / 20_000).sqrt()
    assert ((spikes.mean(0) - x).abs() <= 4 * deviation).all()
    half = poisson(x, 20_000, rate=0.5, generator=torch.Generator().manual_seed(5))
    assert ((half.mean(0) - x / 2).abs() <= 0.02).all()


def test_poisson_spikes_can_stand_for_large_values():
    x = torch.tensor([[3.0, -2.0, 0.5, 0.0]])
    model = SpikingNetwork(small(), encoding="poisson", largest=4.0)
    spikes = model.encode(x, 20_000, torch.Generator().manual_seed(1))
    assert set(spikes.unique().tolist()) == {-4.0, 0.0, 4.0}
    torch.testing.assert_close(spikes.mean(0), x, atol=0.06, rtol=0)
    clipped = SpikingNetwork(small(), encoding="poisson").encode(x, 2000, torch.Generator().manual_seed(1))
    assert clipped.mean(0)[0, :2].tolist() == [1.0, -1.0]


def test_seeded_spikes_do_not_depend_on_the_batch():
    x = torch.rand(4, 5)
    model = SpikingNetwork(nn.Sequential(SpikingActivation(leak=1.0)), encoding="poisson", substeps=23)
    with torch.no_grad():
        whole = model(x, generator=torch.Generator().manual_seed(1))
        parts = [model(part, generator=torch.Generator().manual_seed(1)) for part in x.split([1, 3])]
    assert torch.equal(torch.cat(parts), whole)
    assert model.encode(x[:1].expand(2, -1), 30).unique(dim=1).shape[1] == 2  # those of a training do


def test_poisson_is_seeded():
    x = torch.rand(4, 5)
    draw = [poisson(x, 7, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    model = SpikingNetwork(nn.Sequential(SpikingActivation(leak=1.0)), encoding="poisson", substeps=9)
    outs = [model(x, generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SpikingNetwork(nn.Linear(3, 2)), "no SpikingActivation"),
        (lambda: SpikingNetwork(small(), substeps=0), "substeps must be at least 1, got 0"),
        (lambda: SpikingNetwork(small(), largest=0.0), "largest must be a positive number, got 0.0"),
        (lambda: SpikingNetwork(small(), encoding="rate"), "'direct', 'poisson', got 'rate'"),
        (lambda: SpikingNetwork(small())(frames(2), substeps=-1), "substeps must be at least 1, got -1"),
        (lambda: SpikingNetwork(small())(frames(2), chunk=0), "chunk must be at least 1, got 0"),
        (lambda: SpikingNetwork(small()).advance(frames(2, 3), hold=0), "hold must be at least 1, got 0"),
        (lambda: SpikingNetwork(small()).advance(frames(0, 3)), "not empty"),
        (lambda: SpikingNetwork(small()).advance(frames(1, 3), (None,)), "state has 0 parts"),
        (lambda: SpikingNetwork(small()).advance(frames(1, 3), (None,) * 9), "state has 8 parts"),
        (lambda: SpikingActivation(0), "calls must be at least 1, got 0"),
        (lambda: SpikingActivation(initial=1.5), r"initial must lie in \[0, 1\].*got 1.5"),
        (lambda: SpikingActivation(initial=float("nan")), r"initial must lie in \[0, 1\].*got nan"),
        (lambda: SpikingActivation(initial=True), "initial must be a number, got True"),
        (lambda: TimedDropout(1.0), r"p must lie in \[0, 1\), got 1.0"),
        (lambda: poisson(torch.ones(2, dtype=torch.uint8), 3), "floating point"),
        (lambda: poisson(torch.ones(2), 3, rate=0), r"rate must lie in \(0, 1\], got 0"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, lambda features: StepBatchNorm(features, steps=3)])
def test_whole_pieces_and_every_substep_agree(norm):
    network = small()
    network[1] = norm(4).double()
    network.insert(6, norm(6).double())
    model = SpikingNetwork(network, substeps=7)
    x = frames(4)
    for _ in range(3):
        model(x + torch.randn_like(x))
    model.eval().piece = 2
    with torch.no_grad():
        pieces = model(x)
    whole, _ = model.advance(x.unsqueeze(0), hold=7, every=True)
    assert whole.shape == (7, 4, 3)
    torch.testing.assert_close(whole[-1], pieces)
    torch.testing.assert_close(whole[-1], model(x))
    first, state = model.advance(x.unsqueeze(0), hold=3, every=True)
    second, _ = model.advance(x.unsqueeze(0), state, hold=4, every=True)
    torch.testing.assert_close(torch.cat((first, second)), whole)


def test_chunks_count_a_batch_once_in_statistics():
    seen = []
    for chunk in (None, 2):
        model = SpikingNetwork(small(norm=True), substeps=4).train()
        model(frames(5), chunk=chunk).sum().backward()
        seen.append(model.network[1].running_mean)
    # Two chunks of one held image: two updates towards the same mean, 0.1 and 0.19 of the way.
    torch.testing.assert_close(seen[1], seen[0] * 1.9)
