"""Wrong arguments of the layers: one exception that names the argument, its value and what is accepted."""

import copy
import math

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence

from spikeseq.models.language import TokenShift
from spikeseq.nn import (
    LIF,
    CausalConv1d,
    Integrator,
    LIFCell,
    NormalisedLIF,
    NormalisedReLU,
    SequenceDropout,
    SpikingRNN,
    SpikingRNNCell,
    TokenConv1d,
)

X = torch.randn(5, 3, 4)
JAGGED = torch.nested.nested_tensor([X[:3, 0], X[:2, 0]], layout=torch.jagged)
PACKED = pack_padded_sequence(X, torch.tensor([5, 4, 1]))

BUILD = [
    (lambda: LIF(dtype=torch.complex64), TypeError, "dtype must be float32, .*, got torch.complex64"),
    (lambda: SpikingRNN(4, 5, dtype=torch.int64), TypeError, "dtype must be float32, .*, got torch.int64"),
    (lambda: LIF(0), ValueError, "channels must be at least 1, got 0"),
    (lambda: LIF(leak=1.5), ValueError, r"leak must lie in \[0, 1\], got 1.5"),
    (lambda: LIF(leak=math.nan), ValueError, r"leak must lie in \[0, 1\], got nan"),
    (lambda: LIF(leak=None), TypeError, "leak must be a number, got None"),
    (lambda: LIF(threshold=-1), ValueError, "threshold must be positive and finite, got -1"),
    (lambda: LIF(threshold="1"), TypeError, "threshold must be a number, got '1'"),
    (lambda: LIF(reset="none"), ValueError, "reset must be one of 'soft', .* got 'none'"),
    (lambda: LIF(surrogate="sigmoid"), TypeError, "surrogate must be one of .* got 'sigmoid'"),
    (lambda: LIF(substeps=0), ValueError, "substeps must be at least 1, got 0"),
    (lambda: Integrator(1.5), TypeError, "substeps must be an int, got 1.5"),
    (lambda: SequenceDropout(1.0), ValueError, r"p must lie in \[0, 1\), got 1.0"),
    (lambda: SpikingRNN(4, 0), ValueError, "hidden_size must be at least 1, got 0"),
    (lambda: SpikingRNN(4.0, 5), TypeError, "input_size must be an int, got 4.0"),
    (lambda: SpikingRNN(4, 5, 0), ValueError, "num_layers must be at least 1, got 0"),
    (lambda: SpikingRNN(4, 5, proj_size=3), ValueError, "proj_size must be 0 .* got 3"),
    (lambda: SpikingRNN(4, 5, 2, dropout=-0.5), ValueError, r"p must lie in \[0, 1\), got -0.5"),
    (
        lambda: SpikingRNN(4, 5, readout="mean"),
        ValueError,
        "readout must be one of 'spikes', 'rate', 'membrane', got",
    ),
    (lambda: SpikingRNN(4, 5, norm="batch"), ValueError, "norm must be one of 'layer', got 'batch'"),
    (lambda: SpikingRNN(4, 5, leak=2), ValueError, r"leak must lie in \[0, 1\], got 2"),
    (lambda: SpikingRNN(4, 5, tau=2), TypeError, "neurons take no 'tau'; they take"),
    (lambda: SpikingRNNCell(4, 5, substeps=-1), ValueError, "substeps must be at least 1, got -1"),
]

RNN = [
    ([[1.0]], {}, TypeError, "input must be a Tensor or a PackedSequence, got list"),
    (X[0, 0], {}, ValueError, r"input must be \(L, B, 4\) or \(L, 4\), got \(4,\)"),
    (X.unsqueeze(0), {}, ValueError, r"input must be \(L, B, 4\) or \(L, 4\), got \(1, 5, 3, 4\)"),
    (X[..., :3], {}, ValueError, r"input must have 4 features, got \(5, 3, 3\)"),
    (X[:0], {}, ValueError, r"input must have at least one token, got \(0, 3, 4\)"),
    (X.double(), {}, TypeError, "input must be torch.float32 as the layer is, got torch.float64"),
    (X.long(), {}, TypeError, "input must be torch.float32 as the layer is, got torch.int64"),
    (X.to("meta"), {}, ValueError, "input is on meta, the layer on cpu"),
    (X.to_sparse(), {}, TypeError, "input must be a dense tensor, .*, got layout torch.sparse_coo"),
    (JAGGED, {}, TypeError, "input must be a dense tensor, or a PackedSequence, got a nested tensor"),
    (X, {"hx": (torch.zeros(2, 3, 5), torch.zeros(2, 3, 5))}, TypeError, "hx must be a Tensor, got tuple"),
    (X, {"hx": torch.zeros(3, 5)}, ValueError, r"hx must have shape \(2, 3, 5\), got \(3, 5\)"),
    (X, {"hx": torch.zeros(1, 3, 5)}, ValueError, r"hx must have shape \(2, 3, 5\), got \(1, 3, 5\)"),
    (X, {"hx": torch.zeros(2, 4, 5)}, ValueError, r"hx must have shape \(2, 3, 5\), got \(2, 4, 5\)"),
    (X, {"hx": torch.zeros(2, 3, 6)}, ValueError, r"hx must have shape \(2, 3, 5\), got \(2, 3, 6\)"),
    (X, {"hx": torch.zeros(())}, ValueError, r"hx must have shape \(2, 3, 5\), got \(\)"),
    (X, {"hx": torch.zeros(2, 3, 5).double()}, TypeError, "hx must be torch.float32 .* got torch.float64"),
    (X, {"hx": torch.zeros(2, 3, 5, device="meta")}, ValueError, "hx is on meta, the input on cpu"),
    (X, {"hx": torch.zeros(2, 3, 5).to_sparse()}, TypeError, "hx must be dense, got layout"),
    (X[:, 0], {"hx": torch.zeros(2, 3, 5)}, ValueError, r"hx must have shape .* got \(2, 3, 1, 5\)"),
    (X[:, 0], {"hx": (torch.zeros(2, 5),) * 2}, TypeError, "hx must be a Tensor, got tuple"),
    (X[:, 0], {"lengths": torch.tensor([5])}, ValueError, "lengths goes with a batch of sequences"),
    (
        X,
        {"lengths": torch.tensor([5, 5])},
        ValueError,
        r"lengths must be 3 integers in \[0, 5\], one per sequence, got",
    ),
    (X, {"lengths": torch.ones(3)}, ValueError, "lengths must be 3 integers .* of torch.float32"),
    (
        X,
        {"lengths": torch.ones(3, dtype=torch.bool)},
        ValueError,
        "lengths must be 3 integers .* of torch.bool",
    ),
    (X, {"lengths": "all"}, TypeError, "lengths must be 3 integers .* got 'all'"),
    (X, {"lengths": torch.tensor([5, 6, 0])}, ValueError, r"lengths must be 3 integers in \[0, 5\].* got 6"),
    (X, {"lengths": [5, -1, 0]}, ValueError, r"lengths must be 3 integers in \[0, 5\].* got -1"),
    (PACKED, {"lengths": torch.tensor([5, 4, 1])}, ValueError, "a PackedSequence holds its own lengths"),
    (PACKED, {"hx": torch.zeros(2, 2, 5)}, ValueError, r"hx must have shape \(2, 3, 5\), got \(2, 2, 5\)"),
    (
        PACKED.to(torch.float64),
        {},
        TypeError,
        "input must be torch.float32 as the layer is, got torch.float64",
    ),
    (pack_padded_sequence(X[..., :2], torch.tensor([5, 4, 1])), {}, ValueError, "input must have 4 features"),
]

CELL = [
    (3.0, None, TypeError, "input must be a Tensor, got float"),
    (X, None, ValueError, r"input must be \(B, 4\) or \(4,\), got \(5, 3, 4\)"),
    (X[0, :, :2], None, ValueError, r"input must have 4 features, got \(3, 2\)"),
    (X[0].half(), None, TypeError, "input must be torch.float32 as the layer is, got torch.float16"),
    (X[0], torch.zeros(2, 5), ValueError, r"hx must have shape \(3, 5\), got \(2, 5\)"),
    (X[0], (torch.zeros(3, 5),), TypeError, "hx must be a Tensor, got tuple"),
    (X[0, 0], torch.zeros(1, 5), ValueError, r"hx must have shape \(1, 5\), got"),
]


@pytest.mark.parametrize("make, error, message", BUILD, ids=[m for *_, m in BUILD])
def test_construction(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("x, options, error, message", RNN, ids=[m for *_, m in RNN])
def test_spiking_rnn(x, options, error, message, recurrent):
    with pytest.raises(error, match=message):
        SpikingRNN(4, 5, bidirectional=True, recurrent=recurrent)(x, **options)


@pytest.mark.parametrize("x, hx, error, message", CELL, ids=[m for *_, m in CELL])
def test_spiking_rnn_cell(x, hx, error, message):
    with pytest.raises(error, match=message):
        SpikingRNNCell(4, 5)(x, hx)


@pytest.mark.parametrize("module", [LIF(), LIFCell(), Integrator()], ids=lambda m: type(m).__name__)
def test_small_modules(module):
    with pytest.raises(TypeError, match="current must be a Tensor, got int"):
        module(3)
    with pytest.raises(TypeError, match=r"current must be float32.* got torch.int64"):
        module(torch.ones(2, 3, dtype=torch.int64))
    with pytest.raises(ValueError, match="state must have shape"):
        module(torch.ones(4, 2, 3), torch.ones(7))


@pytest.mark.filterwarnings("ignore:Complex modules")
@pytest.mark.parametrize("layer", [LIF(), LIFCell(), SpikingRNN(4, 5), SpikingRNNCell(4, 5)], ids=str)
def test_complex_layers_are_refused(layer):
    one = copy.deepcopy(layer).to(torch.complex64)
    with pytest.raises(TypeError, match=r"leak and threshold must be in float32, .*, got torch.complex64"):
        one(X[0].to(torch.complex64) if "Cell" in str(layer) else X.to(torch.complex64))


NORMALISED = {
    "NormalisedLIF": lambda: NormalisedLIF(4, substeps=2),
    "NormalisedLIF batch": lambda: NormalisedLIF(4, substeps=2, norm="batch"),
    "NormalisedLIF none": lambda: NormalisedLIF(4, substeps=2, norm="none"),
    "NormalisedReLU": lambda: NormalisedReLU(4),
    "NormalisedReLU batch": lambda: NormalisedReLU(4, norm="batch"),
}
BLOCKS = torch.zeros(5, 1, 3, 4)
CURRENTS = [
    (None, TypeError, "currents must be a Tensor, got NoneType"),
    (BLOCKS[0, 0, 0], ValueError, r"currents must be \(L, 1.*, B, .*\), got \(4,\)"),
    (BLOCKS[0, 0, 0, 0], ValueError, r"currents must be \(L, 1.*, B, .*\), got \(\)"),
    (BLOCKS.expand(5, 3, 3, 4), ValueError, r"currents must be \(L, 1.*, B, .*\), got \(5, 3, 3, 4\)"),
    (BLOCKS[..., :3], ValueError, r"4 features|\(4,\)|\(3,\)"),
    (BLOCKS.long(), TypeError, "currents must be dense, .*, got torch.int64"),
    (BLOCKS.to_sparse(), TypeError, "currents must be dense, .*, got layout torch.sparse_coo"),
]


@pytest.mark.parametrize(("currents", "kind", "message"), CURRENTS)
@pytest.mark.parametrize("lengths", [None, torch.tensor([5, 2, 4])])
@pytest.mark.parametrize("name", NORMALISED)
def test_normalised_currents(name, lengths, currents, kind, message):
    with pytest.raises(kind, match=message):
        NORMALISED[name]()(currents, lengths=lengths)


@pytest.mark.parametrize("name", NORMALISED)
def test_lengths_of_normalised_currents(name):
    with pytest.raises(ValueError, match=r"^lengths must .*\[0, 5\].*, got 9"):
        NORMALISED[name]()(BLOCKS, lengths=torch.tensor([5, 9, 4]))


@pytest.mark.parametrize("x", [torch.tensor(1.0), torch.zeros(4), torch.zeros(5, 3, 3)])
def test_convolutions_over_tokens_name_what_they_take(x):
    for module in (TokenConv1d(4, 2, causal=False), CausalConv1d(4, 2)):
        with pytest.raises(ValueError, match=r"^x must be \(L, \*, 4\), got"):
            module(x)
    with pytest.raises(ValueError, match=r"^x must be \(L, B, 4\), got"):
        TokenShift(4, 2)(x)
