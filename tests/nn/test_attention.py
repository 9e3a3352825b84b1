"""Additive and dot-product attention: distributions over the source, by hand, and their gradients."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from spikeseq.nn import AdditiveAttention, DotAttention, select_state
from spikeseq.nn.attention import Prepared, masked_softmax

KINDS = {
    "additive": lambda: AdditiveAttention(5, 6, 7),
    "dot": lambda: DotAttention(5, 6, 8),
}
kinds = pytest.mark.parametrize("kind", KINDS)
LENGTHS = torch.tensor([4, 1, 3])


def build(kind):
    torch.manual_seed(0)
    return KINDS[kind]().double()


def double(*shape):
    return torch.randn(*shape, dtype=torch.float64)


@kinds
def test_weights_are_distributions_over_the_tokens_that_count(kind):
    attention = build(kind)
    context, weights = attention(3 * double(2, 3, 5), attention.prepare(3 * double(4, 3, 6)), LENGTHS)
    assert context.shape == (2, 3, 6 if kind == "additive" else 8) and weights.shape == (2, 3, 4)
    torch.testing.assert_close(weights.sum(2), torch.ones(2, 3, dtype=torch.float64))
    counts = torch.arange(4) < LENGTHS.unsqueeze(1)
    assert (weights[:, counts] > 0).all() and (weights[:, ~counts] == 0).all()
    assert weights[:, 0].std() > 1e-3  # not the same for every token
    assert (weights[:, 1, 0] == 1).all()  # there is only one


@kinds
def test_what_lies_past_the_lengths_has_no_part(kind):
    attention, query, states = build(kind), double(2, 3, 5), double(4, 3, 6).requires_grad_()
    past = torch.arange(4).unsqueeze(1) >= LENGTHS
    context, weights = attention(query, attention.prepare(states), LENGTHS)
    other, same = attention(query, attention.prepare(states + 99 * past.unsqueeze(2)), LENGTHS)
    assert torch.equal(context, other) and torch.equal(weights, same)
    (grad,) = torch.autograd.grad(context.square().sum(), states)
    assert grad[~past].any(1).all() and not grad[past].any()


@kinds
def test_every_query_and_every_sentence_by_itself(kind):
    attention, query, states = build(kind), double(2, 3, 5), double(4, 3, 6)
    prepared = attention.prepare(states)
    context, weights = attention(query, prepared, LENGTHS)
    for i in range(2):
        alone, its = attention(query[i : i + 1], prepared, LENGTHS)
        torch.testing.assert_close((alone[0], its[0]), (context[i], weights[i]))
    for b, n in enumerate(LENGTHS.tolist()):  # no lengths: all count
        alone, its = attention(query[:, b : b + 1], attention.prepare(states[:n, b : b + 1]))
        torch.testing.assert_close((alone[:, 0], its[:, 0]), (context[:, b], weights[:, b, :n]))
    rows = torch.tensor([2, 0, 2])
    chosen = select_state(prepared, rows, dim=1)
    assert isinstance(chosen, Prepared)
    some, _ = attention(query[:, rows], chosen, LENGTHS[rows])
    torch.testing.assert_close(some, context[:, rows])


def test_additive_by_hand():
    attention = AdditiveAttention(1, 2, 2).double()
    with torch.no_grad():
        attention.query_map.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        attention.query_map.bias.copy_(torch.tensor([0.5, 0.0]))
        attention.key_map.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        attention.score.weight.copy_(torch.tensor([[3.0, 1.0]]))
    states = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[5.0, 5.0]]], dtype=torch.float64)
    query = torch.tensor([[[0.5]]], dtype=torch.float64)
    context, weights = attention(query, attention.prepare(states), torch.tensor([2]))
    # The hidden layer is tanh of (0.5 + 0.5 + 1, -0.5 + 0) and (0.5 + 0.5 + 0, -0.5 + 2).
    one = math.exp(3 * math.tanh(2.0) + math.tanh(-0.5))
    two = math.exp(3 * math.tanh(1.0) + math.tanh(1.5))
    expected = torch.tensor([one, two], dtype=torch.float64) / (one + two)
    torch.testing.assert_close(weights[0, 0], torch.cat((expected, expected.new_zeros(1))))
    torch.testing.assert_close(context[0, 0], expected)  # the states are the unit vectors


def test_dot_products_are_those_of_torch():
    attention, query, states = build("dot"), double(2, 3, 5), double(4, 3, 6)
    keys = states.transpose(0, 1)
    counts = (torch.arange(4) < LENGTHS.unsqueeze(1)).unsqueeze(1)  # (B, 1, S)
    mixed = nn.functional.scaled_dot_product_attention(
        attention.query_map(query).transpose(0, 1), keys, keys, attn_mask=counts
    )
    context, _ = attention(query, attention.prepare(states), LENGTHS)
    torch.testing.assert_close(context, attention.context_map(mixed).transpose(0, 1))


def test_values_may_be_others_than_the_keys():
    attention, query, states, values = build("dot"), double(2, 3, 5), double(4, 3, 6), double(4, 3, 6)
    same, weights = attention(query, attention.prepare(states, states))
    torch.testing.assert_close(same, attention(query, attention.prepare(states))[0])
    other, still = attention(query, attention.prepare(states, values))
    assert torch.equal(weights, still) and not torch.allclose(same, other)


@kinds
def test_gradients(kind):
    attention, query = build(kind), double(2, 3, 5).requires_grad_()
    states = double(4, 3, 6).requires_grad_()

    def run(query, states):
        return attention(query, attention.prepare(states), LENGTHS)

    assert torch.autograd.gradcheck(run, (query, states))
    run(query, states)[0].square().sum().backward()
    for key, parameter in attention.named_parameters():
        assert parameter.grad is not None and parameter.grad.any(), key


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.floats(-1e4, 1e4), st.integers(0, 9))
def test_a_masked_softmax_is_the_softmax_of_each_row(lengths, shift, seed):
    scores = torch.randn(2, len(lengths), 6, generator=torch.Generator().manual_seed(seed)).double()
    weights = masked_softmax(scores + shift, torch.tensor(lengths))
    for b, n in enumerate(lengths):
        torch.testing.assert_close(weights[:, b, :n], scores[:, b, :n].softmax(-1))
        assert not weights[:, b, n:].any()


def test_default_size_and_bad_arguments():
    assert AdditiveAttention(5, 6).score.in_features == 6
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        AdditiveAttention(5, 6, 0)
    with pytest.raises(TypeError, match="size must be an int, got '8'"):
        DotAttention(5, 6, "8")


@pytest.mark.parametrize("kind", [AdditiveAttention, DotAttention])
def test_what_is_behind_the_source_reaches_no_context(kind):
    """However `prepare` was called; case 3.8."""
    attention, states = kind(4, 4, 3).double(), torch.randn(5, 2, 4, dtype=torch.float64)
    query, lengths = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True), torch.tensor([5, 2])
    expected = attention(query, attention.prepare(states), lengths)
    states[2:, 1] = torch.nan
    for prepared in (attention.prepare(states), attention.prepare(states, lengths=lengths)):
        found = attention(query, prepared, lengths)
        for a, b in zip(expected, found, strict=True):
            assert torch.equal(a, b)
        (grad,) = torch.autograd.grad(found[0].sum(), query)
        assert grad.isfinite().all()


def test_padding_that_nobody_spoke_of_yet_reaches_no_gradient():
    """`prepare` without lengths, `forward` with them."""
    attention, lengths = AdditiveAttention(4, 4, 3).double(), torch.tensor([5, 2])
    query, states = (torch.randn(n, 2, 4, dtype=torch.float64) for n in (3, 5))
    found = []
    for behind in (0.0, torch.nan, torch.inf):
        states[2:, 1] = behind
        attention.zero_grad()
        contexts, weights = attention(query, attention.prepare(states), lengths)
        contexts.square().sum().backward()
        found.append([contexts, weights, *(p.grad.clone() for p in attention.parameters())])
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))
    assert not attention(query, attention.prepare(states))[0][:, 1].isfinite().any()
