import pytest
import torch

from spikeseq.recipes.shared.distillation import divergences


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_divergence_by_hand(temperature):
    logits, answers = torch.tensor([[1.0, -1.0], [0.5, 0.5]]), torch.tensor([[1.0, -1.0], [2.0, 0.0]])
    p, q = ((one / temperature).softmax(1) for one in (answers, logits))
    expected = temperature**2 * (p * (p / q).log()).sum(1)
    found = divergences(logits, answers, temperature)
    torch.testing.assert_close(found, expected)
    assert found[0] == 0 and found[1] > 0
