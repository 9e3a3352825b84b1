"""The laws of the elementwise op: chunks, streams and threads change no bit; padding has no effect."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lif_case import DTYPES, Case, assert_gradients_close, gradients, random_grads

from spikeseq.functional import READOUTS, RESETS, SURROGATES, ApproximateLIF, lif
from spikeseq.nn import LIFCell

quick = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
cases = st.builds(
    Case,
    rows=st.integers(1, 40),
    shape=st.sampled_from([(3, 5), (2, 3, 4), (1, 33), (4,)]),
    dtype=st.sampled_from(DTYPES),
    substeps=st.sampled_from([1, 2, 5]),
    reset=st.sampled_from(RESETS),
    surrogate=st.sampled_from([cls() for cls in SURROGATES.values()]),
    readout=st.sampled_from(READOUTS),
    ragged=st.booleans(),
    detach_reset=st.booleans(),
    leak_rows=st.booleans(),
    norm_input=st.booleans(),
)


def in_chunks(case, x, cuts):
    """The op over pieces of the sequence, each with the state that the one before returned."""
    outs, state, edges = [], x.state, [0, *cuts, case.rows]
    for begin, end in itertools.pairwise(edges):
        lengths = None if x.lengths is None else (x.lengths - begin).clamp(0, end - begin)
        leak = x.leak[begin:end] if case.leak_rows else x.leak
        piece = x._replace(current=x.current[begin:end], leak=leak, state=state, lengths=lengths)
        out, state = case.op(piece)
        outs.append(out)
    return torch.cat(outs), state


@quick
@given(case=cases, data=st.data())
def test_chunked_is_whole(case, data):
    cuts = (
        sorted(data.draw(st.sets(st.integers(1, max(1, case.rows - 1)), max_size=5))) if case.rows > 1 else []
    )
    x = case.inputs()
    with torch.no_grad():
        for a, b in zip(case.op(x), in_chunks(case, x, cuts), strict=True):
            assert torch.equal(a, b)


@quick
@given(case=cases)
def test_streamed_is_whole(case):
    x = case.inputs()
    with torch.no_grad():
        for a, b in zip(case.op(x), in_chunks(case, x, range(1, case.rows)), strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("reset", RESETS)
@pytest.mark.parametrize("surrogate", [cls() for cls in SURROGATES.values()], ids=list(SURROGATES))
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("leak_rows", [False, True], ids=["", "leak of tokens"])
def test_chunked_gradients_are_whole_gradients(device, reset, surrogate, detach, leak_rows):
    rows = 7 if (reset, surrogate.name) == ("hard", "approximate_lif") else 20
    case = Case(
        rows, dtype=torch.float64, substeps=3, reset=reset, surrogate=surrogate, detach_reset=detach,
        ragged=True, channels=(6, 6), leak_rows=leak_rows, norm_input=leak_rows, device=device,
    )  # fmt: skip
    x = case.inputs()
    whole, chunked = case.op(x), in_chunks(case, x, [1, 6])
    grads = random_grads(*whole)
    assert_gradients_close(gradients(chunked, x, grads), gradients(whole, x, grads), 1e-10)


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("reset", RESETS)
def test_the_cell_is_the_layer(device, readout, reset):
    torch.manual_seed(0)
    cell = LIFCell(6, substeps=3, leak=0.9, threshold=0.7, reset=reset).to(device)
    current = torch.randn(11, 4, 6, device=device)
    neuron = {"leak": cell.leak, "threshold": cell.threshold, "reset": reset}
    whole, final = lif(current, substeps=3, readout=readout, **neuron)
    state, outs = None, []
    for row in current:
        out, state = cell(row, state, readout=readout)
        outs.append(out)
    together = torch.cat(outs) if readout == "spikes" else torch.stack(outs)
    assert torch.equal(together, whole) and torch.equal(state, final)


@quick
@given(case=cases.filter(lambda c: c.ragged), filler=st.sampled_from([float("nan"), float("inf"), 7.0]))
def test_what_padding_holds_never_matters(case, filler):
    x = case.inputs()
    padded = (torch.arange(case.rows).unsqueeze(1) >= x.lengths).view(
        case.rows, -1, *[1] * (len(case.shape) - 1)
    )
    filled = x._replace(current=x.current.detach().masked_fill(padded, filler).requires_grad_())
    if case.leak_rows:
        filled = filled._replace(leak=x.leak.detach().masked_fill(padded, filler).requires_grad_())
    clean, dirty = case.op(x), case.op(filled)
    for a, b in zip(clean, dirty, strict=True):
        assert torch.equal(a, b) and not b.isnan().any()
    grads = random_grads(*clean)
    if case.readout == "spikes":  # nor does the gradient of what came out past the end
        past = padded.repeat_interleave(case.substeps, 0)
        dirty_grads = (grads[0].masked_fill(past, filler), grads[1])
    else:
        dirty_grads = grads
    for a, b in zip(gradients(clean, x, grads), gradients(dirty, filled, dirty_grads), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)  # equal even where they explode
    by_current, _, by_leak, _ = gradients(case.op(filled), filled, dirty_grads)
    for grad in (by_current, by_leak) if case.leak_rows else (by_current,):
        assert (grad.masked_select(padded) == 0).all()


@pytest.mark.parametrize("readout", READOUTS)
def test_the_oracle_ignores_padding_too(readout):
    case = Case(6, substeps=2, readout=readout, ragged=True, leak_rows=True, norm_input=True)
    x = case.inputs()
    padded = (torch.arange(6).unsqueeze(1) >= x.lengths).unsqueeze(2)
    current, leak = (
        t.detach().masked_fill(padded, float("nan")).requires_grad_() for t in (x.current, x.leak)
    )
    x = x._replace(current=current, leak=leak)
    results = case.oracle(x)
    assert not any(g.isnan().any() for g in gradients(results, x, random_grads(*results)))


@pytest.mark.parametrize("length", [0, 1, 5])
def test_past_its_end_a_sequence_is_silent_and_its_state_stays(device, length):
    case = Case(5, (1, 8), substeps=2, device=device)
    x = case.inputs()._replace(lengths=torch.tensor([length], device=device))
    out, state = case.op(x)
    assert (out[2 * length :] == 0).all()
    if length:
        alone = case.op(x._replace(current=x.current[:length], lengths=None))
        assert torch.equal(out[: 2 * length], alone[0]) and torch.equal(state, alone[1])
    else:
        assert torch.equal(state, x.state)


@quick
@given(case=cases.filter(lambda c: not c.leak_rows), per_channel=st.booleans())
def test_a_leak_of_every_token_that_never_changes_is_the_neurons_own(case, per_channel):
    channels = case.shape[1] if per_channel and len(case.shape) > 1 else 1
    case = replace(case, channels=(channels, 1))
    x = case.inputs()
    leak = x.leak.detach().view(-1, *[1] * max(0, len(case.shape) - 2)).expand_as(x.current)
    tokens = x._replace(leak=leak.contiguous().requires_grad_())
    own, same = case.op(x), case.op(tokens)
    assert all(torch.equal(a, b) for a, b in zip(own, same, strict=True))
    grads = random_grads(*own)
    expected, found = gradients(own, x, grads), gradients(same, tokens, grads)
    for i in (0, 1):
        torch.testing.assert_close(found[i], expected[i], rtol=0, atol=0, equal_nan=True)
    if case.dtype == torch.float64 and expected[2].abs().max() < 1e6:
        flat = found[2].flatten(0, 1).flatten(1) if channels > 1 else found[2].flatten(0)
        summed = flat.unflatten(1, (channels, -1)).sum((0, 2)) if channels > 1 else flat.sum(0, keepdim=True)
        torch.testing.assert_close(summed, expected[2], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(found[3], expected[3], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("shape", [(4, 1500), (3, 5), (64, 128)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])
def test_threads_change_no_bit(shape, dtype):
    surrogates = [cls() for cls in SURROGATES.values()]
    found = {}
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found[threads] = []
            for i, surrogate in enumerate(surrogates):
                for leak_rows, substeps in ((False, 3), (True, 3), (True, 1)):
                    case = Case(
                        9, shape, dtype, substeps, RESETS[i % 2], surrogate, ragged=True,
                        channels=(shape[1], 1) if i % 2 else (1, shape[1]), leak_rows=leak_rows,
                        norm_input=i < 4,
                    )  # fmt: skip
                    x = case.inputs()
                    results = case.op(x)
                    found[threads] += [*results, *gradients(results, x, random_grads(*results))]
    finally:
        torch.set_num_threads(before)
    for threads in (2, 3):
        assert all(torch.equal(a, b) for a, b in zip(found[1], found[threads], strict=True))


@pytest.mark.parametrize("surrogate", [cls() for cls in SURROGATES.values()], ids=list(SURROGATES))
@pytest.mark.parametrize("readout", READOUTS)
def test_nothing_of_the_callers_is_overwritten(device, surrogate, readout):
    case = Case(
        6, substeps=2, surrogate=surrogate, readout=readout, ragged=True, channels=(6, 6), device=device
    )
    x = case.inputs()
    before = [None if t is None else t.detach().clone() for t in x]
    results = case.op(x)
    grads = random_grads(*results)
    kept = [g.clone() for g in (*results, *grads)]
    gradients(results, x, grads)
    for a, b in zip((*x, *results, *grads), (*before, *kept), strict=True):
        assert a is b or torch.equal(a, b)


@quick
@given(case=cases.filter(lambda c: c.rows > 1), data=st.data())
def test_the_future_does_not_reach_back(case, data):
    cut = data.draw(st.integers(1, case.rows - 1))
    x = case.inputs()
    other = x._replace(current=torch.cat((x.current[:cut], -3 * x.current[cut:])))
    if case.leak_rows:
        other = other._replace(leak=torch.cat((x.leak[:cut], 1 - x.leak[cut:])))
    rows = cut * (case.substeps if case.readout == "spikes" else 1)
    with torch.no_grad():
        assert torch.equal(case.op(x)[0][:rows], case.op(other)[0][:rows])


def test_uninitialised_memory_is_never_read():
    """PyTorch can fill fresh memory with NaN: what the kernel does not write must not come out."""
    torch.use_deterministic_algorithms(True)
    try:
        for surrogate in (ApproximateLIF(), *(cls() for cls in SURROGATES.values())):
            for readout, leak_rows in itertools.product(READOUTS, (False, True)):
                case = Case(40, surrogate=surrogate, readout=readout, ragged=True, leak_rows=leak_rows)
                x = case.inputs()
                x = x._replace(lengths=x.lengths // 2)
                results = case.op(x)
                found = (*results, *gradients(results, x, random_grads(*results)))
                assert not any(t.isnan().any() for t in found)
    finally:
        torch.use_deterministic_algorithms(False)
