"""SpikingRNN: nn.LSTM's conventions, and the laws of sequences."""

import inspect
import itertools

import pytest
import torch
from torch import nn
from torch.nn.modules.module import register_module_full_backward_pre_hook
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from spikeseq.functional import ApproximateLIF, SpikeTime, spike_of
from spikeseq.nn import SpikingRNN, SpikingRNNCell

OPTIONS = {
    "plain": {},
    "stacked": {"num_layers": 3, "dropout": 0.5},
    "bidirectional": {"bidirectional": True, "num_layers": 2},
    "rate": {"readout": "rate", "num_layers": 2},
    "spikes": {"readout": "spikes", "bidirectional": True, "num_layers": 2},
    "recurrent": {"recurrent": True, "num_layers": 2},
    "everything": {
        "norm": "layer", "recurrent": True, "readout": "rate", "bidirectional": True, "num_layers": 2,
        "per_channel": True, "reset": "hard", "substeps": 3, "bias": False,
    },
}  # fmt: skip
options = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
LENGTHS = torch.tensor([7, 3, 0, 5])


def build(options, device="cpu", dtype=torch.float64):
    torch.manual_seed(0)
    return SpikingRNN(6, 8, **options, device=device, dtype=dtype).eval()


def rows_per_token(layer):
    return layer.substeps if layer.readout == "spikes" else 1


def double(*shape, device="cpu"):
    return torch.randn(*shape, dtype=torch.float64, device=device)


@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_shapes_are_those_of_an_lstm(num_layers, bidirectional, batch_first, bias):
    shared = {
        "num_layers": num_layers,
        "bidirectional": bidirectional,
        "batch_first": batch_first,
        "bias": bias,
    }
    lstm, ours = nn.LSTM(6, 8, **shared), SpikingRNN(6, 8, **shared)
    x = torch.randn(4, 5, 6)
    lengths = torch.tensor([5, 2, 3, 1] if batch_first else [4, 2, 3, 1, 1])
    packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=False)
    for given in (x, x[0], packed):
        expected, (h, _) = lstm(given)
        out, state = ours(given)
        if isinstance(given, PackedSequence):
            expected, out = expected.data, out.data
        assert out.shape == expected.shape and state.shape == h.shape
        again, _ = ours(given, state)
        assert type(again) is type(given)
    for name in (
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
    ):
        assert getattr(ours, name) == getattr(lstm, name)
    assert any("bias" in name for name, _ in ours.named_parameters()) == bias


def test_arguments_come_in_an_lstms_order():
    names = list(inspect.signature(SpikingRNN.__init__).parameters)[1:]
    assert names[:7] == [
        "input_size",
        "hidden_size",
        "num_layers",
        "bias",
        "batch_first",
        "dropout",
        "bidirectional",
    ]
    layer = SpikingRNN(6, 8, 2, False, True, 0.1, True)
    assert layer(torch.randn(3, 4, 6))[0].shape == (3, 4, 16)
    assert layer.flatten_parameters() is None


@options
def test_batch_first_and_no_batch_are_only_views(options):
    layer = build(options)
    x = double(7, 4, 6)
    out, state = layer(x)
    layer.batch_first = True
    turned, same = layer(x.transpose(0, 1))
    assert torch.equal(turned.transpose(0, 1), out) and torch.equal(same, state)
    alone, alone_state = layer(x[:, 1])
    torch.testing.assert_close(alone, out[:, 1])
    torch.testing.assert_close(alone_state, state[:, 1])
    continued, _ = layer(x[:, 1], alone_state)
    torch.testing.assert_close(continued, layer(x.transpose(0, 1), state)[0].transpose(0, 1)[:, 1])


@options
def test_a_ragged_batch_is_each_sequence_alone(device, options):
    layer, lengths = build(options, device), LENGTHS.to(device)
    x = double(7, 4, 6, device=device)
    start = double(len(layer.layers), 4, 8, device=device)
    out, state = layer(x, start, lengths=lengths)
    rows = rows_per_token(layer)
    for b, n in enumerate(LENGTHS.tolist()):
        assert not out[n * rows :, b].any()
        if n == 0:
            assert torch.equal(state[:, b], start[:, b])
            continue
        alone, alone_state = layer(x[:n, b], start[:, b])
        torch.testing.assert_close(out[: n * rows, b], alone, rtol=0, atol=1e-9)
        torch.testing.assert_close(state[:, b], alone_state, rtol=0, atol=1e-9)


def test_in_float32_hardly_a_spike_differs():
    torch.manual_seed(0)
    layer = SpikingRNN(64, 96, num_layers=2, readout="spikes")
    x, lengths = torch.randn(40, 8, 64), torch.randint(20, 41, (8,))
    with torch.no_grad():
        out, _ = layer(x, lengths=lengths)
        flipped = sum(
            (out[: 5 * n, b] != layer(x[:n, b])[0]).sum().item() for b, n in enumerate(lengths.tolist())
        )
    assert flipped <= 1e-4 * 5 * lengths.sum().item() * 96


@options
def test_padding_has_no_part_in_the_gradients(options):
    layer = build(options)
    x = double(7, 4, 6).requires_grad_()
    other = x.detach() + 9 * (torch.arange(7).unsqueeze(1) >= LENGTHS).unsqueeze(2)
    other.requires_grad_()
    found = []
    for each in (x, other):
        out, state = layer(each, lengths=LENGTHS)
        found.append(torch.autograd.grad(out.square().sum() + state.sum(), [each, *layer.parameters()]))
    torch.testing.assert_close(*found)
    assert all(not found[0][0][n:, b].any() for b, n in enumerate(LENGTHS.tolist()))


@options
@pytest.mark.parametrize("lengths, enforce_sorted", [([7, 3, 1, 5], False), ([7, 5, 5, 2], True)], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
def test_packed_is_padded_with_lengths(options, lengths, enforce_sorted, batch_first):
    layer, lengths = build({**options, "batch_first": batch_first}), torch.tensor(lengths)
    x = double(4, 7, 6) if batch_first else double(7, 4, 6)
    start = double(len(layer.layers), 4, 8)
    out, state = layer(x, start, lengths=lengths)
    packed = pack_padded_sequence(x, lengths, batch_first=batch_first, enforce_sorted=enforce_sorted)
    packed_out, packed_state = layer(packed, start)
    unpacked, sizes = pad_packed_sequence(packed_out, batch_first=batch_first)
    torch.testing.assert_close(unpacked, out)
    torch.testing.assert_close(packed_state, state)
    assert torch.equal(sizes, lengths * rows_per_token(layer))
    for a, b in (
        (packed.sorted_indices, packed_out.sorted_indices),
        (packed.unsorted_indices, packed_out.unsorted_indices),
    ):
        assert (a is None and b is None) or torch.equal(a, b)
    if rows_per_token(layer) == 1:
        assert torch.equal(packed.batch_sizes, packed_out.batch_sizes)


@options
@pytest.mark.parametrize("cut", [1, 4])
def test_chunked_is_whole(options, cut):
    options = {**options, "bidirectional": False}
    layer = build(options)
    x = double(7, 4, 6).requires_grad_()
    out, state = layer(x, lengths=LENGTHS)
    first, middle = layer(x[:cut], lengths=LENGTHS.clamp(max=cut))
    second, final = layer(x[cut:], middle, lengths=(LENGTHS - cut).clamp(min=0))
    torch.testing.assert_close(torch.cat((first, second)), out)
    torch.testing.assert_close(final, state)
    leaves = [x, *layer.parameters()]
    whole = torch.autograd.grad(out.square().sum() + state.sum(), leaves)
    chunks = torch.autograd.grad(first.square().sum() + second.square().sum() + final.sum(), leaves)
    torch.testing.assert_close(chunks, whole)


def test_the_other_direction_reverses_tokens_and_not_sub_steps():
    layer = build({"bidirectional": True, "readout": "spikes"})
    backwards = build({"readout": "spikes"})
    backwards.layers[0].load_state_dict(layer.layers[1].state_dict())
    x = double(7, 4, 6)
    out, state = layer(x, lengths=LENGTHS)
    for b, n in enumerate(LENGTHS.tolist()):
        if n == 0:
            continue
        alone, alone_state = backwards(x[:n, b].flip(0))
        tokens = alone.unflatten(0, (n, 5)).flip(0).flatten(0, 1)
        assert torch.equal(out[: 5 * n, b, 8:], tokens)
        torch.testing.assert_close(state[1, b], alone_state[0])


@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("readout", ["membrane", "rate", "spikes"])
def test_feedback_is_a_plain_loop(reset, readout):
    layer = build({"recurrent": True, "readout": readout, "reset": reset})
    (only,) = layer.layers
    x, u = double(7, 4, 6), double(4, 8)
    out, state = layer(x, u.unsqueeze(0))
    leak, v = only.lif.leak, only.lif.threshold
    rows = []
    for token in x:
        current, row = only.input_map(token), []
        for _ in range(5):
            o = (u > v).to(u)
            kept = leak * u - v * o if reset == "soft" else leak * u * (1 - o)
            u = kept + current + only.feedback(o)
            row.append((u > v).to(u))
        rows += {"membrane": [u], "rate": [sum(row) / 5], "spikes": row}[readout]
    torch.testing.assert_close(out, torch.stack(rows))
    torch.testing.assert_close(state[0], u)


@pytest.mark.parametrize(
    "options", [o for o in OPTIONS.values() if o.get("num_layers", 1) == 1 or "recurrent" in o]
)
def test_the_cell_is_the_layer_token_by_token(options):
    options = {k: v for k, v in options.items() if k not in ("num_layers", "bidirectional")}
    layer = build(options)
    cell = SpikingRNNCell(6, 8, **options, dtype=torch.float64)
    cell.layer.load_state_dict(layer.layers[0].state_dict())
    x = double(7, 4, 6)
    out, state = layer(x)
    hx, outs = None, []
    for token in x:
        y, hx = cell(token, hx)
        outs.append(y)
    joined = torch.cat(outs) if layer.readout == "spikes" else torch.stack(outs)
    torch.testing.assert_close(joined, out)
    torch.testing.assert_close(hx, state[0])
    single, single_state = cell(x[0, 0], hx[0])
    assert single.shape == (*y.shape[:-2], 8) and single_state.shape == (8,)


@pytest.mark.parametrize("surrogate", [ApproximateLIF(), SpikeTime()], ids=["two", "one"])
@pytest.mark.parametrize("recurrent", [False, True])
def test_a_surrogate_with_memory_keeps_it_in_the_state(recurrent, surrogate):
    layer = build({"surrogate": surrogate, "num_layers": 2, "recurrent": recurrent})
    x, planes = double(7, 4, 6), 1 + surrogate.memory_planes
    out, state = layer(x)
    assert state.shape == (2, planes, 4, 8)
    first, middle = layer(x[:3])
    second, final = layer(x[3:], middle)
    torch.testing.assert_close(torch.cat((first, second)), out)
    torch.testing.assert_close(final, state)
    _, alone_state = layer(x[:, 0])
    assert alone_state.shape == (2, planes, 8)
    layer(x[:, 0], alone_state)
    cell = SpikingRNNCell(6, 8, surrogate=surrogate, recurrent=recurrent, dtype=torch.float64)
    _, one = cell(x[0, 0])
    assert cell(x[0, 0], one)[1].shape == (planes, 8)


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_ragged_batch_starts_and_ends_with_the_memory_of_each_sequence(recurrent):
    options = {"surrogate": SpikeTime(), "bidirectional": True, "num_layers": 2, "recurrent": recurrent}
    layer, x = build(options), double(7, 4, 6)
    out, state = layer(x, lengths=LENGTHS)
    assert state.shape == (4, 2, 4, 8)
    for b, n in enumerate(LENGTHS.tolist()):
        if n == 0:
            assert not state[:, 0, b].any() and (state[:, 1, b] == 1000).all()
            continue
        alone, alone_state = layer(x[:n, b])
        torch.testing.assert_close(out[:n, b], alone, rtol=0, atol=1e-9)
        torch.testing.assert_close(state[..., b, :], alone_state, rtol=0, atol=1e-9)


def test_dropout_acts_between_layers_in_training_only():
    layer = build({"num_layers": 2, "dropout": 0.5, "readout": "spikes"}, dtype=torch.float32)
    x = torch.randn(7, 4, 6)
    assert torch.equal(layer(x)[0], layer(x)[0])
    layer.train()
    assert not torch.equal(layer(x)[0], layer(x)[0])
    with pytest.warns(UserWarning, match="num_layers is 1"):
        SpikingRNN(6, 8, dropout=0.5)


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("recurrent, norm", [(False, None), (True, None), (False, "layer")])
def test_a_fresh_network_is_neither_dead_nor_saturated(num_layers, recurrent, norm):
    torch.manual_seed(0)
    layer = SpikingRNN(64, 128, num_layers, recurrent=recurrent, norm=norm)
    with torch.no_grad():
        x = torch.randn(20, 16, 64)
        for index, each in enumerate(layer.layers):
            x, _ = each(x, None, lengths=None, substeps=1 if index else 5, readout="spikes")
            rate = x.mean().item()
            assert 0.02 <= rate <= 0.6, f"spike rate {rate:.3f} in layer {index}"
            assert (x.amax((0, 1)) == 0).float().mean() < 0.2, "silent neurons"


def test_repr():
    layer = SpikingRNN(6, 8, 2, batch_first=True, dropout=0.1, recurrent=True, readout="rate")
    assert (
        "6, 8, num_layers=2, batch_first=True, recurrent=True, dropout=0.1, substeps=5, readout='rate'"
        in repr(layer)
    )
    assert "6, 8, substeps=5, readout='membrane'" in repr(SpikingRNNCell(6, 8))


def test_spikes_of_the_state_are_the_last_spikes():
    layer = build({"readout": "spikes"})
    out, state = layer(double(7, 4, 6))
    neuron = layer.layers[0].lif.neuron()
    last = spike_of(state[0], threshold=neuron.threshold, surrogate=neuron.surrogate)
    assert torch.equal(last, out[-1])


def test_an_empty_batch_is_served():
    for bidirectional, recurrent in itertools.product((False, True), repeat=2):
        layer = build({"num_layers": 2, "bidirectional": bidirectional, "recurrent": recurrent})
        out, state = layer(double(3, 0, 6), lengths=torch.zeros(0, dtype=torch.int64))
        assert out.shape == (3, 0, 8 * (1 + bidirectional)) and state.shape == (2 * (1 + bidirectional), 0, 8)
        out.sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype(device, dtype):
    layer = SpikingRNN(6, 8, 2, recurrent=True, norm="layer", device=device, dtype=dtype)
    out, state = layer(torch.randn(3, 4, 6, device=device, dtype=dtype))
    assert out.dtype == dtype and state.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    (out.sum() + state.sum()).backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())


def test_construction_without_memory():
    with torch.device("meta"):
        layer = SpikingRNN(6, 8, 2, recurrent=True)
    assert layer(torch.randn(3, 4, 6, device="meta"))[0].shape == (3, 4, 8)
    source = SpikingRNN(6, 8, 2, recurrent=True)
    filled = layer.to_empty(device="cpu")
    filled.load_state_dict(source.state_dict())
    x = torch.randn(3, 4, 6)
    assert torch.equal(filled(x)[0], source(x)[0])


@pytest.mark.parametrize("look", ["forward", "backward", "by hand", "everywhere"])
def test_whoever_looks_at_a_map_is_called(look, request):
    layer, seen = SpikingRNN(3, 4), []
    part = layer.layers[0].input_map
    if look == "forward":
        part.register_forward_hook(lambda *_: seen.append(1))
    elif look == "backward":
        part.register_full_backward_hook(lambda *_: seen.append(1))
    elif look == "everywhere":
        hook = register_module_full_backward_pre_hook(lambda one, *_: seen.extend([1] * (one is part)))
        request.addfinalizer(hook.remove)
    else:
        plain = part.forward
        part.forward = lambda x: (seen.append(1), plain(x))[1]
    layer(torch.randn(2, 1, 3, requires_grad=True))[0].sum().backward()
    assert seen
