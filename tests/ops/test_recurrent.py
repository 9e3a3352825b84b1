"""The fused feedback against the loop over sub-steps that it stands for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import spikeseq
from spikeseq.functional import ApproximateLIF
from spikeseq.nn import SpikingRNN
from spikeseq.nn.layer import SpikingLayer
from spikeseq.ops import dispatch, recurrent

HIDDEN = 13


def layer(seed=0, dtype=torch.float64, **options):
    torch.manual_seed(seed)
    found = SpikingLayer(5, HIDDEN, True, recurrent=True, dtype=dtype, **options)
    with torch.no_grad():  # spikes, and leaks that differ
        found.feedback.weight.mul_(2)
        found.input_map.weight.mul_(2)
        found.lif.leak.mul_(0.7 + 0.3 * torch.rand_like(found.lif.leak))
    return found


def everything(layer, x, state, **options):
    """Read-out, final state and all gradients."""
    x = x.clone().requires_grad_()
    state = None if state is None else state.clone().requires_grad_()
    layer.zero_grad()
    out, final = layer(x, state, **options)
    generator = torch.Generator().manual_seed(9)
    weigh = lambda y: (y * torch.randn(y.shape, generator=generator, dtype=y.dtype)).sum()  # noqa: E731
    (weigh(out) + weigh(final)).backward()
    return [
        out,
        final,
        x.grad,
        *([] if state is None else [state.grad]),
        *[p.grad for p in layer.parameters()],
    ]


def by_the_loop(layer, *args, **options):
    taken = dispatch.listening.set(
        lambda op, reason, begun: "asked for" if op.name == "lif_recurrent" else reason
    )
    try:
        return everything(layer, *args, **options)
    finally:
        dispatch.listening.reset(taken)


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["membrane", "rate", "spikes"]), st.sampled_from(["soft", "soft_immediate", "hard"]),
    st.integers(1, 3), st.booleans(), st.booleans(), st.booleans(), st.booleans(), st.integers(0, 99),
)  # fmt: skip
def test_it_is_the_loop(readout, reset, substeps, per_channel, detach, with_state, ragged, seed):
    one = layer(seed, reset=reset, channels=HIDDEN if per_channel else None, detach_reset=detach)
    x = torch.randn(9, 4, 5, dtype=torch.float64)
    state = 2 * torch.randn(4, HIDDEN, dtype=torch.float64) if with_state else None
    options = {
        "lengths": torch.tensor([9, 0, 4, 7]) if ragged else None,
        "substeps": substeps, "readout": readout, "window": None if readout == "spikes" else substeps,
    }  # fmt: skip
    found, expected = everything(one, x, state, **options), by_the_loop(one, x, state, **options)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_the_fused_way_is_taken(monkeypatch):
    calls = []
    real = recurrent.lif_recurrent
    monkeypatch.setattr(recurrent, "lif_recurrent", lambda *args: calls.append(1) or real(*args))
    one, x = layer(), torch.randn(3, 2, 5, dtype=torch.float64)
    options = {"lengths": None, "substeps": 2, "readout": "rate", "window": 2}
    one(x, None, **options)
    assert calls == [1]
    with spikeseq.monitor(one):  # looks at every sub-step
        one(x, None, **options)
    assert calls == [1]
    layer(surrogate=ApproximateLIF())(x, None, **options)
    assert calls == [1]


@pytest.mark.parametrize("threads", [1, 3])
def test_float32_of_any_size_and_number_of_threads(threads):
    torch.manual_seed(0)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for hidden, batch in ((1, 1), (8, 5), (130, 3)):
            rnn = SpikingRNN(6, hidden, recurrent=True, substeps=2)
            x = torch.randn(7, batch, 6)
            out, state = rnn(x)
            double, final = rnn.double()(x.double())
            torch.testing.assert_close(out.double(), double, rtol=1e-3, atol=1e-3)
            torch.testing.assert_close(state.double(), final, rtol=1e-3, atol=1e-3)
    finally:
        torch.set_num_threads(before)


def test_whole_is_chunked():
    rnn = SpikingRNN(5, HIDDEN, num_layers=2, recurrent=True, substeps=2, dtype=torch.float64)
    x = torch.randn(8, 3, 5, dtype=torch.float64)
    whole, final = rnn(x)
    first, state = rnn(x[:3])
    second, state = rnn(x[3:], state)
    torch.testing.assert_close(torch.cat((first, second)), whole, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(state, final, rtol=1e-12, atol=1e-12)


def test_values_that_cannot_be():
    one, x = layer(), torch.randn(3, 2, 5, dtype=torch.float64)
    options = {"lengths": torch.tensor([4, 0]), "substeps": 1, "readout": "rate", "window": 1}
    with pytest.raises(ValueError, match=r"lengths must lie in \[0, 3\]"):
        one(x, None, **options)


def test_it_is_differentiated_once():
    one, x = layer(), torch.randn(3, 2, 5, dtype=torch.float64, requires_grad=True)
    out, _ = one(x, None, lengths=None, substeps=1, readout="membrane", window=1)
    (grad,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="differentiated once"):
        grad.sum().backward()


def test_a_feedback_map_with_a_bias():
    one, x = layer(), torch.randn(9, 4, 5, dtype=torch.float64)
    one.feedback = torch.nn.Linear(HIDDEN, HIDDEN, dtype=torch.float64)
    options = {"lengths": None, "substeps": 2, "readout": "membrane", "window": 2}
    found = everything(one, x, None, **options)
    with torch.no_grad():
        one.feedback.bias.add_(1)
    assert not torch.equal(one(x, None, **options)[0], found[0])
    assert one.feedback.bias.grad.abs().sum() > 0


@pytest.mark.parametrize("part, shape", [("weight", (4, 4)), ("leak", (4,)), ("threshold", (4,))])
def test_parameters_of_a_wrong_shape(part, shape):
    one = layer()
    module = one.feedback if part == "weight" else one.lif
    setattr(module, part, torch.nn.Parameter(torch.ones(shape, dtype=torch.float64)))
    current, state = torch.randn(9, 4, HIDDEN).double(), torch.zeros(4, HIDDEN).double()
    assert recurrent.fits(current, state, one.feedback.weight, one.lif) == dispatch.NO_FIT
    parts = one.feedback.weight, one.lif.leak.expand(HIDDEN) if part == "threshold" else one.lif.leak
    with torch.no_grad(), pytest.raises(ValueError, match=f"{part} must be"):
        torch.ops.spikeseq.lif_recurrent(
            current,
            state,
            *parts,
            one.lif.threshold,
            None,
            1,
            1,
            "soft",
            "membrane",
            "sigmoid",
            1.0,
            1.0,
            False,
        )
