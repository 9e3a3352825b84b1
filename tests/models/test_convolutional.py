"""Convolutional encoder-decoders: causal, invariant to padding, the same in one piece and token by token."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.models.seq2seq import BOS, MODELS, ConvSeq2Seq, build_seq2seq
from spikeseq.models.seq2seq.search import beam_search, greedy

SIDES = [(e, d, stream) for e in ("snn", "ann") for d in ("snn", "ann") for stream in (False, True)]


def model_of(encoder="snn", decoder="snn", stream=False, seed=0, **changes):
    torch.manual_seed(seed)
    arguments = {"channels": 16, "layers": 2, "positions": 20, **changes}
    return ConvSeq2Seq(11, 13, encoder=encoder, decoder=decoder, stream=stream, **arguments).double().eval()


def batch_of(seed=0, source=(6, 3, 1), target=(5, 2, 4)):
    random = torch.Generator().manual_seed(seed)

    def ids(lengths, vocabulary):
        x = torch.randint(4, vocabulary, (max(lengths), len(lengths)), generator=random)
        return x * (torch.arange(max(lengths)).unsqueeze(1) < torch.tensor(lengths))

    target_ids = ids(target, 13)
    target_ids[0] = BOS
    return ids(source, 11), torch.tensor(source), target_ids, torch.tensor(target)


@pytest.mark.parametrize("encoder, decoder, stream", SIDES)
def test_shapes_and_attention(encoder, decoder, stream):
    model, (source, lengths, target, sizes) = model_of(encoder, decoder, stream), batch_of()
    decoded = model.decode(target, model.encode(source, lengths))
    assert decoded.hidden.shape == (5, 3, 16)
    torch.testing.assert_close(decoded.attention.sum(2), torch.ones(5, 3, dtype=torch.float64))
    assert not decoded.attention[:, 1, 3:].any() and not decoded.attention[:, 2, 1:].any()
    assert model(source, lengths, target).shape == (5, 3, 13)
    assert model(source, lengths, target, sizes).shape == (11, 13)


@pytest.mark.parametrize("encoder, decoder, stream", SIDES)
def test_token_by_token_equals_the_whole(encoder, decoder, stream):
    model, (source, lengths, target, _) = model_of(encoder, decoder, stream), batch_of()
    memory = model.encode(source, lengths)
    whole, state, parts = model.decode(target, memory), None, []
    for chunk in target.split((1, 1, 2, 1)):
        decoded = model.decode(chunk, memory, state)
        state = decoded.state
        parts.append(decoded.hidden)
    torch.testing.assert_close(torch.cat(parts), whole.hidden, rtol=1e-10, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 9), at=st.integers(1, 4), combination=st.sampled_from(SIDES))
def test_a_later_target_token_never_changes_an_earlier_output(seed, at, combination):
    model, (source, lengths, target, _) = model_of(*combination), batch_of(seed, target=(5, 5, 5))
    before = model(source, lengths, target)
    target[at] = (target[at] + 1) % 9 + 4
    after = model(source, lengths, target)
    # To rounding: how many neurons fired decides which way a product is summed.
    torch.testing.assert_close(after[:at], before[:at], rtol=1e-10, atol=1e-10)
    assert (after[at:] - before[at:]).abs().max() > 1e-6


@pytest.mark.parametrize("encoder, decoder, stream", SIDES)
def test_padding_changes_nothing(encoder, decoder, stream):
    model, (source, lengths, target, sizes) = model_of(encoder, decoder, stream), batch_of()
    together = model(source, lengths, target)
    for i in range(3):
        alone = model(source[: lengths[i], i : i + 1], lengths[i : i + 1], target[: sizes[i], i : i + 1])
        torch.testing.assert_close(together[: sizes[i], i : i + 1], alone, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("changes", [{"norm": "batch"}, {"norm": "none", "residual": False}, {"layers": 1}])
def test_variants_run_and_learn(changes):
    model, (source, lengths, target, sizes) = model_of(**changes).train(), batch_of()
    model(source, lengths, target, sizes).logsumexp(1).sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert all("norm" in name or "positions" in name for name in missing), missing


def test_tokens_past_the_position_table_share_its_last_row():
    model = model_of(positions=4)
    source, target = torch.full((9, 1), 5), torch.full((9, 1), 6)
    assert model(source, torch.tensor([9]), target).isfinite().all()


@pytest.mark.parametrize("stream", [False, True])
def test_search_finds_the_same_with_and_without_state(stream):
    model, (source, lengths, _, _) = model_of(stream=stream), batch_of()
    for search in (greedy, lambda *a, **kw: beam_search(*a, beam=3, **kw)):
        fast = search(model, source, lengths, max_lengths=8)
        slow = search(model, source, lengths, max_lengths=8, recompute=True)
        assert [h.ids for h in fast] == [h.ids for h in slow]


def test_the_output_map_shares_the_embedding():
    model = model_of()
    assert model.output_map.weight is model.decoder.embedding.tokens.weight


def test_names():
    assert len(MODELS) == 22
    with pytest.raises(ValueError, match="model must be one of vanilla-snn-snn"):
        build_seq2seq({"name": "conv-snn-gru"}, 5, 5)
    with pytest.raises(ValueError, match=r"model\.surrogate must be one of"):
        build_seq2seq({"name": "conv-snn-snn", "surrogate": "step"}, 5, 5)
    with pytest.raises(ValueError, match="encoder and decoder must be one of"):
        ConvSeq2Seq(5, 5, encoder="gru")
