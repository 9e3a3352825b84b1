"""Recurrences of rounded operands against whole-number arithmetic, and against torch's own."""

import numpy as np
import pytest
import torch

from spikeseq.quantisation import KINDS, QuantisedRecurrence, QuantisedRNN
from spikeseq.quantisation.step import STATE_STEP


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def in_whole_numbers(layer, rows):
    """As a chip would: products of whole numbers, one scale for their sum, token by token."""
    states, weights = layer.states, layer.weights
    weight_step, state_step = weights.step.item(), states.step.item()
    weight = np.rint(layer.weight.detach().numpy() / weight_step).clip(weights.low, weights.high).astype(int)
    bias = 0.0 if layer.bias is None else layer.bias.detach().numpy()
    kept = np.zeros((rows.shape[1], layer.hidden_size))
    fed, out = np.zeros(kept.shape, dtype=int), []
    for row in rows.numpy():
        back = (fed @ weight.T) * (weight_step * state_step) + bias
        if layer.kind == "lstm":
            i, f, g, o = np.split(row + back, 4, 1)
            kept = np.rint((sigmoid(f) * kept + sigmoid(i) * np.tanh(g)) / STATE_STEP) * STATE_STEP
            hidden = sigmoid(o) * np.tanh(kept)
        else:
            (r, z, n), (back_r, back_z, back_n) = np.split(row, 3, 1), np.split(back, 3, 1)
            r, z = sigmoid(r + back_r), sigmoid(z + back_z)
            n = np.tanh(n + r * back_n)
            kept = hidden = np.rint(((1 - z) * n + z * kept) / STATE_STEP) * STATE_STEP
        fed = np.rint(hidden / state_step).clip(states.low, states.high).astype(int)
        out.append(fed * state_step)
    return np.stack(out)


@pytest.mark.parametrize("rectified", [False, True], ids=["signed", "rectified"])
@pytest.mark.parametrize("bits", [8, 4, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_those_of_whole_numbers(kind, bits, rectified):
    torch.manual_seed(0)
    layer = QuantisedRecurrence(kind, 5, bits=bits, rectified=rectified).double()
    rows = torch.randn(9, 3, KINDS[kind] * 5, dtype=torch.float64)
    found = layer(rows)[0].detach().numpy()
    np.testing.assert_allclose(found, in_whole_numbers(layer, rows), atol=1e-6)
    assert (found != 0).any()
    assert not rectified or (found >= 0).all()


@pytest.mark.parametrize("bits", [8, 4, 3])
def test_what_goes_through_products_has_so_many_levels(bits):
    torch.manual_seed(0)
    layer = QuantisedRNN("lstm", 6, 16, bits=bits)
    rows, recurrence = layer.rows(torch.randn(50, 4, 6)), layer.recurrence
    for values, step in (
        (rows, layer.inputs.step),
        (recurrence(rows)[0], recurrence.states.step),
        (recurrence.weights(recurrence.weight), recurrence.weights.step),
    ):
        whole = values / step
        torch.testing.assert_close(whole, whole.round())
        assert len(whole.round().unique()) <= 2**bits - 1


@pytest.mark.parametrize(("kind", "torchs"), [("lstm", torch.nn.LSTM), ("gru", torch.nn.GRU)], ids=KINDS)
def test_it_takes_over_what_torchs_layer_has_learnt(kind, torchs):
    torch.manual_seed(0)
    ours, theirs = QuantisedRNN(kind, 6, 16, bits=8), torchs(6, 16)
    ours.take(theirs)
    x = torch.randn(12, 3, 6)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0], atol=0.06, rtol=0)


def test_all_parameters_learn():
    torch.manual_seed(0)
    layer = QuantisedRNN("gru", 4, 8, bits=3)
    layer(torch.randn(6, 2, 4))[0].square().sum().backward()
    assert all(bool(p.grad.any()) for p in layer.parameters())


@pytest.mark.parametrize("bits", [2, 16, True, 4.5], ids=str)
def test_other_widths_are_refused(bits):
    with pytest.raises(ValueError, match="bits must be one of 8, 4, 3"):
        QuantisedRNN("gru", 4, 4, bits=bits)
