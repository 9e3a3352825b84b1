"""Convolutions over tokens: against torch's, causal, chunked."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.nn import CausalConv1d, TokenConv1d


def by_torch(conv, x):
    """(L, B, I) through conv1d with zeros where there are no tokens."""
    taps = conv.kernel_size
    before = taps - 1 if conv.causal else taps // 2
    padded = torch.nn.functional.pad(x.permute(1, 2, 0), (before, taps - 1 - before))
    return torch.nn.functional.conv1d(padded, conv.weight.permute(2, 1, 0), conv.bias).permute(2, 0, 1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_it_equals_conv1d(causal, bias):
    torch.manual_seed(0)
    conv = TokenConv1d(4, 6, 3, causal=causal, bias=bias).double()
    if bias:
        torch.nn.init.normal_(conv.bias)
    x = torch.randn(7, 5, 4, dtype=torch.float64)
    out, _ = conv(x)
    torch.testing.assert_close(out, by_torch(conv, x))
    extra = torch.randn(7, 1, 6, dtype=torch.float64)
    kept = extra.clone()
    torch.testing.assert_close(conv(x, plus=extra)[0], by_torch(conv, x) + extra)
    assert torch.equal(extra, kept)  # a caller's tensor is never overwritten


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 9), max_size=4), taps=st.integers(1, 4), seed=st.integers(0, 5))
def test_causal_in_chunks_equals_the_whole(cuts, taps, seed):
    torch.manual_seed(seed)
    conv = CausalConv1d(3, 4, taps).double()
    x = torch.randn(9, 2, 3, dtype=torch.float64)
    whole, end = conv(x)
    state, parts = None, []
    edges = [0, *sorted(cuts), 9]
    for first, last in itertools.pairwise(edges):
        if last > first:
            part, state = conv(x[first:last], state)
            parts.append(part)
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)
    assert torch.equal(state, end)


def test_a_later_token_never_changes_an_earlier_output():
    torch.manual_seed(0)
    conv = CausalConv1d(3, 4).double()
    x = torch.randn(6, 2, 3, dtype=torch.float64)
    before, _ = conv(x)
    x[4] += 1
    after, _ = conv(x)
    assert torch.equal(before[:4], after[:4]) and not torch.equal(before[4:], after[4:])


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: TokenConv1d(3, 4, 2, causal=False), "kernel_size must be odd"),
        (lambda: CausalConv1d(0, 4), "in_channels must be at least 1"),
        (lambda: CausalConv1d(3, 4)(torch.zeros(5, 2, 4)), r"x must be \(L, \*, 3\), got \(5, 2, 4\)"),
        (
            lambda: CausalConv1d(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 2, 3)),
            r"state must be \(2, 2, 3\)",
        ),
        (
            lambda: TokenConv1d(3, 4, causal=False)(torch.zeros(5, 2, 3), torch.zeros(2, 2, 3)),
            "state goes with a causal",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
