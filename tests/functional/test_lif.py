"""The op against the oracle: forward bit for bit, gradients to rounding."""

import itertools

import pytest
import torch
from lif_case import DTYPES, Case, assert_gradients_close, gradients, random_grads

from spikeseq.functional import READOUTS, RESETS, SURROGATES
from spikeseq.ops.reference import lif_adjoint

surrogates = pytest.mark.parametrize(
    "surrogate", [cls() for cls in SURROGATES.values()], ids=list(SURROGATES)
)
resets = pytest.mark.parametrize("reset", RESETS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=lambda d: str(d)[6:])


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b), f"{(a != b).sum()} of {a.numel()} differ"


@resets
@surrogates
@dtypes
@pytest.mark.parametrize("substeps", [1, 3, 5])
def test_forward(device, reset, surrogate, dtype, substeps):
    many = 63 if substeps == 1 else 21
    for rows, ragged, readout in itertools.product((1, 7, many), (False, True), READOUTS):
        if rows == many and readout != ("membrane" if ragged else "spikes"):
            continue  # the oracle takes its time
        case = Case(
            rows, dtype=dtype, substeps=substeps, reset=reset, surrogate=surrogate, readout=readout,
            ragged=ragged, channels=(6, 6), device=device,
        )  # fmt: skip
        x = case.inputs(seed=rows)
        with torch.no_grad():
            assert_same(case.op(x), case.oracle(x))


@resets
@surrogates
@dtypes
def test_a_thousand_tokens(device, reset, surrogate, dtype):
    """Forward bit for bit in every precision; gradients in float64, where rounding stays small."""
    exact = dtype == torch.float64
    ragged = dtype in (torch.float64, torch.bfloat16)
    case = Case(1000, (2, 3), dtype, 1, reset, surrogate, ragged=ragged, channels=(3, 3), device=device)
    x = case.inputs()
    ours = case.op(x)
    with torch.set_grad_enabled(exact):
        theirs = case.oracle(x)
    assert_same(ours, theirs)
    if not exact:
        return
    grads = random_grads(*theirs)
    expected = gradients(theirs, x, grads)
    if all(bool(g.isfinite().all()) and g.abs().max() < 1e6 for g in expected):
        assert_gradients_close(gradients(ours, x, grads), expected, 1e-8)


def test_a_thousand_tokens_of_five_substeps(device):
    case = Case(1000, (2, 17), torch.float64, substeps=5, readout="membrane", ragged=True, device=device)
    x = case.inputs()
    ours, theirs = case.op(x), case.oracle(x)
    assert_same(ours, theirs)
    grads = random_grads(*theirs)
    assert_gradients_close(gradients(ours, x, grads), gradients(theirs, x, grads), 1e-8)


@pytest.mark.parametrize(
    "shape", [(4,), (4, 1), (4, 6), (2, 3, 4, 5), (1, 2, 1), (3, 70, 19), (2, 1100)], ids=str
)
@pytest.mark.parametrize("per_channel", [(False, False), (True, False), (False, True), (True, True)], ids=str)
def test_shapes_and_channels(device, shape, per_channel):
    channels = shape[1] if len(shape) > 1 else 1
    case = Case(
        5, shape, torch.float64, substeps=2, ragged=True, device=device,
        channels=tuple(channels if each else 1 for each in per_channel),
    )  # fmt: skip
    x = case.inputs()
    ours, theirs = case.op(x), case.oracle(x)
    assert_same(ours, theirs)
    grads = random_grads(*theirs)
    assert_gradients_close(gradients(ours, x, grads), gradients(theirs, x, grads), 1e-10)


def test_currents_and_gradients_that_are_not_contiguous(device):
    case = Case(6, (4, 3, 5), torch.float64, substeps=2, device=device, channels=(3, 3))
    dense = case.inputs()
    strided = [leaf.detach().transpose(-1, -2).contiguous().transpose(-1, -2) for leaf in dense[:2]]
    spread = [leaf.detach().repeat_interleave(2)[::2] for leaf in dense[2:4]]
    x = dense._replace(
        **{k: v.requires_grad_() for k, v in zip(dense._fields, [*strided, *spread], strict=False)}
    )
    assert not x.current.is_contiguous() and not x.leak.is_contiguous()
    ours, theirs = case.op(x), case.oracle(dense)
    assert_same(ours, theirs)
    grads = random_grads(*theirs)
    turned = tuple(g.transpose(-1, -2).contiguous().transpose(-1, -2) for g in grads)
    assert_gradients_close(gradients(ours, x, turned), gradients(theirs, dense, grads), 1e-10)


def gradient_cases(reset, surrogate, dtype, device):
    # A hard reset multiplies the gradient by u - v at every spike; where the surrogate is never small, as
    # approximate_lif is, the product explodes over long sequences: true, and useless to compare.
    explodes = reset == "hard" and surrogate.name == "approximate_lif"
    sizes = ((1, 1), (1, 5), (7, 3)) if explodes else ((1, 5), (7, 3), (63, 1), (20, 5))
    for i, ((rows, substeps), ragged) in enumerate(itertools.product(sizes, (False, True))):
        detach, readout = i // 2 % 2 != i % 2, READOUTS[i % 3]
        yield Case(
            rows, (4, 6), dtype, substeps, reset, surrogate, readout,
            ragged=ragged, channels=(6, 6), detach_reset=detach, device=device,
        )  # fmt: skip


@resets
@surrogates
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=lambda d: str(d)[6:])
def test_gradients(device, reset, surrogate, dtype):
    for case in gradient_cases(reset, surrogate, dtype, device):
        x = case.inputs()
        ours, theirs = case.op(x), case.oracle(x)
        grads = random_grads(*theirs)
        tolerance = 1e-10 if dtype == torch.float64 else 2e-4
        assert_gradients_close(gradients(ours, x, grads), gradients(theirs, x, grads), tolerance)


@resets
@surrogates
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=lambda d: str(d)[6:])
def test_half_precision_gradients_are_those_of_float32_for_the_rounded_currents(
    device, reset, surrogate, dtype
):
    for detach, ragged in itertools.product((False, True), (False, True)):
        case = Case(
            6,
            (4, 6),
            dtype,
            3,
            reset,
            surrogate,
            ragged=ragged,
            detach_reset=detach,
            channels=(6, 6),
            device=device,
        )
        x = case.inputs()
        exact = x._replace(current=x.current.detach().float().requires_grad_())
        ours, theirs = case.op(x), case.oracle(exact)
        grads = random_grads(*theirs)
        ours = gradients(ours, x, (grads[0].to(dtype), grads[1]))
        theirs = gradients(theirs, exact, grads)
        rounding = torch.finfo(dtype).eps
        torch.testing.assert_close(ours[0], theirs[0].to(dtype), rtol=rounding, atol=rounding * 0.1)
        assert_gradients_close([theirs[0], *ours[1:]], theirs, 2e-4)


@resets
@pytest.mark.parametrize("readout", ["rate", "membrane"])
@pytest.mark.parametrize("window", [1, 2, 3, 6, 9, 18])
def test_windows_may_cut_tokens_anywhere(device, reset, readout, window):
    """Deeper layers see a row per sub-step and read out per token: windows and rows are independent."""
    case = Case(
        6, (5, 4), torch.float64, 3, reset, readout=readout, window=window, ragged=True, device=device
    )
    x = case.inputs()
    ours, theirs = case.op(x), case.oracle(x)
    assert len(ours[0]) == 18 // window
    assert_same(ours, theirs)
    grads = random_grads(*theirs)
    assert_gradients_close(gradients(ours, x, grads), gradients(theirs, x, grads), 1e-10)


@resets
@surrogates
def test_the_fall_backs_gradient_is_autograds(reset, surrogate):
    for case in gradient_cases(reset, surrogate, torch.float64, "cpu"):
        if case.rows > 20:
            continue
        x = case.inputs()
        results = case.oracle(x)
        grads = random_grads(*results)
        with torch.no_grad():
            ours = lif_adjoint(*grads, *x, *case.options)
        assert_gradients_close(list(ours), gradients(results, x, grads), 1e-10)


def test_readouts_are_functions_of_the_spikes_and_membranes(device):
    spikes = Case(9, substeps=4, device=device)
    x = spikes.inputs()
    every, final = spikes.op(x)
    rate, _ = Case(9, substeps=4, readout="rate", device=device).op(x)
    membrane, _ = Case(9, substeps=4, readout="membrane", device=device).op(x)
    assert torch.equal(rate, every.unflatten(0, (9, 4)).mean(1))
    assert torch.equal(membrane[-1], final[0])
    assert set(every.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,), (2, 3, 0)], ids=str)
@pytest.mark.parametrize("readout", READOUTS)
def test_no_neurons(device, shape, readout):
    """An empty batch or an empty layer is a result, with gradients, and not a division by zero."""
    channels = shape[1] if len(shape) > 1 else 1
    for each in ((1, 1), (channels, channels)):
        case = Case(4, shape, substeps=2, readout=readout, channels=each, device=device)
        x = case.inputs()
        out, final = case.op(x)
        assert out.shape == (8 if readout == "spikes" else 4, *shape) and final.shape == (1, *shape)
        assert all((g == 0).all() for g in gradients((out, final), x, (out.detach(), final.detach())))
