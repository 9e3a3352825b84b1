"""Blocks of a convolutional model: by hand, chunked, padded, their ReLU twins."""

import pytest
import torch

from spikeseq.functional import ApproximateLIF, lif
from spikeseq.nn import NormalisedLIF, NormalisedReLU, ReLUConvBlock, SpikingConvBlock

DOUBLE = torch.float64
BLOCKS = {
    "spiking": lambda **kw: SpikingConvBlock(6, substeps=3, leak=0.9, threshold=0.8, **kw),
    "stream": lambda **kw: SpikingConvBlock(6, substeps=3, stream=True, leak=0.9, threshold=0.8, **kw),
    "relu": lambda **kw: ReLUConvBlock(6, **kw),
}


def block_of(kind, **changes):
    torch.manual_seed(1)
    block = BLOCKS[kind](**changes).double()
    torch.nn.init.normal_(block.conv.bias)
    return block.eval()


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=DOUBLE)


def test_a_spiking_block_worked_out_with_plain_ops():
    block, current = block_of("spiking", causal=False), draw(5, 3, 2, 6)
    normal = torch.nn.functional.layer_norm(current, (6,))
    spikes, _ = lif(normal.transpose(0, 1).flatten(1, 2), leak=0.9, threshold=0.8)
    spikes = spikes.unflatten(1, (5, 2)).transpose(0, 1)
    padded = torch.nn.functional.pad(spikes, (0, 0, 0, 0, 0, 0, 1, 1))
    expected = current + block.conv.bias + sum(padded[k : k + 5] @ block.conv.weight[k] for k in range(3))
    assert 0.05 < spikes.mean() < 0.6
    torch.testing.assert_close(block(current)[0], expected)
    # In integrators: the sum over sub-steps, each with its bias but for the one that is added once.
    summed = expected.sum(1, keepdim=True) - 2 * block.conv.bias
    torch.testing.assert_close(block(current, integrate=True)[0], summed)


def test_a_current_that_is_held_equals_one_that_is_repeated():
    for kind in ("spiking", "stream"):
        block, held = block_of(kind, causal=True), draw(5, 1, 2, 6)
        repeated = held.expand(5, 3, 2, 6).contiguous()
        for integrate in (False, True):
            a, b = (block(x, integrate=integrate)[0] for x in (held, repeated))
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("integrate", [False, True])
def test_chunks_equal_the_whole(kind, integrate):
    block, current = block_of(kind, causal=True), draw(9, 1, 2, 6)
    attend = lambda current: torch.tanh(current)  # noqa: E731
    whole, _ = block(current, attend=attend, integrate=integrate)
    state, parts = None, []
    for chunk in current.split((1, 1, 4, 3)):
        part, state = block(chunk, state, attend=attend, integrate=integrate)
        parts.append(part)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", BLOCKS)
@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_padding_changes_nothing(kind, norm):
    block, current, lengths = (
        block_of(kind, causal=False, norm=norm),
        draw(7, 1, 3, 6),
        torch.tensor([7, 4, 1]),
    )
    together, _ = block(current, lengths=lengths)
    for i, length in enumerate(lengths.tolist()):
        alone, _ = block(current[:length, :, i : i + 1])
        torch.testing.assert_close(together[:length, :, i : i + 1], alone)


def test_batch_normalisation_leaves_padding_out_of_its_statistics():
    for neurons in (NormalisedLIF(6, substeps=3, norm="batch"), NormalisedReLU(6, norm="batch")):
        neurons.double().train()
        current, lengths = draw(7, 1, 2, 6), torch.tensor([7, 3])
        neurons(current, lengths=lengths)
        kept = torch.cat((current[:, 0, 0], current[:3, 0, 1]))
        torch.testing.assert_close(neurons.batch.running_mean, 0.1 * kept.mean(0))
        folded = neurons.eval()(current)[0]
        scale = neurons.gain / (neurons.batch.running_var + neurons.batch.eps).sqrt()
        by_hand = (current - neurons.batch.running_mean) * scale + neurons.offset  # what folds into weights
        neurons.norm, neurons.batch = "none", None
        torch.testing.assert_close(neurons(by_hand)[0], folded)


def test_dropout_is_one_mask_for_all_substeps():
    torch.manual_seed(0)
    block = SpikingConvBlock(
        64, substeps=4, leak=1.0, threshold=0.01, norm="none", residual=False, dropout=0.5
    )
    block.train()
    seen = []
    block.conv.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    block(torch.ones(3, 1, 2, 64))  # every neuron fires at every sub-step
    (spikes,) = seen
    assert set(spikes.unique().tolist()) == {0.0, 2.0}
    assert all(torch.equal(spikes[:, 0], spikes[:, t]) for t in range(4))


def test_a_surrogate_that_remembers_is_refused():
    for norm in ("layer", "batch", "none"):
        with pytest.raises(ValueError, match="remembers"):
            NormalisedLIF(6, substeps=3, norm=norm, surrogate=ApproximateLIF())


def test_gradients_reach_everything():
    for kind in BLOCKS:
        block, current = block_of(kind, causal=True), draw(5, 1, 2, 6).requires_grad_()
        block(current)[0].square().sum().backward()
        assert current.grad.abs().sum() > 0
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in block.parameters()), kind
