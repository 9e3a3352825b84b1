"""All layers in one call against the layers one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune

import spikeseq
from spikeseq.functional import ApproximateLIF, SpikeTime
from spikeseq.nn import SpikingRNN, stack
from spikeseq.nn import rnn as module

HIDDEN = 13


def network(seed=0, layers=2, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    rnn = SpikingRNN(5, HIDDEN, num_layers=layers, dtype=dtype, **options).eval()
    with torch.no_grad():
        for layer in rnn.layers:
            layer.input_map.weight.mul_(2)
            layer.lif.leak.mul_(0.7 + 0.3 * torch.rand_like(layer.lif.leak))
    return rnn


@torch.no_grad()
def both_ways(rnn, x, hx):
    one_call = rnn(x, hx)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stack, "again", lambda *args: None)
        patch.setattr(stack, "parts_of", lambda *args: "asked for")
        return one_call, rnn(x, hx)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["membrane", "rate", "spikes"]), st.sampled_from(["soft", "soft_immediate", "hard"]),
    st.integers(1, 3), st.integers(1, 4), st.integers(1, 12), st.integers(1, 4),
    st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_it_is_the_layers(
    readout, reset, layers, substeps, tokens, batch, per_channel, bias, with_state, seed
):
    rnn = network(
        seed, layers, readout=readout, reset=reset, substeps=substeps, per_channel=per_channel, bias=bias
    )
    x = torch.randn(tokens, batch, 5, dtype=torch.float64)
    hx = 2 * torch.randn(layers, batch, HIDDEN, dtype=torch.float64) if with_state else None
    given = None if hx is None else hx.clone()
    found, expected = both_ways(rnn, x, hx)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert hx is None or torch.equal(hx, given)


def calls(monkeypatch):
    seen = []
    real = module.STACK
    counted = real._replace(fused=lambda *args: seen.append(1) or real.fused(*args))
    monkeypatch.setattr(module, "STACK", counted)
    return seen


def test_when_it_is_taken(monkeypatch):
    seen, x = calls(monkeypatch), torch.randn(3, 2, 5, dtype=torch.float64)
    rnn = network()
    with torch.no_grad():
        rnn(x)
        assert len(seen) == 1
        network(dropout=0.5)(x)
        assert len(seen) == 2
        others = (
            network(dropout=0.5).train(), network(norm="layer"), network(recurrent=True),
            network(bidirectional=True), network(surrogate=ApproximateLIF()), network(surrogate=SpikeTime()),
        )  # fmt: skip
        for other in others:
            other(x)
        rnn(x, lengths=torch.tensor([3, 1]))
        with spikeseq.monitor(rnn):
            rnn(x)
    rnn(x)  # a gradient may be wanted
    assert len(seen) == 2


def no_bias(*indices):
    def change(rnn):
        for index in indices:
            rnn.layers[index].input_map.bias = None

    return change


def pruned(rnn):
    prune.l1_unstructured(rnn.layers[0].input_map, "weight", 0.5)


def pruned_bias(rnn):
    prune.l1_unstructured(rnn.layers[0].input_map, "bias", 0.5)


def wrapped(rnn):
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **rest):
            return self.inner(*args, **rest)

    rnn.layers[1] = Wrapper(rnn.layers[1])


def other_reset(rnn):
    rnn.layers[0].lif.reset = "hard"


def sparse(rnn):
    weight = rnn.layers[0].input_map.weight.detach().to_sparse_csr()
    rnn.layers[0].input_map.weight = nn.Parameter(weight)


def other_threshold(rnn):
    rnn.layers[1].lif.threshold = nn.Parameter(torch.ones(1))


def parametrized(rnn):
    nn.utils.parametrizations.weight_norm(rnn.layers[1].input_map)


CHANGES = [
    no_bias(0),
    no_bias(1),
    pruned,
    pruned_bias,
    wrapped,
    other_reset,
    sparse,
    other_threshold,
    parametrized,
]


@pytest.mark.filterwarnings("ignore:Sparse CSR")
@pytest.mark.parametrize("change", [*CHANGES, no_bias(0, 1)])
def test_layers_that_a_user_has_changed(change, monkeypatch):
    """They go one by one, but for a bias that all of them lack."""
    seen = calls(monkeypatch)
    rnn, x = network(), torch.randn(4, 2, 5, dtype=torch.float64)
    change(rnn)
    found, expected = both_ways(rnn, x, None)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert len(seen) == (change not in CHANGES)


@torch.no_grad()
def test_what_happens_between_the_layers_is_not_left_out():
    rnn, x = network(dropout=0.5), torch.randn(9, 4, 5, dtype=torch.float64)
    rnn.between.train()  # the dropout goes on in evaluation: Monte Carlo dropout
    assert not torch.equal(rnn(x)[0], rnn(x)[0])
    rnn, called = network(), []
    rnn.between.register_forward_hook(lambda *args: called.append(1))
    rnn(x)
    assert called


@torch.no_grad()
@pytest.mark.parametrize(
    "change, message",
    [
        (lambda lif, linear: setattr(lif, "leak", nn.Parameter(torch.ones(4).double())), "leak"),
        (
            lambda lif, linear: setattr(lif, "threshold", nn.Parameter(torch.ones(13, 1).double())),
            "threshold",
        ),
        (lambda lif, linear: setattr(linear, "weight", nn.Parameter(torch.ones(7, 13).double())), "weight"),
        (lambda lif, linear: setattr(linear, "bias", nn.Parameter(torch.ones(7).double())), "bias"),
    ],
)
def test_parameters_of_a_wrong_shape(change, message):
    rnn = network(per_channel=True)
    change(rnn.layers[1].lif, rnn.layers[1].input_map)
    with pytest.raises(ValueError, match=f"{message} of layer 1 must be"):
        rnn(torch.randn(4, 2, 5, dtype=torch.float64))


@torch.no_grad()
def test_values_without_a_dimension():
    rnn = network()
    rnn.layers[0].lif.leak = nn.Parameter(torch.tensor(0.8).double())
    found, expected = both_ways(rnn, torch.randn(4, 2, 5, dtype=torch.float64), None)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-12, atol=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("name", ["leak", "threshold"])
def test_parameters_that_are_not_finite(name):
    rnn = network()
    getattr(rnn.layers[0].lif, name).fill_(float("inf"))
    for grad in (False, True):
        with torch.set_grad_enabled(grad), pytest.raises(ValueError, match=f"{name} must"):
            rnn(torch.randn(4, 2, 5, dtype=torch.float64))


def test_leaks_past_their_bounds_are_the_bounds():
    rnn = network()
    with torch.no_grad():
        rnn.layers[0].lif.leak.fill_(1.5)
        rnn.layers[1].lif.threshold.fill_(-1.0)
        found, expected = both_ways(rnn, torch.randn(4, 2, 5, dtype=torch.float64), None)
    torch.testing.assert_close(found[0], expected[0])
    with torch.no_grad(), pytest.raises(ValueError, match="leak must"):
        rnn.layers[0].lif.leak.fill_(float("nan"))
        rnn(torch.randn(4, 2, 5, dtype=torch.float64))


def test_weights_and_states_of_any_layout():
    rnn = network(dtype=torch.float32)
    wide = torch.randn(2 * HIDDEN, 2 * HIDDEN)
    rnn.layers[1].input_map.weight = torch.nn.Parameter(wide[::2, ::2])
    x, hx = torch.randn(2, 4, 5).transpose(0, 1)[..., :5], torch.randn(HIDDEN, 2, 2).permute(1, 2, 0)
    assert not hx.is_contiguous()
    found, expected = both_ways(rnn, x, hx)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-4)


def test_streamed_is_whole():
    rnn = network()
    x = torch.randn(40, 2, 5, dtype=torch.float64)
    with torch.no_grad():
        whole, final = rnn(x)
        state, rows = None, []
        for token in x:  # short runs go the other way round the weights
            out, state = rnn(token.unsqueeze(0), state)
            rows.append(out)
    torch.testing.assert_close(torch.cat(rows), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("tokens", [1, 2, 3])
def test_few_tokens_of_many_features(dtype, tokens):
    """Whose first map is a loop of the op's own."""
    torch.manual_seed(tokens)
    rnn = SpikingRNN(75, 21, num_layers=2, dtype=dtype).eval()
    x = torch.randn(tokens, 2, 75, dtype=dtype)
    for layout in (x, x.transpose(0, 1).contiguous().transpose(0, 1)):
        found, expected = both_ways(rnn, layout, None)
        tolerance = 1e-12 if dtype == torch.float64 else 1e-5
        torch.testing.assert_close(found[0], expected[0], rtol=tolerance, atol=tolerance)


def test_what_does_not_fit_is_refused_by_name():
    rnn, x = network(), torch.randn(3, 2, 5, dtype=torch.float64)
    hx = torch.zeros(2, 2, HIDDEN, dtype=torch.float64)
    with torch.no_grad():
        for bad, message in (
            ((x[..., :4], None), "input must have 5 features"),
            ((x[:0], None), "at least one token"),
            ((x, hx[:1]), "hx must have shape"),
            ((x.to("meta"), None), "input is on meta, the layer on cpu"),
        ):
            with pytest.raises(ValueError, match=message):
                rnn(*bad)
        with pytest.raises(TypeError, match=r"input must be torch[.]float64"):
            rnn(x.float())
        with pytest.raises(TypeError, match=r"hx must be a Tensor, got list"):
            rnn(x, [hx])
