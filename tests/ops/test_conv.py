"""Convolutions by Winograd's tiles against PyTorch's in float64, and what goes PyTorch's way."""

import pytest
import torch

from spikeseq.ops import conv
from spikeseq.ops.dispatch import dispatch

ONCE = (1, 1)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Little work goes by tiles, too."""
    monkeypatch.setattr(conv, "FEWEST", 8)
    monkeypatch.setattr(conv, "LEAST", 0)


def draw(*shape, seed=0, like=torch.contiguous_format):
    made = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=like).requires_grad_()


def ours(x, weight, bias=None):
    arguments = x, weight, bias, ONCE, ONCE, ONCE, 1
    assert conv.CONV.fits(*arguments) is None
    return dispatch(conv.CONV, *arguments)


def theirs(x, weight, bias=None):
    return torch.conv2d(x, weight, bias, ONCE, ONCE, ONCE, 1)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize(
    "sizes", [(3, 8, 16, 4, 4), (2, 16, 8, 9, 6), (70, 8, 8, 5, 7), (1, 24, 32, 16, 5)], ids=str
)
def test_it_equals_torch_with_gradients(sizes, last):
    count, inputs, outputs, height, width = sizes
    like = torch.channels_last if last else torch.contiguous_format
    given = (
        draw(count, inputs, height, width, like=like),
        draw(outputs, inputs, 3, 3, seed=1),
        draw(outputs, seed=2),
    )
    found = ours(*given)
    grad = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    double = [one.detach().double().requires_grad_() for one in given]
    expected = theirs(*double)
    for a, b in zip(
        (found, *torch.autograd.grad(found, given, grad)),
        (expected, *torch.autograd.grad(expected, double, grad.double())),
        strict=True,
    ):
        a, b = a.detach(), b.detach()
        assert a.shape == b.shape and float((a - b).abs().max() / b.abs().max()) < 3e-5


@pytest.mark.parametrize("wanted", [(True, False), (False, True)], ids=["input", "weight"])
def test_one_gradient_alone(wanted):
    given = [
        one.detach().requires_grad_(want)
        for one, want in zip((draw(2, 8, 8, 8), draw(8, 8, 3, 3)), wanted, strict=True)
    ]
    found, expected = ours(*given), theirs(*given)
    leaf = given[wanted.index(True)]
    (a,), (b,) = (torch.autograd.grad(out.square().sum(), leaf) for out in (found, expected))
    torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-2)


def test_its_gradient_has_a_gradient():
    seconds = []
    for way in (ours, theirs):
        x, weight = draw(2, 8, 8, 8), draw(8, 8, 3, 3, seed=1)
        firsts = torch.autograd.grad(way(x, weight).square().sum(), (x, weight), create_graph=True)
        seconds.append(torch.autograd.grad(sum(one.square().sum() for one in firsts), (x, weight)))
    for a, b in zip(*seconds, strict=True):
        assert float((a - b).abs().max() / b.abs().max()) < 1e-4


def test_threads_change_nothing():
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            x, weight = draw(9, 16, 8, 8), draw(24, 16, 3, 3, seed=1)
            out = ours(x, weight)
            results.append((out, *torch.autograd.grad(out.square().sum(), (x,))))
    finally:
        torch.set_num_threads(before)
    for a, b in zip(*results, strict=True):  # products are a library's
        assert float((a - b).detach().norm() / b.detach().norm()) < 1e-5


def test_no_images():
    assert ours(draw(0, 8, 4, 4), draw(16, 8, 3, 3)).shape == (0, 16, 4, 4)
