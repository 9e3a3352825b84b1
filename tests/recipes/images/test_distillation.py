import pytest
import torch
from torch import nn

from spikeseq.recipes.images.distillation import Teacher

LOGITS = torch.tensor([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0]])
TARGET = torch.tensor([[1.0, 1.5, 0.0], [0.0, 0.0, 2.0]])


class Answers(nn.Module):
    def forward(self, images):
        return TARGET


def teacher(weight: float, temperature: float = 1.0) -> Teacher:
    return Teacher(Answers(), weight, temperature)


def test_divergence_equals_its_definition():
    wrong = teacher(1.0, 2.0).loss(LOGITS, torch.zeros(2, 1), torch.tensor(5.0))
    p, q = (TARGET / 2).softmax(1), (LOGITS / 2).softmax(1)
    torch.testing.assert_close(wrong, 4 * (p * (p / q).log()).sum() / 2)


def test_labels_have_the_rest_of_the_weight():
    same = teacher(0.25).loss(TARGET, torch.zeros(2, 1), torch.tensor(8.0))
    assert same.item() == pytest.approx(6.0)  # answers that agree cost nothing


def test_gradient_reaches_the_student_alone():
    logits = LOGITS.clone().requires_grad_()
    teacher(1.0).loss(logits, torch.zeros(2, 1), torch.tensor(0.0)).backward()
    torch.testing.assert_close(logits.grad, (LOGITS.softmax(1) - TARGET.softmax(1)) / 2)


@pytest.mark.parametrize(
    ("weight", "temperature", "message"),
    [
        (-0.1, 1.0, r"distillation.weight must lie in \[0, 1\], got -0.1"),
        (float("nan"), 1.0, "distillation.weight must lie in"),
        (0.5, 0.0, "distillation.temperature must be a positive number, got 0.0"),
        (0.5, float("inf"), "distillation.temperature must be a positive number, got inf"),
    ],
)
def test_bad_mixture(weight, temperature, message):
    with pytest.raises(ValueError, match=message):
        teacher(weight, temperature)
