"""Spikes as bits: there and back, and products against dense ones."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.ops.build import ensure_native
from spikeseq.ops.packed import DENSEST_GRADIENT, LOOK, MOST, Packed, count, pack

pytestmark = pytest.mark.skipif(not ensure_native("cpu"), reason="needs the native kernel")
CASES = given(
    rows=st.integers(0, 300),
    size=st.integers(1, 70),
    out=st.integers(1, 70),
    rate=st.sampled_from((0.0, 0.05, 0.2, 0.5, 1.0)),
    scale=st.sampled_from((1.0, 1.25, -0.5)),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    seed=st.integers(0, 99),
)


def spikes(rows, size, rate, scale, dtype, seed):
    random = torch.Generator().manual_seed(seed)
    return (torch.rand(rows, size, generator=random) < rate).to(dtype) * scale


@settings(max_examples=40, deadline=None)
@CASES
def test_there_and_back(rows, size, out, rate, scale, dtype, seed):
    x = spikes(rows, size, rate, scale, dtype, seed)
    packed = pack(x)
    assert packed.bits.shape == (rows, (size + 7) // 8) and packed.fired == x.count_nonzero()
    assert torch.equal(packed.unpack(torch.empty(0, dtype=dtype)), x)


@settings(max_examples=40, deadline=None)
@CASES
def test_products_are_those_of_dense_matrices(rows, size, out, rate, scale, dtype, seed):
    x = spikes(rows, size, rate, scale, dtype, seed)
    random = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(out, size, generator=random), torch.randn(out, generator=random)
    grad = torch.randn(rows, out, generator=random).to(dtype)
    packed = pack(x)
    close = {"rtol": 1e-4, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    w, b = weight.to(dtype), bias.to(dtype)
    torch.testing.assert_close(packed.product(w, b), x @ w.t() + b, **close)
    torch.testing.assert_close(packed.product(w, None), x @ w.t(), **close)
    torch.testing.assert_close(packed.weight_gradient(grad), grad.t() @ x, **close)
    by_events = torch.ops.spikeseq.packed_weight_gradient(packed.bits, grad, size).t() * scale
    torch.testing.assert_close(by_events, grad.t() @ x, **close)


@pytest.mark.parametrize(
    "values", [[0.0, 1.0, 2.0], [1.0, -1.0], [float("nan"), 1.0], [1.0, float("nan")], [float("inf"), 1.0]]
)
def test_what_is_no_spikes_is_not_packed(values):
    for width in (3, 20):  # in groups of eight, and what is left of them
        x = torch.zeros(5, width)
        x[4, -len(values) :] = torch.tensor(values)
        assert pack(x) is None


@settings(max_examples=40, deadline=None)
@given(
    rows=st.integers(1, 200),
    most=st.integers(1, MOST),
    scale=st.sampled_from((1.0, 1.25, 1 / 0.9, 1e-3)),
    dtype=st.sampled_from((torch.float32, torch.float64)),
    seed=st.integers(0, 99),
)
def test_sums_there_and_back(rows, most, scale, dtype, seed):
    random = torch.Generator().manual_seed(seed)
    sums = torch.randint(0, most + 1, (rows, 40), generator=random)
    sums[0, 0] = 1
    x = sums.to(dtype) * torch.tensor(scale, dtype=dtype)
    counted = count(x)
    assert counted.bits.dtype == torch.uint8 and torch.equal(counted.bits.long(), sums)
    assert torch.equal(counted.unpack(x), x)


@pytest.mark.parametrize(
    "values",
    [[1.0, 1.5], [1.0, -1.0], [1.0, MOST + 1.0], [1.0, math.nan], [math.nan], [1.0, math.inf], [math.inf],
     [-2.0, -1.0], [0.0, 0.0]],
    ids=["a half", "a negative", "too many", "a nan", "only nan", "inf", "only inf", "negatives", "silence"],
)  # fmt: skip
@pytest.mark.parametrize("at", [0, LOOK], ids=["in front", "behind"])
def test_what_is_no_sum_of_spikes_is_not_counted(values, at):
    x = torch.zeros(2 * LOOK)
    x[at : at + len(values)] = torch.tensor(values)
    if at and values[0]:
        x[0] = 1.0 if values[0] > 0 else 2.0
    assert count(x.view(2, -1)) is None


def test_other_types_and_devices_are_not_packed():
    assert count(torch.ones(2, 3, dtype=torch.bfloat16)) is count(torch.ones(2, 3, device="meta")) is None
    assert pack(torch.zeros(2, 3, dtype=torch.bfloat16)) is None
    assert pack(torch.zeros(2, 3, device="meta")) is None


def test_sizes_that_do_not_fit_are_refused():
    bits = pack(spikes(4, 12, 0.5, 1.0, torch.float32, 0)).bits
    ops = torch.ops.spikeseq
    with pytest.raises(ValueError, match="weight must be"):
        ops.packed_product(bits, 12, torch.zeros(11, 3), None)
    wrong = {0: "size must be at least 1, got 0", 8: "bits must be .*4, 1", 17: "bits must be .*4, 3"}
    for size, message in wrong.items():
        with pytest.raises(ValueError, match=message):
            ops.packed_weight_gradient(bits, torch.zeros(4, 3), size)
        with pytest.raises(ValueError, match=message):
            ops.unpack_spikes(bits, size, torch.zeros(0), 1.0)


@pytest.mark.parametrize("rate", [0.1, 0.6])
def test_the_number_of_threads_changes_nothing(rate):
    x, grad = spikes(3000, 40, rate, 1.0, torch.float32, 0), torch.randn(3000, 24)
    weight, found = torch.randn(24, 40), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            packed = pack(x)
            by_events = torch.ops.spikeseq.packed_weight_gradient(packed.bits, grad, 40)
            found.append((packed.bits, packed.product(weight, None), by_events))
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


def test_rate():
    assert Packed(torch.zeros(10, 1, dtype=torch.uint8), 5, 1.0, 10).rate == pytest.approx(0.2)
    assert Packed(torch.zeros(0, 1, dtype=torch.uint8), 5, 1.0, 0).rate == 0
    assert 0 < DENSEST_GRADIENT < 1
