import pytest
import torch

from spikeseq.nn import SequenceDropout


def test_one_mask_for_all_of_a_sequence():
    torch.manual_seed(0)
    y, mask = SequenceDropout(0.25)(torch.ones(50, 20, 30))
    assert mask.shape == (20, 30) and torch.equal(y, mask.expand_as(y))
    assert mask.unique().tolist() == pytest.approx([0.0, 1 / 0.75])
    assert (mask == 0).float().mean() == pytest.approx(0.25, abs=0.05)


def test_the_mask_is_handed_on():
    layer, x = SequenceDropout(0.5), torch.randn(6, 3, 4)
    first, mask = layer(x[:2])
    second, again = layer(x[2:], mask)
    assert again is mask and torch.equal(torch.cat((first, second)), x * mask)
    with pytest.raises(ValueError, match=r"mask must have shape \(3, 4\), got \(4, 3\)"):
        layer(x, mask.T)


def test_evaluation_and_zero_do_nothing():
    x = torch.randn(6, 3, 4)
    assert SequenceDropout(0.5).eval()(x)[0] is x
    assert SequenceDropout(0.0)(x)[0] is x


def test_gradient_passes_through_the_mask():
    x = torch.randn(6, 3, 4, requires_grad=True)
    y, mask = SequenceDropout(0.5)(x)
    assert torch.equal(torch.autograd.grad(y.sum(), x)[0], mask.expand_as(x))


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, float("nan")])
def test_a_share_out_of_range_is_refused(p):
    with pytest.raises(ValueError, match=rf"p must lie in \[0, 1\), got {p}"):
        SequenceDropout(p)
