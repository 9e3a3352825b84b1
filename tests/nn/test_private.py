"""DP-SGD by Opacus on a model whose nn.LSTM was swapped, on texts of the embedded sample."""

import copy

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.data import DataLoader, TensorDataset

import spikeseq
from spikeseq.nn import SpikingConvBlock, TokenConv1d
from spikeseq.recipes.shared.texts.sample import make_sample

opacus = pytest.importorskip("opacus")

TOKENS, TRAINED, HELD, WORDS = 24, 4000, 1000, 400


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 16)
        self.lstm = nn.LSTM(16, 32, batch_first=True)
        self.head = nn.Linear(32, 2)

    def forward(self, tokens):
        return self.head(self.lstm(self.embedding(tokens))[0][:, -1])


def made():
    torch.manual_seed(0)
    return spikeseq.swap(Reader())


def texts():
    """(texts, TOKENS) numbers of words, padded at the front, and labels, which hang on the order of words."""
    lines, labels = make_sample(TRAINED + HELD, 1)
    words = [line.lower().split()[:TOKENS] for line in lines]
    numbers = {word: 1 + i for i, word in enumerate(sorted({word for line in words for word in line}))}
    assert len(numbers) < WORDS
    ids = [[0] * (TOKENS - len(line)) + [numbers[word] for word in line] for line in words]
    return torch.tensor(ids), torch.tensor(labels)


def loss_of(model):
    def loss(parameters, tokens, label):
        logits = functional_call(model, parameters, (tokens.unsqueeze(0),))
        return nn.functional.cross_entropy(logits, label.unsqueeze(0))

    return loss


def samples_of(model, tokens, labels):
    """A gradient of every parameter for every text."""
    return vmap(grad(loss_of(model)), (None, 0, 0))(dict(model.named_parameters()), tokens, labels)


def test_per_sample_gradients_are_those_of_one_text_at_a_time():
    model, (tokens, labels) = made().double(), texts()
    found = samples_of(model, tokens[:5], labels[:5])
    for i in range(5):
        model.zero_grad()
        nn.functional.cross_entropy(model(tokens[i : i + 1]), labels[i : i + 1]).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[name][i], parameter.grad, rtol=1e-7, atol=1e-10)


def test_a_swapped_model_trains_privately():
    model, (tokens, labels) = made(), texts()
    engine = opacus.PrivacyEngine(accountant="rdp")
    train = TensorDataset(tokens[:TRAINED], labels[:TRAINED])
    private, optimizer, loader = engine.make_private(
        module=model, optimizer=torch.optim.Adam(model.parameters(), lr=0.01),
        data_loader=DataLoader(train, batch_size=1000), noise_multiplier=0.6, max_grad_norm=0.5,
        grad_sample_mode="no_op", noise_generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    for _ in range(36):
        for batch in loader:
            optimizer.zero_grad(set_to_none=True)
            for name, each in samples_of(model, *batch).items():
                private._module.get_parameter(name).grad_sample = each
            optimizer.step()
            spikeseq.project_parameters(model)
    with torch.no_grad():
        right = (model(tokens[TRAINED:]).argmax(1) == labels[TRAINED:]).float().mean().item()
    print(f"{right:.1%} of {HELD} others, epsilon {engine.get_epsilon(1e-4):.1f} at delta 1e-4")
    assert right > 0.6 and 0 < engine.get_epsilon(1e-4) < 100


def test_a_clipped_step_without_noise_is_the_mean_of_clipped_gradients():
    model, (tokens, labels) = made().double(), texts()
    plain = copy.deepcopy(model)
    batch = tokens[:8], labels[:8]
    private, optimizer, _ = opacus.PrivacyEngine().make_private(
        module=model, optimizer=torch.optim.SGD(model.parameters(), lr=1.0),
        data_loader=DataLoader(TensorDataset(*batch), batch_size=8), noise_multiplier=0.0,
        max_grad_norm=0.5, grad_sample_mode="no_op", poisson_sampling=False,
    )  # fmt: skip
    each = samples_of(model, *batch)
    norms = torch.stack([one.flatten(1).norm(dim=1) for one in each.values()]).norm(dim=0)
    share = (0.5 / (norms + 1e-6)).clamp(max=1)
    for name, one in each.items():
        private._module.get_parameter(name).grad_sample = one
    optimizer.step()
    for name, parameter in plain.named_parameters():
        mean = torch.einsum("i,i...->...", share, each[name]) / 8
        torch.testing.assert_close(model.get_parameter(name), parameter - mean, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    "model, x",
    [
        (made, torch.ones(4, 4, dtype=torch.int64)),
        (lambda: spikeseq.swap(nn.LSTM(4, 5), learn_leak=False, learn_threshold=False), torch.randn(4, 4, 4)),
        (lambda: spikeseq.swap(nn.GRU(4, 5), recurrent=True), torch.randn(4, 4, 4)),
        (lambda: TokenConv1d(4, 4, causal=True), torch.randn(4, 4, 4)),
        (lambda: SpikingConvBlock(4, substeps=2), torch.randn(4, 1, 4, 4)),
    ],
    ids=["swapped", "frozen neurons", "feedback", "convolution", "block"],
)
def test_its_hooks_would_take_time_for_the_batch(model, x):
    module = opacus.GradSampleModule(model().train(), strict=False)
    with pytest.raises(ValueError, match="has hooks of Opacus, which take its first dimension for the batch"):
        module(x)
