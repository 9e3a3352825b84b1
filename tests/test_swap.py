"""swap: every call pattern that nn.LSTM and its relatives serve, and a clear error for those it does not."""

import copy
import itertools
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from spikeseq.functional import ApproximateLIF
from spikeseq.nn import LIF, SpikingRNN, SpikingRNNCell
from spikeseq.swap import SwappedLSTM, swap


class Tagger(nn.Module):
    """A model as people write them: unpacks (h, c), hands it on, holds RNNs at several depths."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.encoder = nn.LSTM(6, 8, num_layers=2, batch_first=True, bidirectional=True, dropout=0.3)
        self.blocks = nn.ModuleList([nn.GRU(16, 16), nn.Sequential(nn.ReLU(), nn.RNN(16, 16))])
        self.cell = nn.LSTMCell(16, 16)
        self.again = self.blocks[0]
        self.head = nn.Linear(16, 3)

    def forward(self, tokens, lengths):
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        self.encoder.flatten_parameters()
        output, (h, c) = self.encoder(packed)
        x, _ = pad_packed_sequence(output)
        assert h.shape == c.shape == (self.encoder.num_layers * 2, len(tokens), self.encoder.hidden_size)
        x, h = self.blocks[0](x)
        x, _ = self.again(x, h)
        x, _ = self.blocks[1](x)
        h, c = self.cell(x[-1], (c[-2:].transpose(0, 1).flatten(1), c[-2:].transpose(0, 1).flatten(1)))
        return self.head(h + c)


def rnns(model):
    return [m for m in model.modules() if isinstance(m, nn.RNNBase | nn.RNNCellBase)]


def test_every_rnn_is_replaced_and_the_model_trains():
    model = Tagger()
    kept = model.embedding.weight.clone()
    spiking = swap(model, 3)
    assert len(rnns(model)) == 4, "the original must be untouched"
    assert not rnns(spiking)
    assert type(spiking) is Tagger
    assert torch.equal(spiking.embedding.weight, kept)
    assert spiking.again is spiking.blocks[0], "a shared module stays shared"
    assert "in_place_of=nn.LSTMCell" in repr(spiking)
    assert spiking.encoder.substeps == 3 and spiking.encoder.norm == "layer"
    tokens, lengths = torch.randint(11, (4, 5)), torch.tensor([5, 2, 4, 1])
    spiking(tokens, lengths).square().sum().backward()
    without = [name for name, p in spiking.named_parameters() if p.grad is None]
    assert not without


def test_in_place_changes_the_model_itself():
    model = Tagger()
    assert swap(model, inplace=True) is model
    assert isinstance(model.encoder, SpikingRNN) and isinstance(model.cell, SpikingRNNCell)


def test_the_model_may_itself_be_an_lstm():
    layer = swap(nn.LSTM(4, 8), leak=0.8, threshold=0.5)
    assert isinstance(layer, SwappedLSTM)
    lif = layer.layers[0].lif
    assert lif.leak.item() == pytest.approx(0.8) and lif.threshold.item() == 0.5


def test_what_was_set_is_kept():
    old = nn.LSTM(4, 8, bias=False, num_layers=2, batch_first=True, dropout=0.2, dtype=torch.float64).eval()
    new = swap(old)
    for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional",
                 "proj_size", "mode", "training"):  # fmt: skip
        assert getattr(new, name) == getattr(old, name), name
    assert {p.dtype for p in new.parameters()} == {torch.float64}
    assert new.layers[0].input_map.bias is None
    assert swap(nn.GRU(4, 8)).mode == "GRU"


def test_a_model_without_storage_stays_without():
    assert all(p.is_meta for p in swap(nn.GRU(4, 8, device="meta")).parameters())


def test_a_frozen_rnn_stays_frozen_and_says_so():
    model = Tagger()
    model.encoder.requires_grad_(False)
    with pytest.warns(UserWarning, match=r"^encoder was frozen"):
        spiking = swap(model)
    assert not any(p.requires_grad for p in spiking.encoder.parameters())
    assert all(p.requires_grad for p in spiking.blocks.parameters())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
@pytest.mark.parametrize("form", ["batch", "batch_first", "unbatched", "packed", "packed_unsorted"])
def test_shapes_are_those_of_the_layer_replaced(kind, form):
    torch.manual_seed(0)
    old = kind(4, 6, num_layers=2, bidirectional=True, batch_first=form == "batch_first")
    new = swap(old)
    x = torch.randn(5, 3, 4)
    if form == "batch_first":
        x = x.transpose(0, 1)
    elif form == "unbatched":
        x = x[:, 0]
    elif form == "packed":
        x = pack_padded_sequence(x, torch.tensor([5, 4, 2]))
    elif form == "packed_unsorted":
        x = pack_padded_sequence(x, torch.tensor([2, 5, 4]), enforce_sorted=False)
    (out_old, state_old), (out_new, state_new) = old(x), new(x)
    if isinstance(x, PackedSequence):
        assert torch.equal(out_old.batch_sizes, out_new.batch_sizes)
        out_old, out_new = out_old.data, out_new.data
    assert out_old.shape == out_new.shape
    states_old, states_new = (s if kind is nn.LSTM else (s,) for s in (state_old, state_new))
    assert [s.shape for s in states_old] == [s.shape for s in states_new]
    new(x, state_new)  # and it takes what it gave
    new(x, state_old)


def test_h_is_the_output_at_the_last_valid_token_and_c_continues_exactly():
    torch.manual_seed(1)
    layer = swap(nn.LSTM(4, 6, num_layers=2, dtype=torch.float64))
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    lengths = torch.tensor([7, 3, 5])
    out, (h, c) = layer(x, lengths=lengths)
    assert torch.equal(h[-1], torch.stack([out[n - 1, i] for i, n in enumerate(lengths)]))
    assert torch.equal(h, c / 8) and h.data_ptr() != c.data_ptr(), "callers change h and c in place"
    whole, (_, c_whole) = layer(x)
    first, state = layer(x[:4])
    second, (_, c_parts) = layer(x[4:], state)
    torch.testing.assert_close(torch.cat([first, second]), whole)
    torch.testing.assert_close(c_parts, c_whole)
    ignored, _ = layer(x[4:], (torch.full_like(state[0], 9.0), state[1]))
    assert torch.equal(ignored, second), "c is what is used"


def test_a_gru_continues_exactly_and_its_h_is_its_output():
    torch.manual_seed(1)
    layer = swap(nn.GRU(4, 6, dtype=torch.float64))
    x = torch.randn(7, 3, 4, dtype=torch.float64)
    whole, h = layer(x)
    assert torch.equal(h[-1], whole[-1])
    first, state = layer(x[:4])
    torch.testing.assert_close(torch.cat([first, layer(x[4:], state)[0]]), whole)


def test_outputs_are_of_the_size_that_the_model_was_built_for():
    torch.manual_seed(1)
    x = torch.randn(50, 8, 4)
    for factor in (0.01, 1.0, 100.0):  # whatever the scale of the input
        out, _ = swap(nn.LSTM(4, 64))(factor * x)
        assert 0.3 < out.std() < 1.5
    plain = swap(nn.LSTM(4, 64), scale=1.0)
    out, (h, c) = plain(x)
    assert out.std() > 3 and torch.equal(h, c)


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.GRUCell, nn.RNNCell])
def test_cells_take_and_give_what_theirs_do(kind):
    torch.manual_seed(2)
    cell = swap(kind(4, 6))
    x = torch.randn(5, 3, 4)
    state, seen = None, []
    for token in x:
        state = cell(token, state)
        seen.append(state[0] if kind is nn.LSTMCell else state)
        assert seen[-1].shape == (3, 6)
    assert isinstance(state, tuple) == (kind is nn.LSTMCell)
    one = cell(x[0, 0])
    torch.testing.assert_close(one[0] if kind is nn.LSTMCell else one, seen[0][0])
    unbatched = tuple(s[0] for s in state) if kind is nn.LSTMCell else state[0]
    again = cell(x[0, 0], unbatched)
    assert (again[0] if kind is nn.LSTMCell else again).shape == (6,)


def test_half_precision_states_fit_the_next_layer():
    x = torch.randn(5, 3, 4, dtype=torch.bfloat16)
    out, h = swap(nn.GRU(4, 6, dtype=torch.bfloat16))(x)
    assert out.dtype == h.dtype == torch.bfloat16
    layer = swap(nn.LSTM(4, 6, dtype=torch.bfloat16))
    out, (h, c) = layer(x)
    assert out.dtype == h.dtype == torch.bfloat16 and c.dtype == torch.float32
    zeros = torch.zeros(1, 3, 6, dtype=torch.bfloat16)
    assert torch.equal(layer(x, (zeros, zeros))[0], out)


def test_state_may_be_an_expanded_parameter():
    layer = swap(nn.LSTM(4, 6))
    start = nn.Parameter(torch.zeros(1, 1, 6))
    out, _ = layer(torch.randn(5, 3, 4), (start.expand(1, 3, 6), start.expand(1, 3, 6)))
    out.sum().backward()
    assert start.grad is not None


@pytest.mark.parametrize(
    "name", ["weight_hh_l0", "weight_ih_l0_reverse", "bias_hh_l1", "_flat_weights", "all_weights"]
)
def test_missing_weights_say_what_there_is_instead(name):
    layer = swap(nn.LSTM(4, 6))
    with pytest.raises(AttributeError, match=rf"no {name}.*spiking.*nn\.LSTM.*input_map\.weight.*lif\.leak"):
        getattr(layer, name)
    assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match=r"no weight_hh.*layer\.input_map"):
        swap(nn.LSTMCell(4, 6)).weight_hh  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        layer.other  # noqa: B018
    copy.deepcopy(layer)


class Peephole(nn.LSTM):
    def forward(self, input, hx=None):
        return super().forward(input, hx)


class Renamed(nn.LSTM):
    pass


def wrapped(module):
    outer = nn.Module()
    outer.encoder = nn.Module()
    outer.encoder.rnn = module
    return outer


def hooked():
    rnn = nn.LSTM(4, 6)
    rnn.register_forward_hook(lambda *_: None)
    return rnn


CANNOT = {
    "projection": (lambda: nn.LSTM(4, 6, proj_size=2), ValueError, r"^encoder\.rnn \(LSTM\) has proj_size=2"),
    "own forward": (
        lambda: Peephole(4, 6),
        ValueError,
        r"^encoder\.rnn \(Peephole\) is an LSTM with forward of its own",
    ),
    "parametrized": (
        lambda: nn.utils.parametrizations.weight_norm(nn.LSTM(4, 6), "weight_hh_l0"),
        ValueError,
        r"^encoder\.rnn \(ParametrizedLSTM\) has parametrizations",
    ),
    "hooks": (hooked, ValueError, r"^encoder\.rnn \(LSTM\) has forward hooks"),
    "scripted": (
        lambda: torch.jit.script(nn.LSTM(4, 6)),
        TypeError,
        r"^encoder\.rnn \(RecursiveScriptModule\) is a torch\.jit\.ScriptModule",
    ),
}


@pytest.mark.parametrize("case", CANNOT)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_served_is_named(case):
    make, error, message = CANNOT[case]
    model = wrapped(make())
    model.fine = nn.GRU(3, 3)
    with pytest.raises(error, match=message):
        swap(model, inplace=True)
    assert isinstance(model.fine, nn.GRU), "nothing may have changed"


def test_a_subclass_without_its_own_forward_is_served():
    assert isinstance(swap(wrapped(Renamed(4, 6))).encoder.rnn, SwappedLSTM)


def test_an_rnn_in_a_plain_list_is_named():
    model = wrapped(nn.LSTM(4, 6))
    model.encoder.cells = [nn.LSTMCell(4, 6)]
    with pytest.raises(ValueError, match=r"^encoder\.cells keeps an RNN.*ModuleList"):
        swap(model)


def test_other_errors():
    with pytest.raises(ValueError, match=r"no nn\.LSTM.*Linear"):
        swap(nn.Linear(3, 3))
    with pytest.raises(TypeError, match="got str"):
        swap("model")
    with pytest.raises(TypeError, match="readout"):
        swap(nn.LSTM(4, 6), readout="rate")
    with pytest.raises(TypeError, match="lambda_"):
        swap(nn.LSTM(4, 6), lambda_=0.5)
    with pytest.raises(ValueError, match="memory"):
        swap(nn.LSTM(4, 6), surrogate=ApproximateLIF())
    with pytest.raises(ValueError, match="scale must be positive and finite, got 0"):
        swap(nn.LSTM(4, 6), scale=0)
    for scale in ("a", None, torch.ones(2)):
        with pytest.raises(TypeError, match="scale must be a number, got"):
            swap(nn.LSTM(4, 6), scale=scale)
    with pytest.raises(
        ValueError, match=r"hx must be \(h, c\) of one shape.*got \(1, 9, 6\) and \(1, 3, 6\)"
    ):
        swap(nn.LSTM(4, 6))(torch.randn(5, 3, 4), (torch.zeros(1, 9, 6), torch.zeros(1, 3, 6)))
    with pytest.raises(ValueError, match="substeps"):
        swap(nn.LSTM(4, 6), substeps=0)
    with pytest.raises(TypeError, match=r"hx must be \(h, c\).*got Tensor"):
        swap(nn.LSTM(4, 6))(torch.randn(5, 3, 4), torch.zeros(1, 3, 6))
    with pytest.raises(TypeError, match=r"hx must be one Tensor.*tuple of 2"):
        swap(nn.GRU(4, 6))(torch.randn(5, 3, 4), (torch.zeros(1, 3, 6),) * 2)
    cannot_copy = wrapped(nn.LSTM(4, 6))
    cannot_copy.cache = torch.zeros(2, requires_grad=True) * 2
    with pytest.raises(ValueError, match="inplace=True"):
        swap(cannot_copy)
    assert any(isinstance(m, LIF) for m in swap(cannot_copy, inplace=True).modules())


def kept(model, where):
    model.more = where(model)
    return model


@pytest.mark.parametrize(
    "where",
    [
        lambda m: [[nn.LSTM(4, 4)]],  # case 1.10
        lambda m: {"a": (nn.Sequential(nn.GRU(4, 4)),)},
        lambda m: m.encoder.rnn.forward,  # case 1.7
        lambda m: lambda x: m.encoder.rnn(x),
        lambda m: iter([nn.LSTM(4, 4)]),
        lambda m: map(str, {"a": nn.LSTM(4, 4)}.values()),
        lambda m: itertools.cycle([m.encoder.rnn]),
        lambda m: (layer for layer in [nn.GRU(4, 4)]),
    ],
)
def test_an_rnn_that_would_stay_is_refused(where):
    model = kept(wrapped(nn.LSTM(4, 6)), where)
    rnn = model.encoder.rnn
    message = r"^more (keeps an RNN \((LSTM|GRU)\) outside the registered modules|holds the model's)"
    with pytest.raises(ValueError, match=message):
        swap(model)
    assert model.encoder.rnn is rnn


@pytest.mark.parametrize(
    "share", [lambda rnn: rnn, lambda rnn: (rnn,), lambda rnn: staticmethod(partial(rnn))]
)
def test_an_rnn_in_an_attribute_of_a_class_is_refused(share):
    class Base(nn.Module):
        shared = share(nn.LSTM(4, 4))

    class Model(Base):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(4, 4)

    with pytest.raises(ValueError, match=r"^shared (keeps an RNN \(LSTM\) outside|holds the model's)"):
        swap(nn.Sequential(Model())[0])
    with pytest.raises(ValueError, match=r"^0\.shared keeps an RNN"):
        swap(nn.Sequential(Model()), inplace=True)


def test_a_method_and_a_shared_list_of_other_modules_are_no_obstacle():
    model = kept(wrapped(nn.LSTM(4, 6)), lambda m: [m.encoder, m.encoder.forward])
    assert isinstance(swap(model).more[0].rnn, SwappedLSTM)


@pytest.mark.filterwarnings("ignore:dropout option")
def test_dropout_of_everything_is_refused():  # case 4.7
    with pytest.raises(ValueError, match=r"^encoder\.rnn \(GRU\) has dropout=1\.0; .*\[0, 1\)"):
        swap(wrapped(nn.GRU(4, 6, num_layers=2, dropout=1.0)))
    swap(wrapped(nn.GRU(4, 6, dropout=1.0)))  # of one layer it does nothing


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_layers_that_were_frozen_stay_frozen(kind):  # case 1.9
    model = wrapped(kind(4, 6, num_layers=2, bidirectional=True))
    for name, parameter in model.encoder.rnn.named_parameters():
        parameter.requires_grad_(not name.endswith(("_l0", "_l1_reverse")))
    with pytest.warns(UserWarning, match=r"^encoder\.rnn was frozen in layers 0, 3"):
        layers = swap(model).encoder.rnn.layers
    trained = [{p.requires_grad for p in layer.parameters()} for layer in layers]
    assert trained == [{False}, {True}, {True}, {False}]
    model.encoder.rnn.weight_ih_l0.requires_grad_(True)
    with pytest.raises(
        ValueError, match=r"^encoder\.rnn \(\w+\) is frozen in part in layer 0 \(weight_hh_l0, bias"
    ):
        swap(model)


def test_shared_weights_are_refused():
    model = nn.ModuleList([nn.LSTM(4, 6), nn.LSTM(4, 6)])
    model[1].weight_hh_l0 = model[0].weight_hh_l0
    with pytest.raises(ValueError, match=r"\(LSTM\) shares weights with another module"):
        swap(model)
    lstm = nn.LSTM(4, 4, num_layers=2)
    lstm.weight_hh_l1 = lstm.weight_hh_l0
    with pytest.raises(ValueError, match=r"shares weights with itself \(weight_hh_l1 is weight_hh_l0\)"):
        swap(lstm)
