"""Long sequences in chunks: the values and gradients of the whole, in bounded memory."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.nn import LIF, SpikingRNN, run_in_chunks
from spikeseq.ops.build import ensure_native


def rnn(seed=0, **changes):
    torch.manual_seed(seed)
    return SpikingRNN(4, 6, num_layers=2, substeps=3, dtype=torch.float64, **changes)


def gradients(call, leaves):
    out, state = call()
    loss = (out * torch.arange(out.numel(), dtype=out.dtype).view_as(out).cos()).sum() + state.square().sum()
    return [out, state, *torch.autograd.grad(loss, leaves)]


def close(found, expected):
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 14), seed=st.integers(0, 5), ragged=st.booleans())
def test_chunks_are_the_whole(size, seed, ragged):
    layer = rnn(seed)
    x = torch.randn(11, 3, 4, dtype=torch.float64, requires_grad=True)
    hx = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([11, 0, 5]) if ragged else None
    leaves = [x, hx, *layer.parameters()]
    found = gradients(lambda: run_in_chunks(layer, x, hx, size=size, lengths=lengths), leaves)
    close(found, gradients(lambda: layer(x, hx, lengths=lengths), leaves))


def test_neurons_alone():
    layer, x = LIF(dtype=torch.float64), torch.randn(10, 2, 5, dtype=torch.float64)
    out, state = run_in_chunks(layer, x, size=3)
    whole, end = layer(x)
    assert torch.equal(out, whole) and torch.equal(state, end)


def test_truncated_gradients_stop_at_a_chunk_and_values_do_not():
    layer = rnn()
    x = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    out, _ = run_in_chunks(layer, x, size=3, truncate=True)
    torch.testing.assert_close(out, layer(x)[0])
    (grad,) = torch.autograd.grad(out[4].sum(), x)
    assert not grad[:3].any() and grad[3:5].any()
    (grad,) = torch.autograd.grad(run_in_chunks(layer, x, size=3)[0][4].sum(), x)
    assert grad[:3].any()


def test_a_start_state_learns_under_truncation_too():
    layer, hx = rnn(), torch.zeros(2, 2, 6, dtype=torch.float64, requires_grad=True)
    out, _ = run_in_chunks(layer, torch.randn(6, 2, 4, dtype=torch.float64), hx, size=3, truncate=True)
    (grad,) = torch.autograd.grad(out.sum(), hx)
    assert grad.any()


def test_lengths_are_checked_and_may_be_a_list():
    layer, x = rnn(), torch.randn(6, 2, 4, dtype=torch.float64)
    out, _ = run_in_chunks(layer, x, size=4, lengths=[6, 2])
    torch.testing.assert_close(out, layer(x, lengths=torch.tensor([6, 2]))[0])
    for wrong in ([7, 2], [-1, 2]):
        with pytest.raises(ValueError, match="lengths must be"):
            run_in_chunks(layer, x, size=4, lengths=torch.tensor(wrong))


def test_dropout_is_the_same_in_both_passes():
    layer = rnn(dropout=0.5)
    x = torch.randn(8, 2, 4, dtype=torch.float64, requires_grad=True)
    torch.manual_seed(3)
    found = gradients(lambda: run_in_chunks(layer, x, size=4), [x])
    torch.manual_seed(3)
    first, state = layer(x[:4])
    second, state = layer(x[4:], state)
    close(found, gradients(lambda: (torch.cat((first, second)), state), [x]))


@pytest.mark.skipif(not ensure_native("cpu"), reason="needs the native kernel")
def test_only_one_chunk_is_kept():
    """Whatever holds them: currents, spikes and outputs are large results, whose memory is counted."""
    layer, x = SpikingRNN(32, 64, num_layers=2), torch.randn(1000, 16, 32, requires_grad=True)

    def bytes_held(run):
        before = torch.ops.spikeseq.memory_in_use()
        out, _state = run()
        held = torch.ops.spikeseq.memory_in_use() - before
        out.sum().backward()
        return held

    whole, chunked = bytes_held(lambda: layer(x)), bytes_held(lambda: run_in_chunks(layer, x, size=50))
    assert whole > 20e6 and chunked < 0.1 * whole


def test_a_hundred_thousand_tokens():
    layer = SpikingRNN(4, 8, substeps=2)
    out, _ = run_in_chunks(layer, torch.randn(100_000, 1, 4), size=2_000)
    out.square().mean().backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in layer.parameters())


@pytest.mark.parametrize(
    "layer, x, size, message",
    [
        (rnn(), torch.zeros(3, 1, 4), 0, "size must be at least 1"),
        (rnn(), torch.zeros(0, 1, 4), 2, "at least one row"),
        (rnn(bidirectional=True), torch.zeros(3, 1, 4), 2, "bidirectional"),
        (rnn(batch_first=True), torch.zeros(1, 3, 4), 2, "batch_first"),
    ],
)
def test_bad_input_is_named(layer, x, size, message):
    with pytest.raises(ValueError, match=message):
        run_in_chunks(layer, x, size=size)
