"""The op against the oracle: forward bit for bit, gradients to rounding."""

import itertools

import pytest
import torch
from lif_case import DTYPES, Case, assert_gradients_close, gradients, random_grads

from spikeseq.functional import READOUTS, RESETS, SURROGATES, lif
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
        with torch.no_grad():
            assert_same(case.op(case.inputs(seed=rows)), case.oracle_forward(seed=rows))


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
    if not exact:
        assert_same(ours, case.oracle_forward())
        return
    theirs = case.oracle(x)
    assert_same(ours, theirs)
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


@resets
@surrogates
@dtypes
def test_a_leak_for_every_token(device, reset, surrogate, dtype):
    """Forward bit for bit; gradients, that of the leak not summed, in the wide types."""
    for i, (ragged, (rows, substeps)) in enumerate(
        itertools.product((False, True), ((1, 1), (21, 1), (7, 3), (6, 5), (20, 1), (5, 4)))
    ):
        if reset == "hard" and surrogate.name == "approximate_lif" and rows * substeps > 21:
            continue  # its gradients explode
        case = Case(
            rows, (5, 6), dtype, substeps, reset, surrogate, READOUTS[i % 3], ragged=ragged,
            channels=(1, 6 if i % 2 else 1), detach_reset=i % 3 == 1, leak_rows=True, norm_input=i > 3,
            device=device,
        )  # fmt: skip
        x = case.inputs(seed=i)
        ours = case.op(x)
        if dtype not in (torch.float32, torch.float64):
            assert_same(ours, case.oracle_forward(seed=i))
            continue
        theirs = case.oracle(x)
        assert_same(ours, theirs)
        grads = random_grads(*theirs)
        expected = gradients(theirs, x, grads)
        assert expected[2].shape == x.current.shape
        if dtype == torch.float64:
            with torch.no_grad():
                by_hand = lif_adjoint(*grads, *x, *case.options)
            assert_gradients_close(list(by_hand), expected, 1e-10)
        tolerance = 1e-10 if dtype == torch.float64 else 2e-4
        assert_gradients_close(gradients(ours, x, grads), expected, tolerance)


@resets
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=lambda d: str(d)[6:])
def test_half_precision_gradients_of_leaks_of_tokens(device, reset, half):
    case = Case(9, (4, 6), half, 3, reset, ragged=True, leak_rows=True, norm_input=True, device=device)
    x = case.inputs()
    exact = x._replace(current=x.current.detach().float().requires_grad_())
    ours, theirs = case.op(x), case.oracle(exact)
    grads = random_grads(*theirs)
    found = gradients(ours, x, (grads[0].to(half), grads[1]))
    expected = gradients(theirs, exact, grads)
    torch.testing.assert_close(found[0], expected[0].to(half), rtol=torch.finfo(half).eps, atol=1e-3)
    assert_gradients_close([expected[0], *found[1:]], expected, 2e-4)
    rounded = x._replace(leak=x.leak.detach().to(half).requires_grad_())  # as a map under autocast gives it
    out, state = case.op(rounded)
    assert out.dtype == half and state.dtype == torch.float32
    assert gradients((out, state), rounded, (grads[0].to(half), grads[1]))[2].dtype == half


@pytest.mark.parametrize("shape", [(4,), (4, 1), (2, 3, 4, 5), (3, 70, 19), (2, 1100)], ids=str)
def test_leaks_of_tokens_in_any_shape(device, shape):
    for substeps, strided in ((1, False), (3, True)):
        case = Case(
            6, shape, torch.float64, substeps, ragged=True, leak_rows=True, norm_input=strided, device=device
        )
        x = case.inputs()
        leak = x.leak
        if strided:
            leak = leak.detach().repeat_interleave(2, 0)[::2].requires_grad_()
            assert len(shape) == 1 or not leak.is_contiguous()
        ours, theirs = case.op(x._replace(leak=leak)), case.oracle(x)
        assert_same(ours, theirs)
        grads = random_grads(*theirs)
        found = gradients(ours, x._replace(leak=leak), grads)
        assert_gradients_close(found, gradients(theirs, x, grads), 1e-10)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,)], ids=str)
def test_leaks_of_tokens_without_neurons(device, shape):
    case = Case(4, shape, substeps=2, leak_rows=True, device=device)
    x = case.inputs()
    out, final = case.op(x)
    grads = gradients((out, final), x, (out.detach(), final.detach()))
    assert out.shape == (8, *shape) and grads[2].shape == x.leak.shape


leaks = pytest.mark.parametrize(
    "leak", [0.3, torch.rand(6, generator=torch.Generator().manual_seed(0)), "tokens"],
    ids=["a number", "per channel", "per token"],
)  # fmt: skip


@resets
@surrogates
@dtypes
def test_norm_input(device, reset, surrogate, dtype):
    for i, (rows, substeps) in enumerate(((21, 1), (7, 3), (5, 4), (3, 1))):
        case = Case(
            rows, (5, 6, 2), dtype, substeps, reset, surrogate, READOUTS[i % 3], ragged=i % 2 == 0,
            channels=(6, 6) if i % 2 else (1, 1), norm_input=True, device=device,
        )  # fmt: skip
        x = case.inputs(seed=i)
        ours, theirs = case.op(x), case.oracle(x)
        assert_same(ours, theirs)
        if dtype == torch.float64 and not (reset == "hard" and surrogate.name == "approximate_lif"):
            grads = random_grads(*theirs)
            expected = gradients(theirs, x, grads)
            assert_gradients_close(gradients(ours, x, grads), expected, 1e-10)
            with torch.no_grad():
                by_hand = lif_adjoint(*grads, *x, *case.options)
            assert_gradients_close(list(by_hand), expected, 1e-10)


@leaks
@resets
@pytest.mark.parametrize("ragged", [False, True])
def test_norm_input_weights_the_current(device, leak, reset, ragged):
    x = Case(7, (5, 6), torch.float64, 3, reset, ragged=ragged, leak_rows=True, device=device).inputs()
    leak = x.leak if isinstance(leak, str) else leak
    if isinstance(leak, torch.Tensor):
        leak = leak.detach().to(device, torch.float64).requires_grad_()
    options = {"threshold": x.threshold, "substeps": 3, "reset": reset, "lengths": x.lengths, "leak": leak}
    ours = lif(x.current, x.state[0], norm_input=True, **options)
    theirs = lif(x.current * (1 - leak), x.state[0], **options)
    assert_same(ours, theirs)
    leaves = [t for t in (x.current, x.state, leak, x.threshold) if isinstance(t, torch.Tensor)]
    grads = random_grads(*theirs)
    found, expected = (torch.autograd.grad(r, leaves, grads) for r in (ours, theirs))
    torch.testing.assert_close(found, expected)


def test_norm_input_takes_the_gain_of_the_leak_away(device):
    current = torch.ones(3000, 1, 3, device=device)
    leak = torch.tensor([0.0, 0.9, 0.99], device=device)
    out, state = lif(current, leak=leak, threshold=2.0, norm_input=True)
    torch.testing.assert_close(state, torch.ones_like(state))
    assert not out.any()


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16], ids=lambda d: str(d)[6:])
@leaks
def test_norm_input_keeps_the_type_of_the_current(device, half, leak):
    current = torch.randn(5, 2, 6, device=device).to(half)
    leak = torch.rand(5, 2, 6) if isinstance(leak, str) else leak
    leak = leak.to(device) if isinstance(leak, torch.Tensor) else leak
    out, state = lif(current, leak=leak, threshold=1.0, norm_input=True)
    expected = lif(current.float(), leak=leak, threshold=1.0, norm_input=True)
    assert_same((out, state), (expected[0].to(half), expected[1]))


def test_norm_input_lets_nothing_out_of_the_padding(device):
    case = Case(6, (4, 5), torch.float64, ragged=True, leak_rows=True, device=device)
    x = case.inputs()
    past = torch.arange(6, device=device).view(-1, 1, 1) >= x.lengths.view(-1, 1)
    dirty = [t.detach().masked_fill(past, float("nan")).requires_grad_() for t in (x.current, x.leak)]

    def run(current, leak):
        options = {"leak": leak, "threshold": x.threshold, "lengths": x.lengths}
        out, state = lif(current, norm_input=True, **options)
        return out, state, *torch.autograd.grad((out.sum() + state.sum()), (current, leak))

    assert_same(run(*dirty), run(x.current, x.leak))


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
