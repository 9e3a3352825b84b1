"""Every public module and model under torch.func: vmap, ensembles, per-sample gradients, jvp.

In float64, where no spike is flipped by the rounding of a product of another shape.
"""

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, stack_module_state, vjp, vmap
from zoo import ROWS, tensors_of

from spikeseq.nn import LIF, SpikingRNN

COPIES = 3
# Where products keep their shape, or are none: to the last bit.
EXACT = {"LIF", "LIFCell", "Integrator", "NormalisedLIF", "NormalisedReLU"}
# What torch itself has no rule for: nn.LSTM, nn.GRU, packed sequences, nn.EmbeddingBag.
NO_VMAP = {
    "RecurrentClassifier", "RecurrentClassifier mean", "RecurrentSeq2Seq mixed", "RecurrentSeq2Seq other",
    "RecurrentSeq2Seq vanilla", "RecurrentNet",
}  # fmt: skip
NO_JVP = {"BagOfWords", "SpikingClassifier ngrams", "RecurrentSeq2Seq other"}
TRAINED = {name: row for name, row in ROWS.items() if list(row.make().parameters())}
every = pytest.mark.parametrize("name", [name for name in ROWS if name not in NO_VMAP])
trained = pytest.mark.parametrize("name", [name for name in TRAINED if name not in NO_VMAP])


class Called(nn.Module):
    """A row of the zoo as a module of inputs, which gives its tensors."""

    def __init__(self, row, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.row, self.model = row, row.make().double().eval()

    def forward(self, x, lengths):
        found = tensors_of(self.row.call(self.model, x, lengths))
        return tuple(one for one in found if one.is_floating_point())


def inputs(row):
    """Of every copy, and the lengths that all have."""
    source = torch.Generator().manual_seed(3)
    x, lengths = row.inputs()
    if row.ids:
        drawn = torch.randint(4, row.ids, (COPIES, *row.shape), generator=source)
        return drawn * (x > 0), lengths
    return torch.randn((COPIES, *row.shape), generator=source, dtype=torch.float64) * 2, lengths


def same(found, expected, exact=False):
    for a, b in zip(found, map(torch.stack, zip(*expected, strict=True)), strict=True):
        assert torch.equal(a, b) if exact else torch.allclose(a, b, atol=1e-9)


@every
def test_inputs_that_are_mapped(name):
    module = Called(ROWS[name])
    xs, lengths = inputs(module.row)
    found = vmap(module, (0, None))(xs, lengths)
    same(found, [module(x, lengths) for x in xs], module.row.kind in EXACT)


@trained
def test_an_ensemble_of_stacked_parameters(name):
    """Weights, leaks and thresholds are mapped."""
    modules = [Called(TRAINED[name], seed) for seed in range(COPIES)]
    for index, module in enumerate(modules):
        for parameter in module.parameters():
            parameter.detach().mul_(1 - 0.05 * index)
    xs, lengths = inputs(TRAINED[name])
    state = stack_module_state(modules)

    def one(parameters, buffers, x):
        return functional_call(modules[0], (parameters, buffers), (x, lengths))

    found = vmap(one)(*state, xs)
    same(found, [m(x, lengths) for m, x in zip(modules, xs, strict=True)], ROWS[name].kind in EXACT)


def loss_of(module, lengths):
    def loss(parameters, x):
        outputs = functional_call(module, parameters, (x, lengths))
        return sum(
            (out * torch.linspace(-1, 1, out.numel()).double().view(out.shape)).sum() for out in outputs
        )

    return loss


@trained
def test_per_sample_gradients(name):
    module = Called(TRAINED[name])
    xs, lengths = inputs(module.row)
    loss, parameters = loss_of(module, lengths), dict(module.named_parameters())
    found = vmap(grad(loss), (None, 0))(parameters, xs)
    for index, x in enumerate(xs):
        module.zero_grad()
        loss(parameters, x).backward()
        for key, parameter in parameters.items():
            expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert torch.allclose(found[key][index], expected, atol=1e-9), key


@pytest.mark.parametrize("name", [name for name in TRAINED if name not in NO_JVP])
def test_forward_and_backward_derivatives_agree(name):
    """<u, J v> = <J^T u, v>: both go by the surrogate's slope."""
    module = Called(TRAINED[name])
    xs, lengths = inputs(module.row)
    given = (dict(module.named_parameters()), *([] if module.row.ids else [xs[0]]))

    def call(parameters, x=xs[0]):
        return functional_call(module, parameters, (x, lengths))

    torch.manual_seed(5)
    moved = ({key: torch.randn_like(p) for key, p in given[0].items()}, *map(torch.randn_like, given[1:]))
    out, forwards = jvp(call, given, moved)
    expected, pull = vjp(call, *given)
    assert all(torch.allclose(a, b, atol=1e-9) for a, b in zip(out, expected, strict=True))
    u = tuple(map(torch.randn_like, expected))
    back = pull(u)
    by_forward = sum((a * b).sum() for a, b in zip(u, forwards, strict=True))
    by_backward = sum((back[0][key] * moved[0][key]).sum() for key in moved[0])
    by_backward += sum((a * b).sum() for a, b in zip(back[1:], moved[1:], strict=True))
    assert torch.allclose(by_forward, by_backward), (by_forward, by_backward)


@pytest.mark.parametrize("name", sorted(NO_VMAP))
def test_what_torch_has_no_rule_for_is_refused(name):
    module = Called(ROWS[name])
    xs, lengths = inputs(module.row)
    with pytest.raises(RuntimeError, match=r"aten::(lstm|gru)|\.item\(\)"):
        vmap(module, (0, None))(xs, lengths)


@pytest.mark.parametrize("name", ["BagOfWords", "SpikingClassifier ngrams"])
def test_what_torch_has_no_forward_derivative_of_is_refused(name):
    module = Called(TRAINED[name])
    (x, *_), lengths = inputs(module.row)
    weights = dict(module.named_parameters())
    with pytest.raises(NotImplementedError, match="forward AD with _embedding_bag"):
        jvp(lambda given: functional_call(module, given, (x, lengths)), (weights,), (weights,))


@pytest.mark.parametrize(
    "name", ["LIF", "SpikingRNN wide", "SpikingRNN feedback", "SpikingClassifier context"]
)
def test_each_sample_has_lengths_of_its_own(name):
    """As per-sample gradients of padded sequences have them."""
    module = Called(ROWS[name])
    xs, _ = inputs(module.row)
    lengths = torch.tensor([[5, 2, 4], [0, 1, 5], [3, 3, 0]])

    def loss(parameters, x, lengths):
        return loss_of(module, lengths)(parameters, x)

    parameters = dict(module.named_parameters())
    same(vmap(module)(xs, lengths), [module(*one) for one in zip(xs, lengths, strict=True)])
    found = vmap(grad(loss), (None, 0, 0))(parameters, xs, lengths)
    for index in range(COPIES):
        one = grad(loss)(parameters, xs[index], lengths[index])
        assert all(torch.allclose(found[key][index], one[key], atol=1e-9) for key in one)
    with pytest.raises(ValueError, match="lengths must"):
        vmap(module)(xs, lengths + 3)


def test_dropout_draws_for_each_sample_or_for_all():
    torch.manual_seed(0)
    rnn = SpikingRNN(4, 64, 2, dropout=0.5)
    x = torch.randn(5, 1, 4).expand(COPIES, 5, 1, 4)
    different = vmap(lambda x: rnn(x)[0], randomness="different")(x)
    assert not torch.equal(different[0], different[1])
    alike = vmap(lambda x: rnn(x)[0], randomness="same")(x)
    assert torch.equal(alike[0], alike[1])
    with pytest.raises(RuntimeError, match="randomness"):
        vmap(lambda x: rnn(x)[0])(x)


@pytest.mark.parametrize("layer", [LIF(), SpikingRNN(4, 5), SpikingRNN(4, 5, recurrent=True)], ids=str)
def test_a_second_derivative_is_refused_in_every_order(layer):
    x = torch.randn(5, 3, 4)

    def loss(x):
        return layer(x)[0].sum()

    def forwards(x):
        return jvp(loss, (x,), (torch.ones_like(x),))[1]

    for second in (grad(lambda x: grad(loss)(x).sum()), grad(forwards)):
        with pytest.raises(NotImplementedError, match="can be differentiated once"):
            second(x)
    with pytest.raises(NotImplementedError, match="can be differentiated once"):
        jvp(grad(loss), (x,), (torch.ones_like(x),))


def test_statistics_of_a_batch_are_refused():
    module = Called(ROWS["SpikingConvBlock batch"]).train()
    xs, lengths = inputs(module.row)
    with pytest.raises(RuntimeError, match="vmap"):
        vmap(module, (0, None), randomness="same")(xs, lengths)


def test_feedback_that_is_given_a_state():
    rnn, x, hx = (
        SpikingRNN(4, 5, recurrent=True).double(),
        torch.randn(5, 3, 4).double(),
        torch.randn(1, 3, 5),
    )
    hx = hx.double().requires_grad_()

    def loss(hx):
        output, state = rnn(x, hx)
        return output.sum() + state.square().sum()

    assert torch.allclose(grad(loss)(hx), torch.autograd.grad(loss(hx), hx)[0])
