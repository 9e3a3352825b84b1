"""Recurrent encoder-decoders: every combination, the laws of `Seq2Seq`, and that the spiking ones learn."""

import itertools
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_seq2seq import batch, sources
from torch import nn

from spikeseq import monitor, project_parameters
from spikeseq.functional import ApproximateLIF, ArcTan, SpikeTime
from spikeseq.models.seq2seq.base import BOS, PAD, inside
from spikeseq.models.seq2seq.recurrent import RecurrentSeq2Seq
from spikeseq.models.seq2seq.search import beam_search
from spikeseq.models.seq2seq.stacks import SIDES, LeakyIntegrator, SpikingStack, spread_leaks
from spikeseq.nn import LIF, Integrator, reorder_state
from spikeseq.nn.state import map_state

VOCABULARY = 9
NAMES = [
    f"{family}-{encoder}-{decoder}"
    for family, encoder, decoder in itertools.product(("vanilla", "attention"), SIDES, SIDES)
]
SPIKING = {
    "plain": {"norm": "none", "residual": False, "accumulate": False, "leak": 0.95},
    "hard-reset": {"leak": [0.5, 0.99], "reset": "hard", "surrogate": ArcTan()},
    "memory": {"surrogate": ApproximateLIF(), "layers": 3, "bypass": False},
    "spike-time": {"surrogate": SpikeTime(), "layers": 2},
    "zero-start": {"start": False, "bidirectional": False, "tied": False},
}
MODELS = NAMES + [f"{family}-{option}" for family in ("vanilla", "attention") for option in SPIKING]
every_model = pytest.mark.parametrize("name", MODELS)
quick = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 10_000)


@cache
def build(name, dtype=torch.float64):
    """A model in evaluation mode, by family and sides, or by family and an option of SPIKING."""
    torch.manual_seed(0)
    family, *sides = name.split("-", 1)[0], *name.split("-")[1:]
    options = SPIKING.get(name.split("-", 1)[1])
    if options is None:
        options = dict(zip(("encoder", "decoder"), sides, strict=True))
    shape = {"embedding_size": 6, "hidden_size": 8, **options}
    model = RecurrentSeq2Seq(VOCABULARY, VOCABULARY + 2, attention=family == "attention", **shape)
    return model.to(dtype).eval()


def targets(count, length, seed=0):
    torch.manual_seed(seed)
    ids = torch.randint(4, VOCABULARY + 2, (length, count))
    ids[0] = BOS
    return ids


def test_all_combinations_are_there():
    assert len(NAMES) == 18 and {"vanilla-snn-snn", "attention-gru-lstm"} <= set(NAMES)


@every_model
def test_shapes(name):
    model = build(name)
    source, lengths = batch([4, 5, 6, 3], [7, 3], [8, 8, 3])
    memory = model.encode(source, lengths)
    attended = name.startswith("attention")
    width = 8 if name.endswith("zero-start") else 16
    assert memory.states.shape == (4, 3, width) and torch.equal(memory.lengths, lengths)
    target = targets(3, 5)
    decoded = model.decode(target, memory)
    assert decoded.hidden.shape == (5, 3, 8 + width + 6)
    if attended:
        assert decoded.attention.shape == (5, 3, 4)
        torch.testing.assert_close(decoded.attention.sum(2), torch.ones(5, 3, dtype=torch.float64))
        assert not decoded.attention[:, ~inside(lengths, 4).T].any()
    else:
        assert decoded.attention is None
    counted = []
    map_state(lambda x: counted.append(x.shape[1]), (memory.context, decoded.state))
    assert len(counted) >= 3 and set(counted) == {3}
    whole = model(source, lengths, target)
    assert whole.shape == (5, 3, VOCABULARY + 2)
    some = torch.tensor([5, 2, 1])
    torch.testing.assert_close(model(source, lengths, target, some), whole[inside(some, 5)])


@quick
@given(st.sampled_from(MODELS), seeds, st.integers(1, 5))
def test_a_token_never_changes_what_comes_before_it(name, seed, at):
    model = build(name)
    memory = model.encode(*batch(*sources(4, seed=seed)))
    target = targets(4, 6, seed)
    other = target.clone()
    other[at] = 4 + (target[at] - 3) % (VOCABULARY - 2)
    one, two = model.decode(target, memory), model.decode(other, memory)
    assert torch.equal(one.hidden[:at], two.hidden[:at])
    assert (one.hidden[at] != two.hidden[at]).any(1).all()
    if one.attention is not None:
        assert torch.equal(one.attention[:at], two.attention[:at])


@quick
@given(st.sampled_from(MODELS), seeds, st.integers(0, 3))
def test_neighbours_and_padding_change_nothing(name, seed, more):
    model = build(name)
    rows = sources(4, seed=seed)
    source, lengths = batch(*rows)
    target = targets(4, 5, seed)
    together = model.decode(target, model.encode(source, lengths)).hidden
    wider = torch.cat((source, torch.full((more, 4), PAD)))
    rubbish = torch.where(inside(lengths, len(wider)), wider, 5)
    for padded in (wider, rubbish):
        again = model.decode(target, model.encode(padded, lengths)).hidden
        torch.testing.assert_close(again, together, rtol=0, atol=1e-10)
    for i, row in enumerate(rows):
        alone = model.decode(target[:3, i : i + 1], model.encode(*batch(row))).hidden
        torch.testing.assert_close(alone[:, 0], together[:3, i], rtol=0, atol=1e-10)


@every_model
def test_sources_are_told_apart(name):
    model = build(name)
    found = [  # the same words in another order, and another word at the end of a longer sentence
        model.decode(targets(1, 4), model.encode(*batch(row))).hidden
        for row in ([4, 5, 6, 3], [5, 4, 6, 3], [4, 5, 7, 3])
    ]
    for one, two in itertools.combinations(found, 2):
        assert (one - two).abs().max() > 1e-4


@quick
@given(st.sampled_from(MODELS), seeds, st.lists(st.integers(1, 3), min_size=2, max_size=6))
def test_chunks_are_the_whole(name, seed, sizes):
    model = build(name)
    memory = model.encode(*batch(*sources(3, seed=seed)))
    target = targets(3, sum(sizes), seed)
    whole = model.decode(target, memory)
    state, parts = None, []
    for chunk in target.split(sizes):
        parts.append(model.decode(chunk, memory, state))
        state = parts[-1].state
    close = {"rtol": 0, "atol": 1e-10}
    torch.testing.assert_close(torch.cat([part.hidden for part in parts]), whole.hidden, **close)
    torch.testing.assert_close(state, whole.state, **close)
    if whole.attention is not None:
        torch.testing.assert_close(torch.cat([part.attention for part in parts]), whole.attention, **close)


@quick
@given(st.sampled_from(MODELS), seeds, st.lists(st.integers(0, 3), min_size=1, max_size=6))
def test_sentences_can_be_chosen_and_repeated(name, seed, rows):
    model, rows = build(name), torch.tensor(rows)
    memory = model.encode(*batch(*sources(4, seed=seed)))
    target = targets(4, 5, seed)
    whole = model.decode(target, memory).hidden
    state = model.decode(target[:2], memory).state
    some = model.decode(target[2:, rows], memory.select(rows), reorder_state(state, rows, dim=1))
    torch.testing.assert_close(some.hidden, whole[2:, rows], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["vanilla-snn-snn", "attention-snn-snn", "attention-gru-lstm"])
def test_a_beam_search_with_state_is_one_without(name):
    model, source = build(name), batch(*sources(4, seed=3))
    found = beam_search(model, *source, beam=3)
    slow = beam_search(model, *source, beam=3, recompute=True)
    assert [each.ids for each in found] == [each.ids for each in slow]
    assert [each.score for each in found] == pytest.approx([each.score for each in slow], abs=1e-9)


@every_model
def test_gradients_reach_every_parameter(name):
    model = build(name)
    source, lengths = batch(*sources(8, longest=9, seed=1))
    target = targets(8, 7)
    model.zero_grad()
    logits = model(source, lengths, target)
    nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten()).backward()
    missing = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert missing == []
    assert all(p.grad.isfinite().all() for p in model.parameters())
    model.zero_grad()


def reversal(size, seed):
    """Sentences of three to five of six words, and the same words backwards."""
    torch.manual_seed(seed)
    rows = [torch.randint(4, 10, (int(n),)).tolist() for n in torch.randint(3, 6, (size,))]
    source, lengths = batch(*[[*row, 3] for row in rows])
    target, _ = batch(*[[*row[::-1], 3] for row in rows])
    given = torch.cat((torch.full((1, size), BOS), target[:-1]))
    return source, lengths, given, target[inside(lengths, len(target))]


@pytest.mark.parametrize("name", ["vanilla-snn-snn", "attention-snn-snn", "attention-gru-lstm"])
def test_it_learns_to_reverse(name):
    family, encoder, decoder = name.split("-")
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(
        10, 10, encoder=encoder, decoder=decoder, attention=family == "attention", embedding_size=24,
        hidden_size=32, dropout=0.0, embedding_dropout=0.0,
    )  # fmt: skip
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    losses = []
    for step in range(60):
        source, lengths, target, following = reversal(16, step)
        loss = nn.functional.cross_entropy(model(source, lengths, target, lengths), following)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        project_parameters(model)
        losses.append(loss.item())
    chance = 1.65  # of six words, three to five of them, and the end: what is known without the source
    assert sum(losses[-5:]) / 5 < 0.75 * chance < losses[0], losses[::10]


def test_dropout_is_of_training_only():
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(VOCABULARY, VOCABULARY, embedding_size=6, hidden_size=8)
    arguments = (*batch([4, 5, 3]), targets(1, 4).clamp(max=8))
    assert not torch.equal(model(*arguments), model(*arguments))
    model.eval()
    assert torch.equal(model(*arguments), model(*arguments))


def test_without_attention_only_the_context_is_known():
    model = build("vanilla-snn-gru")
    memory = model.encode(*batch([4, 5, 3], [6, 3]))
    expected = model.decode(targets(2, 4), memory).hidden
    memory.states = torch.zeros_like(memory.states)
    assert torch.equal(model.decode(targets(2, 4), memory).hidden, expected)
    final, prepared = memory.context
    assert final.shape == (1, 2, 16) and prepared is None


# --- the spiking stack ------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual, bypass", [(True, True), (True, False), (False, True)])
def test_a_spiking_stack_by_loops(residual, bypass):
    """Two LIF layers in both directions, and integrators, token by token and sub-step by sub-step."""
    torch.manual_seed(0)
    options = {"residual": residual, "bypass": bypass, "leak": (0.5, 0.9)}
    stack = SpikingStack(6, 4, layers=2, bidirectional=True, **options).double()
    x = torch.randn(5, 6, dtype=torch.float64)
    current, inputs = None, x
    for i, layer in enumerate(stack.layers):
        plus = stack.maps[i](inputs)
        alone = i == 0 or not residual or (i == 2 and not bypass)
        current = plus if alone else current + plus
        normal = stack.norms[i](current)
        outs = torch.zeros(5, 8, dtype=torch.float64)
        for neuron in range(8):
            u, spike = 0.0, 0.0
            for token in range(5) if neuron < 4 else reversed(range(5)):
                if isinstance(layer, LIF):
                    for _ in range(5):
                        u = layer.leak[neuron] * u + normal[token, neuron] - layer.threshold[neuron] * spike
                        spike = float(u > layer.threshold[neuron])
                        outs[token, neuron] += spike
                else:
                    leak = layer.leak[neuron]
                    u = leak * u + (1 - leak**2) ** 0.5 * normal[token, neuron]
                    outs[token, neuron] = u
        inputs = outs
    found, state = stack(x.unsqueeze(1))
    torch.testing.assert_close(found[:, 0], stack.read(outs))
    assert state.shape == (3, 1, 8)
    ends = torch.cat((outs[-1, :4], outs[0, 4:]))
    torch.testing.assert_close(state[-1, 0], ends)
    torch.testing.assert_close(stack.summary(state)[0], stack.read(ends))


def test_leaks_start_spread():
    leaks = spread_leaks((0.8, 0.999), 5)
    memory = 1 / (1 - leaks)
    torch.testing.assert_close(memory[[0, -1]], torch.tensor([5.0, 1000.0]), rtol=1e-3, atol=0)
    torch.testing.assert_close(memory[1:] / memory[:-1], torch.full((4,), 200**0.25), rtol=1e-3, atol=0)
    assert torch.equal(spread_leaks(0.9, 3), torch.full((3,), 0.9))
    stack = SpikingStack(4, 5, bidirectional=True)
    for layer in stack.layers:
        every_token = leaks**5 if isinstance(layer, LeakyIntegrator) else leaks
        torch.testing.assert_close(layer.leak.detach(), every_token.repeat(2))
    shared = SpikingStack(4, 5, leak=0.9)
    assert shared.layers[0].leak.shape == shared.layers[0].threshold.shape == (1,)


def test_integrators_keep_the_variance_of_their_input():
    """Those that forget; without a leak they are `Integrator`s up to a factor."""
    torch.manual_seed(0)
    integrators = LeakyIntegrator(spread_leaks((0.0, 0.95), 4))
    out, final = integrators(torch.randn(400, 300, 4))
    torch.testing.assert_close(out[200:].var((0, 1)), torch.ones(4), rtol=0.1, atol=0)
    assert torch.equal(out[-1], final)
    x = torch.randn(5, 3, 4)
    sums, plain = LeakyIntegrator(torch.ones(4))(x)[0], Integrator()(x)[0]
    torch.testing.assert_close(sums, plain * (1 - 0.999**2) ** 0.5)


@pytest.mark.parametrize("substeps", [1, 3, 5])
def test_a_fresh_stack_is_neither_dead_nor_saturated(substeps):
    torch.manual_seed(0)
    stack = SpikingStack(64, 96, layers=3, bidirectional=True, substeps=substeps).eval()
    with torch.no_grad(), monitor(stack) as watch:
        stack(torch.randn(20, 16, 64))
        rates, silent = watch.rates("substep"), watch.silent()
    assert len(rates) == 3
    assert all(0.05 < rate < 0.5 for rate in rates.values()), rates
    assert max(silent.values()) < 0.05 and max(watch.saturated().values()) < 0.05


def test_bad_arguments():
    with pytest.raises(ValueError, match="encoder must be one of 'snn', 'gru', 'lstm', got 'ann'"):
        RecurrentSeq2Seq(5, 5, encoder="ann")
    with pytest.raises(ValueError, match="decoder must be one of 'snn', 'gru', 'lstm', got 'rnn'"):
        RecurrentSeq2Seq(5, 5, decoder="rnn")
    with pytest.raises(ValueError, match="norm must be one of 'layer', 'none', got 'batch'"):
        RecurrentSeq2Seq(5, 5, norm="batch")
    for sizes in ("hidden_size", "embedding_size", "layers"):
        with pytest.raises(ValueError, match=f"{sizes} must be at least 1, got 0"):
            RecurrentSeq2Seq(5, 5, encoder="gru", decoder="gru", **{sizes: 0})
    for leak in ((0.9, 0.8), (0.5,), (0.5, 1.0)):
        with pytest.raises(ValueError, match="leak must be a number, or two rising numbers"):
            RecurrentSeq2Seq(5, 5, leak=leak)
    with pytest.raises(ValueError, match=r"leak must lie in \[0, 1\], got 1.5"):
        RecurrentSeq2Seq(5, 5, leak=[0.5, 1.5])
    with pytest.raises(TypeError, match="leek"):  # even where no side spikes
        RecurrentSeq2Seq(5, 5, encoder="gru", decoder="lstm", leek=0.9)
