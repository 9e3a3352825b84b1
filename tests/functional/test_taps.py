"""The convolution over tokens against torch's own, dense and sparse."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.functional.taps import add_taps
from spikeseq.nn import TokenConv1d
from spikeseq.ops.taps import composed


def by_torch(x, weight, before):
    """conv1d over the first dimension of (L, M, I), zeros where rows do not exist."""
    length, taps = len(x), len(weight)
    padded = torch.nn.functional.pad(x.permute(1, 2, 0), (before, taps - 1 - before))
    return torch.nn.functional.conv1d(padded, weight.permute(2, 1, 0)).permute(2, 0, 1)[:length]


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(1, 9), middle=st.integers(1, 80), inputs=st.integers(1, 40),
    outputs=st.integers(1, 170), taps=st.integers(1, 4), causal=st.booleans(),
    density=st.sampled_from([0.0, 0.05, 0.2, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]), seed=st.integers(0, 9),
)  # fmt: skip
def test_it_equals_conv1d_with_gradients(length, middle, inputs, outputs, taps, density, causal, dtype, seed):
    random = torch.Generator().manual_seed(seed)
    before = taps - 1 if causal else taps // 2

    def draw(*shape):
        return torch.randn(*shape, generator=random, dtype=dtype)

    mask = torch.rand(length, middle, inputs, generator=random) < density
    x = (draw(length, middle, inputs) * mask).requires_grad_()
    weight = draw(taps, inputs, outputs).requires_grad_()
    plus = draw(length, middle, outputs).requires_grad_()
    out = add_taps(plus.clone(), x, weight, before)
    expected = plus + by_torch(x, weight, before)
    tolerance = {"rtol": 1e-4, "atol": 1e-3} if dtype == torch.float32 else {"rtol": 1e-10, "atol": 1e-10}
    torch.testing.assert_close(out, expected, **tolerance)
    grad = draw(*out.shape)
    ours = torch.autograd.grad(out, (x, weight, plus), grad)
    theirs = torch.autograd.grad(expected, (x, weight, plus), grad)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, **tolerance)


@pytest.mark.parametrize("density, sparse", [(0.1, True), (0.9, False)])
def test_the_sparse_way_is_taken_for_spikes_only(density, sparse):
    random = torch.Generator().manual_seed(0)
    x = (torch.rand(5, 64, 32, generator=random) < density).float()
    weight, base = torch.randn(3, 32, 256, generator=random), torch.zeros(5, 64, 256)
    assert torch.ops.spikeseq.add_taps(base, x, weight, 1) is sparse
    assert bool(base.any()) is sparse


def test_results_do_not_depend_on_the_number_of_threads():
    random = torch.Generator().manual_seed(0)
    x = (torch.rand(5, 300, 64, generator=random) < 0.1).float().requires_grad_()
    weight = torch.randn(3, 64, 96, generator=random, requires_grad=True)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            out = add_taps(torch.zeros(5, 300, 96), x, weight, 1)
            results.append((out, *torch.autograd.grad(out.square().sum(), weight)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_under_autocast_products_are_of_half_precision_and_sums_are_not():
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5, 8, 16, generator=random, requires_grad=True)
    weight = torch.randn(3, 16, 24, generator=random, requires_grad=True)
    base = 1000 + torch.rand(5, 8, 24, generator=random)
    exact = add_taps(base.clone(), x, weight, 1)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = add_taps(base.clone(), x, weight, 1)
    assert rounded.dtype == torch.float32 and not torch.equal(exact, rounded)
    torch.testing.assert_close(exact - base, rounded - base, rtol=0.05, atol=0.3)  # bfloat16 of base: +-4
    for out in (exact, rounded):
        grads = torch.autograd.grad((out - base).square().sum(), (x, weight))
        assert all(grad.dtype == torch.float32 for grad in grads)


def test_transforms_take_ordinary_operations():
    """torch.func.grad, vmap and jvp of a convolution are those of its composition."""
    conv = TokenConv1d(4, 6, causal=True).double()
    x = torch.randn(5, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parameters = dict(conv.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(conv, parameters, (x,))[0].square().sum()

    found = torch.func.grad(loss)(parameters, x)
    loss(parameters, x).backward()
    for name, parameter in parameters.items():
        torch.testing.assert_close(found[name], parameter.grad)

    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(parameters, x.unsqueeze(2))  # per sequence
    for name, parameter in parameters.items():
        torch.testing.assert_close(each[name].sum(0), parameter.grad)
    with torch.no_grad():
        moved = torch.randn_like(x)
        _, tangent = torch.func.jvp(lambda x: conv(x)[0], (x,), (moved,))
        step = 1e-6
        torch.testing.assert_close(
            tangent, (conv(x + step * moved)[0] - conv(x)[0]) / step, rtol=1e-4, atol=1e-6
        )
    hessian = torch.func.hessian(lambda x: conv(x)[0].square().sum())(x[:2, :1])
    assert hessian.shape == (2, 1, 4, 2, 1, 4) and hessian.isfinite().all()


def test_composed_is_the_same_to_the_last_bit():
    random = torch.Generator().manual_seed(0)
    x, weight = torch.randn(5, 8, 16, generator=random), torch.randn(3, 16, 24, generator=random)
    base = torch.randn(5, 8, 24, generator=random)
    for before in (0, 1, 2):
        assert torch.equal(composed(base, x, weight, before), add_taps(base.clone(), x, weight, before))


@pytest.mark.parametrize("value, share", [(1.0, 0.1), (1.25, 0.1), (1.0, 0.9)])
def test_spikes_of_one_value_are_kept_as_bits(value, share):
    """And give the gradients of the same numbers beside one that is not of their value."""
    random = torch.Generator().manual_seed(0)
    x = value * (torch.rand(5, 64, 250, generator=random) < share).float()
    weight = torch.randn(3, 250, 256, generator=random, requires_grad=True)
    kept, grads = [], []
    for other in (0.0, 0.3):
        given = x.clone()
        given[0, 0, 0] = other
        given.requires_grad_()
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, sizes=sizes: sizes.append(saved.nbytes) or saved, lambda saved: saved
        ):
            out = add_taps(torch.zeros(5, 64, 256), given, weight, 1)
        kept.append(sum(sizes) - weight.nbytes)
        grads.append(torch.autograd.grad(out[:, 1:].square().sum(), (given, weight)))
    assert kept == [5 * 64 * 32, x.nbytes]
    assert torch.equal(grads[0][0], grads[1][0])
    # The number that differs is of the first row, whose neighbours are all in the first column.
    assert torch.equal(grads[0][1], grads[1][1])


@pytest.mark.parametrize("value", [1.0, 1 / 0.9], ids=["one", "behind dropout"])
def test_sums_of_spikes_are_kept_as_bytes(value):
    random = torch.Generator().manual_seed(0)
    x = torch.randint(0, 4, (5, 64, 250), generator=random).float() * value
    weight = torch.randn(3, 250, 256, generator=random, requires_grad=True)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: kept.append(saved.nbytes) or saved, lambda saved: saved
    ):
        out = add_taps(torch.zeros(5, 64, 256), x, weight, 1)
    assert sum(kept) == x.numel()
    (found,) = torch.autograd.grad(out.square().sum(), weight)
    expected = weight.detach().clone().requires_grad_()
    composed(torch.zeros(5, 64, 256), x, expected, 1).square().sum().backward()
    torch.testing.assert_close(found, expected.grad, rtol=1e-4, atol=1e-2)


def test_a_second_derivative_by_spikes_is_refused():
    random = torch.Generator().manual_seed(0)
    x = (torch.rand(5, 8, 64, generator=random) < 0.1).float().requires_grad_()
    weight = torch.randn(3, 64, 32, generator=random, requires_grad=True)
    out = add_taps(torch.zeros(5, 8, 32), x, weight, 1)
    (by_weight,) = torch.autograd.grad(out.sum(), weight, create_graph=True)
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        torch.autograd.grad(by_weight.sum(), x)


@pytest.mark.parametrize("outputs", [32, 70, 256])
@pytest.mark.parametrize("value", [1.25, None])
def test_many_rows_give_the_bits_of_few(value, outputs):
    """Strips of columns are for many rows; a text token by token has few."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(5, 300, 40, generator=random) if value is None else torch.full((5, 300, 40), value)
    x *= torch.rand(x.shape, generator=random) < 0.2
    weight = torch.randn(3, 40, outputs, generator=random)
    base = torch.randn(5, 300, outputs, generator=random)
    whole = add_taps(base.clone(), x, weight, 1)
    for start in range(0, 300, 25):
        few = slice(start, start + 25)
        assert torch.equal(add_taps(base[:, few].contiguous(), x[:, few], weight, 1), whole[:, few])


@pytest.mark.parametrize("spikes", [True, False])
def test_a_view_is_added_to_as_well(spikes):
    torch.manual_seed(0)
    whole, weight = torch.randn(6, 2, 8), torch.randn(2, 64, 8, requires_grad=True)
    x = (torch.rand(4, 2, 64) < 0.05).float() if spikes else torch.randn(4, 2, 64)
    base = whole.clone()
    out = add_taps(base[:4], x, weight, 1)
    expected = add_taps(whole[:4].clone(), x, weight, 1)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(base, torch.cat([expected, whole[4:]]))
    for a, b in zip(
        *(torch.autograd.grad(one.square().sum(), weight) for one in (out, expected)), strict=True
    ):
        torch.testing.assert_close(a, b)
