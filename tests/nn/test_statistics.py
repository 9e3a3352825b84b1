"""Running statistics, where one pass is made of pieces or run again: as one batch, counted once."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

import spikeseq
from spikeseq.nn import (
    NormalisedLIF,
    SpikingActivation,
    SpikingNetwork,
    StepBatchNorm,
    TimedDropout,
    run_in_chunks,
)  # fmt: skip


class OverPixels(nn.Module):
    """A normalisation per instance, of vectors."""

    def __init__(self, features, momentum):
        super().__init__()
        self.norm = nn.InstanceNorm1d(1, track_running_stats=True, momentum=momentum)

    def forward(self, x):
        return self.norm(x.unsqueeze(1)).squeeze(1)


class Tokens(nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x, state=None):
        return self.inner(x.unsqueeze(1), state)


def by_steps(size, momentum):
    norm = StepBatchNorm(size, 3)
    for part in norm.norms:
        part.momentum = momentum
    return norm


NORMS = {
    "batch": lambda size, momentum: nn.BatchNorm1d(size, momentum=momentum),
    "instance": OverPixels,
    "steps": lambda size, momentum: by_steps(size, momentum),
}


def network(norm, momentum=0.1, substeps=4, behind=True):
    torch.manual_seed(0)
    parts = [nn.Linear(3, 8), NORMS[norm](8, momentum), SpikingActivation(), nn.Linear(8, 5)]
    parts += [NORMS[norm](5, momentum), SpikingActivation()] if behind else [SpikingActivation()]
    return SpikingNetwork(nn.Sequential(*parts, nn.Linear(5, 2)), substeps=substeps)


def statistics(model):
    return {k: v.clone() for k, v in model.state_dict().items() if "running" in k or "tracked" in k}


# case 3.6
@pytest.mark.parametrize("momentum", [None, 0.1])
@pytest.mark.parametrize("norm", NORMS)
def test_chunks_count_as_one_batch(norm, momentum):
    whole, parts = (network(norm, momentum) for _ in range(2))
    for _ in range(3):
        x = torch.randn(16, 3)
        whole(x).sum().backward()
        parts(x, chunk=2).sum().backward()
    expected, found = statistics(whole), statistics(parts)
    for name, value in expected.items():
        first, mean = "network.1." in name, "mean" in name
        # Behind the first neurons, whose spikes are the same, chunks have one mean, but a variance each.
        alike = momentum is None and (first or (mean and norm == "batch"))
        if alike or "tracked" in name:
            assert torch.allclose(found[name], value, atol=1e-6), name
        assert found[name].isfinite().all()


@pytest.mark.parametrize("chunk", [1, 3, 25])
def test_gradients_of_chunks_are_those_without_statistics(chunk):
    counted, plain = network("batch"), network("batch")
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.track_running_stats, module.running_mean, module.running_var = False, None, None
    x = torch.randn(16, 3)
    for model in (counted, plain):
        model(x, chunk=chunk).square().sum().backward()
    for a, b in zip(counted.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)


def test_what_runs_again_sees_what_it_saw():
    """A spectral norm goes on at every call, once for a chunk; the gradient is that of its weight then."""
    torch.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Linear(3, 4), n_power_iterations=1)

    class Run(nn.Module):
        def __init__(self):
            super().__init__()
            self.map = copy.deepcopy(layer)

        def forward(self, x, state=None):
            return self.map(x), torch.zeros(())

    chunked, plain, x = Run(), Run(), torch.randn(4, 2, 3)
    run_in_chunks(chunked, x, size=2)[0].square().sum().backward()
    torch.cat([plain(piece)[0] for piece in x.split(2)]).square().sum().backward()
    for (name, a), b in zip(chunked.named_parameters(), plain.parameters(), strict=True):
        assert torch.allclose(a.grad, b.grad), name
    for a, b in zip(chunked.buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b)


def test_run_in_chunks_counts_once():
    layer = Tokens(NormalisedLIF(4, substeps=2, norm="batch", persist=True))
    for count in range(1, 4):
        with torch.set_grad_enabled(count < 3):
            out, _ = run_in_chunks(layer, torch.randn(6, 3, 4), size=2)
        if out.requires_grad:
            out.sum().backward()
        assert layer.inner.batch.num_batches_tracked.item() == count


def test_an_error_leaves_the_statistics_alone():
    model = network("batch", None)
    before = statistics(model)
    model.network[5].register_forward_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(torch.randn(4, 3), chunk=2)
    after = statistics(model)
    assert all(torch.equal(value, after[name]) for name, value in before.items())


# case 3.7
@pytest.mark.parametrize("tracked", [True, False])
def test_pieces_do_not_divide_a_batch(tracked):
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(5, track_running_stats=tracked)
    model = SpikingNetwork(
        nn.Sequential(
            nn.Linear(3, 8), SpikingActivation(), nn.Linear(8, 5), norm, SpikingActivation(), nn.Linear(5, 2)
        ),
        substeps=25,
    ).train(tracked)
    other, x = copy.deepcopy(model), torch.randn(16, 3)
    expected = model(x)
    with torch.no_grad():
        assert torch.equal(other(x), expected)
    assert all(torch.equal(a, b) for a, b in zip(other.buffers(), model.buffers(), strict=True))


def test_evaluation_goes_piece_by_piece(monkeypatch):
    model = SpikingNetwork(
        nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), SpikingActivation(), TimedDropout()), substeps=25
    ).eval()
    calls = []
    model.network[0].register_forward_hook(lambda *_: calls.append(1))
    with torch.no_grad():
        model(torch.randn(2, 3))
    assert len(calls) == 3


# case 3.9
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("truncate", [True, False])
def test_swapped_layers_run_in_chunks(kind, truncate):
    torch.manual_seed(0)
    layer, x = spikeseq.swap(kind(3, 4, 2)).double(), torch.randn(9, 2, 3, dtype=torch.float64)
    lengths = torch.tensor([9, 5])
    expected, final = layer(x, lengths=lengths)
    out, state = run_in_chunks(layer, x, size=4, lengths=lengths, truncate=truncate)
    assert torch.equal(out, expected)
    states = (final, state) if isinstance(final, tuple) else ((final,), (state,))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
    out.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
