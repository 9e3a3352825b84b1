"""Products with masks that are kept as bits, against torch's own."""

import pytest
import torch

from spikeseq.nn.dropout import dropout_mask
from spikeseq.ops.packed import masked

SHAPE = (4, 3, 5, 50)


def case(dtype=torch.float32):
    torch.manual_seed(0)
    x = torch.randn(SHAPE, dtype=dtype, requires_grad=True)
    return x, dropout_mask((4, 1, 5, 50), 0.2, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_it_is_the_product_to_the_last_bit(dtype):
    x, mask = case(dtype)
    ours, theirs = masked(x, mask), x * mask
    assert torch.equal(ours, theirs)
    grad = torch.randn_like(ours)
    first, second = (torch.autograd.grad(out, x, grad)[0] for out in (ours, theirs))
    assert torch.equal(first, second)


def test_bits_are_kept():
    x, mask = case()
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda saved: sizes.append(saved.nbytes) or saved, lambda saved: saved
    ):
        masked(x, mask)
    assert sizes == [4 * 5 * 7]


def test_second_derivatives_and_transforms_are_those_of_the_product():
    x, mask = case(torch.float64)
    (first,) = torch.autograd.grad(masked(x, mask).square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    torch.testing.assert_close(second, (2 * mask * mask).expand_as(x))
    found = torch.func.grad(lambda x: masked(x, mask).square().sum())(x.detach())
    torch.testing.assert_close(found, first.detach())
