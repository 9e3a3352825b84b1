"""`explain` leaves a model as it was, and says in lines what ran."""

import copy

import pytest
import torch
from explain_case import X, compiled, hooked, rnn
from torch import nn

from spikeseq.explain import TRACED, explain
from spikeseq.ops import dispatch


class Changing(nn.Module):
    """Draws random numbers, counts, keeps statistics and hooks in a new part."""

    def __init__(self):
        super().__init__()
        self.norm, self.drop, self.rnn = nn.BatchNorm1d(3), nn.Dropout(0.5), rnn()
        self.calls, self.seen = 0, None
        self.register_buffer("last", torch.zeros(3))

    def forward(self, x, generator=None):
        self.calls += 1
        self.seen = x
        self.last = x[0, 0].clone()
        self.part = nn.Identity()
        noise = torch.rand(x.shape, generator=generator)
        return self.rnn(self.drop(self.norm(x.flatten(0, 1)).view_as(x)) + noise)


def test_nothing_is_changed():
    model, generator = Changing().train(), torch.Generator().manual_seed(3)
    model.rnn.eval()
    model(X)[0].sum().backward()
    grads = [p.grad.clone() for p in model.parameters()]
    before = copy.deepcopy(model.state_dict())
    attributes = {name: set(vars(module)) for name, module in model.named_modules()}
    modes = [module.training for module in model.modules()]
    expected = torch.rand(3, generator=torch.Generator().manual_seed(3))
    state = torch.get_rng_state()
    found = explain(model, X, generator=generator)
    assert found.of("rnn", "lif_stack")
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.rand(3, generator=generator), expected)
    assert model.calls == 1 and modes == [module.training for module in model.modules()]
    assert {name: set(vars(module)) for name, module in model.named_modules()} == attributes
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    assert all(torch.equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))


def test_a_call_that_fails_leaves_everything_as_it_was():
    model = Changing()
    with pytest.raises(RuntimeError):
        explain(model, torch.randn(5, 2, 4))
    assert model.calls == 0 and dispatch.listening.get() is None
    with pytest.raises(TypeError, match="Module, got int"):
        explain(3)


def test_what_it_says():
    found = explain(rnn(hooked("layers.1.input_map"), recurrent=True), X)
    assert str(found).splitlines() == [
        "the model (SpikingRNN): lif_stack plain, because gradients may be wanted (no torch.no_grad())",
        "layers.0 (SpikingLayer): lif_recurrent fused",
        "layers.1 (SpikingLayer): lif_recurrent fused",
    ]
    assert [record.op for record in found.slow] == ["lif_stack"]
    assert str(explain(nn.Linear(3, 4), X)) == "the model ran no op of spikeseq"
    loop = explain(rnn(hooked("layers.0.lif"), recurrent=True, num_layers=1), X)
    assert str(loop.of("layers.0.lif")[0]) == "layers.0.lif (LIF): lif fused (25 times)"


def test_ways_are_those_of_the_call_itself():
    """Explaining takes no other way, and gives the values of the plain way where it takes it."""
    model = rnn(recurrent=True)
    model.layers[0].lif.register_forward_hook(lambda *args: None)
    assert model(X)[0].shape == (5, 2, 4) and [r.way for r in explain(model, X).of("layers.0")] == ["plain"]
    assert compiled(rnn(), X).of("layers.0")[0].reason == TRACED
