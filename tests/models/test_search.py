import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_seq2seq import Copier, Table, TinyGRU, batch, sources

from spikeseq.models.seq2seq.base import BOS, EOS, PAD, UNK
from spikeseq.models.seq2seq.search import Hypothesis, beam_search, greedy, top

SEEDS = st.integers(0, 10_000)
quick = settings(deadline=None, max_examples=15)


def close(found, expected):
    """The same sentences, and scores that differ by rounding only."""
    assert [h.ids for h in found] == [h.ids for h in expected]
    assert [h.attended for h in found] == [h.attended for h in expected]
    assert [h.score for h in found] == pytest.approx([h.score for h in expected], abs=1e-9)


def plain_beam_search(model, source, *, beam, length_penalty, longest, unk=True):
    """The same search for one sentence, with lists, and every probability computed from the beginning."""
    memory = model.encode(*batch(source))
    live, finished, winners = [([], 0.0)], [], 0
    for n in range(longest + 1):
        ranked = []
        for rank, (ids, total) in enumerate(live):
            decoded = model.decode(torch.tensor([[BOS, *ids]]).T, memory)
            scores = model.output_map(decoded.hidden[-1]).log_softmax(1)[0].tolist()
            forbidden = {PAD, BOS} if unk else {PAD, BOS, UNK}
            allowed = [EOS] if n == longest else [i for i in range(len(scores)) if i not in forbidden]
            ranked += [(-total - scores[i], rank, i, [*ids, i]) for i in allowed]
        ranked.sort()
        for total, _, token, ids in ranked[:beam]:
            if token == EOS:
                finished.append((-total / (n + 1) ** length_penalty, ids[:-1]))
        live = [(ids, -total) for total, _, token, ids in ranked if token != EOS][:beam]
        winners += len(list(itertools.takewhile(lambda entry: entry[2] == EOS, ranked[:beam])))
        if winners >= beam:
            break
    return max(finished, key=lambda item: item[0])  # the first of equals


# --- the laws ---------------------------------------------------------------------------------------------


@quick
@given(
    SEEDS,
    st.booleans(),
    st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    st.sampled_from([None, True, False]),
    st.booleans(),
)
def test_a_beam_of_one_is_greedy(seed, attention, length_penalty, unk, flat):
    model = TinyGRU(attention=attention, seed=seed)
    if flat:  # all tokens equally likely: ties are broken alike
        torch.nn.init.zeros_(model.output_map.weight)
        torch.nn.init.zeros_(model.output_map.bias)
    source = batch(*sources(5, seed=seed))
    options = {"length_penalty": length_penalty, "unk": unk, "attention": True}
    one, other = greedy(model, *source, **options), beam_search(model, *source, beam=1, **options)
    assert one == other  # scores bit for bit
    for a, b in zip(one, other, strict=True):
        assert (a.attention is None) == (not attention) == (b.attention is None)
        assert a.attention is None or torch.equal(a.attention, b.attention)


@quick
@given(SEEDS, st.sampled_from([1, 2, 3, 5]), st.sampled_from([0.0, 0.7, 1.0, 1.5]), st.integers(0, 7))
def test_the_search_is_the_plain_one(seed, beam, length_penalty, longest):
    model = Table(7, seed)
    rows = sources(3, 7, seed=seed)
    found = beam_search(model, *batch(*rows), beam=beam, length_penalty=length_penalty, max_lengths=longest)
    for source, hypothesis in zip(rows, found, strict=True):
        score, ids = plain_beam_search(
            model, source, beam=beam, length_penalty=length_penalty, longest=longest
        )
        assert hypothesis.ids == ids
        assert hypothesis.score == pytest.approx(score)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_a_wide_beam_finds_the_best_sentence_of_all(length_penalty):
    sentences = [list(ids) for n in range(5) for ids in itertools.product((UNK, 4), repeat=n)]
    for seed in range(12):
        model, source = Table(5, seed), [4, 4, EOS]
        scores = [model.log_probability(source, ids) / (len(ids) + 1) ** length_penalty for ids in sentences]
        best = max(range(len(scores)), key=scores.__getitem__)
        (found,) = beam_search(model, *batch(source), beam=40, length_penalty=length_penalty, max_lengths=4)
        assert found.ids == sentences[best] and found.score == pytest.approx(scores[best])


@quick
@given(SEEDS, st.sampled_from([1, 2, 4]), st.booleans())
def test_scores_and_attention_are_of_the_sentence_found(seed, beam, use_greedy):
    """The table draws by its own history: a state that follows the wrong hypothesis gives another score."""
    model = Table(8, seed)
    rows = sources(4, 8, seed=seed)
    search = greedy if use_greedy else lambda *a, **k: beam_search(*a, beam=beam, **k)
    found = search(model, *batch(*rows), attention=True)
    assert {tokens for tokens, _ in model.calls} == {1}  # one token at a time
    for source, hypothesis in zip(rows, found, strict=True):
        ids = hypothesis.ids
        whole = model.decode(torch.tensor([[BOS, *ids]]).T, model.encode(*batch(source))).attention[:, 0]
        assert hypothesis.score == pytest.approx(model.log_probability(source, ids) / (len(ids) + 1))
        assert torch.equal(hypothesis.attention, whole)
        words = whole[:-1, : max(1, len(source) - 1)]
        assert hypothesis.attended == words.argmax(1).tolist()


@quick
@given(SEEDS, st.booleans(), st.sampled_from([1, 3]))
def test_incremental_decoding_equals_recomputation(seed, attention, beam):
    model = TinyGRU(attention=attention, seed=seed)
    source, options = batch(*sources(6, seed=seed)), {"beam": beam, "max_lengths": 9}
    close(greedy(model, *source), greedy(model, *source, recompute=True))
    close(beam_search(model, *source, **options), beam_search(model, *source, **options, recompute=True))


def test_recomputation_starts_from_the_beginning_each_time():
    for search in (greedy, beam_search):
        model, source = Table(6, spread=0.5), batch(*sources(3, 6))
        found = search(model, *source, recompute=True)
        tokens = [tokens for tokens, _ in model.calls]
        assert tokens == list(range(1, len(tokens) + 1)) and len(tokens) > 2
        assert found == search(Table(6, spread=0.5), *source)


@quick
@given(SEEDS, st.sampled_from([1, 2, 5]))
def test_neighbours_and_padding_change_nothing_and_the_order_is_kept(seed, beam):
    model, rows, options = TinyGRU(seed=seed), sources(4, seed=seed), {"beam": beam, "max_lengths": 7}
    together = beam_search(model, *batch(*rows), **options)
    close(together, [beam_search(model, *batch(row), **options)[0] for row in rows])
    close(beam_search(model, *batch(*rows[::-1]), **options)[::-1], together)
    together = greedy(model, *batch(*rows))
    close(together, [greedy(model, *batch(row))[0] for row in rows])


@quick
@given(SEEDS, st.sampled_from([2, 3, 6]), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
def test_stopping_early_changes_no_result(seed, beam, length_penalty):
    options = {"beam": beam, "length_penalty": length_penalty, "max_lengths": 6}
    model, rows = Table(6, seed, spread=4.0), sources(3, 6, seed=seed)
    early = beam_search(model, *batch(*rows), **options)
    steps = len(model.calls)
    assert early == beam_search(model, *batch(*rows), early_stop=False, **options)
    assert steps <= len(model.calls) - steps


def test_early_stopping_saves_steps():
    decoded = []
    for early_stop in (True, False):
        model = Table(6, spread=4.0)
        beam_search(model, *batch(*sources(20, 6)), beam=4, length_penalty=0.5, early_stop=early_stop)
        decoded.append(sum(rows for _, rows in model.calls))
    assert decoded[0] < 0.9 * decoded[1]


def test_unlikely_ends_do_not_end_the_search():
    """Many a prefix of the sentence is finished before it is; none is likelier than what lives on."""
    source = [*[4] * 12, EOS]
    for beam in (1, 2, 4, 9):
        (found,) = beam_search(Copier(7), *batch(source), beam=beam)
        assert found.ids == source[:-1]


# --- what may be produced ---------------------------------------------------------------------------------


@pytest.mark.parametrize("beam", [None, 1, 4])
def test_finished_sentences_leave_the_batch(beam):
    model = Copier(9)
    rows = [[4] * n + [EOS] for n in (0, 5, 2)]
    widths = []
    model.output_map.register_forward_hook(lambda module, args, out: widths.append(len(out)))
    source = batch(*rows)
    found = greedy(model, *source) if beam is None else beam_search(model, *source, beam=beam)
    assert [h.ids for h in found] == [[4] * n for n in (0, 5, 2)]
    assert [h.attended for h in found] == [list(range(n)) for n in (0, 5, 2)]
    if beam != 4:
        assert widths == [3, 2, 2, 1, 1, 1]
    else:
        assert widths[0] == 3 and widths[1] == 8 and widths[-1] == 4 and len(widths) < 20


@pytest.mark.parametrize("beam", [None, 1, 3])
@pytest.mark.parametrize("limit", [0, 1, 4])
def test_the_max_length_is_kept_and_the_sentence_closed(beam, limit):
    model, rows = Table(8), sources(6, 8)
    model.spread = 0.5  # `<eos>` is no likelier than the rest
    each = torch.tensor([limit, 0, 2, 7, limit, 1])
    for limits in (limit, torch.tensor(limit), each):
        options = {} if beam is None else {"beam": beam}
        search = greedy if beam is None else beam_search
        found = search(model, *batch(*rows), max_lengths=limits, **options)
        bounds = torch.as_tensor(limits).expand(6).tolist()
        assert all(len(h.ids) <= bound for h, bound in zip(found, bounds, strict=True))
        assert any(len(h.ids) == bound for h, bound in zip(found, bounds, strict=True))
        for source, h in zip(rows, found, strict=True):
            assert h.score == pytest.approx(model.log_probability(source, h.ids) / (len(h.ids) + 1))


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_the_default_max_length_goes_by_the_source(search):
    model = TinyGRU()
    with torch.no_grad():
        model.output_map.bias[EOS] = -1e4
    rows = [[4, EOS], [4, 5, 6, EOS]]
    assert [len(h.ids) for h in search(model, *batch(*rows))] == [14, 18]


@pytest.mark.parametrize("search", [greedy, beam_search])
@pytest.mark.parametrize("attention", [True, False])
def test_specials_are_never_produced_and_unk_only_where_it_may_be(search, attention):
    model, rows = TinyGRU(attention=attention), sources(5)
    with torch.no_grad():
        model.output_map.bias[[PAD, BOS, UNK]] += 50.0

    def produced(**options):
        return {i for h in search(model, *batch(*rows), **options) for i in h.ids}

    for unk in (True, False, None):
        ids = produced(unk=unk)
        assert ids.isdisjoint({PAD, BOS, EOS})
        assert (UNK in ids) == (attention if unk is None else unk)
    found = search(model, *batch(*rows), unk=True)
    for row, h in zip(rows, found, strict=True):
        if not attention:
            assert h.attended is None and h.attention is None
        else:
            assert len(h.attended) == len(h.ids)
            assert all(0 <= at < max(1, len(row) - 1) for at in h.attended)  # never the closing <eos>


def test_an_unknown_word_is_said_and_attended_or_replaced_by_the_next_best():
    source = batch([4, UNK, 6, EOS])
    for search in (greedy, beam_search):
        (said,) = search(Copier(9), *source)
        assert said == Hypothesis([4, UNK, 6], said.score, [0, 1, 2])
    (other,) = greedy(Copier(9), *source, unk=False)
    assert other.ids == [4]  # all the rest is equally unlikely, and `<eos>` comes first of it


def test_the_length_penalty_trades_length_for_probability():
    model, rows = Table(8, spread=1.5), sources(20, 8)
    lengths = [
        sum(
            len(h.ids)
            for h in beam_search(model, *batch(*rows), beam=4, length_penalty=penalty, max_lengths=9)
        )
        for penalty in (0.0, 1.0, 3.0)
    ]
    assert lengths[0] < lengths[1] < lengths[2]


def test_of_equal_scores_the_first_found_is_kept():
    model = Table(8, spread=0.0)  # all as likely, so that every mean is the same
    (found,) = beam_search(model, *batch([4, EOS]), beam=2, unk=False)
    assert found.ids == [] and [rows for _, rows in model.calls] == [1, 2]


def test_a_wider_beam_finds_likelier_sentences():
    model, rows = Table(8), sources(20, 8)
    options = {"length_penalty": 0.0, "max_lengths": 6}
    means = []
    for beam in (1, 2, 8):
        found = beam_search(model, *batch(*rows), beam=beam, **options)
        means.append(sum(h.score for h in found) / len(found))
    assert means[0] < means[1] < means[2]


# --- edges ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("search", [greedy, beam_search])
def test_no_sentences(search):
    assert search(TinyGRU(), torch.zeros(3, 0, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)) == []


@pytest.mark.parametrize("search", [greedy, beam_search])
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_a_model_that_is_not_finite_ends(search, value):
    model = TinyGRU()
    torch.nn.init.constant_(model.output_map.bias, value)
    found = search(model, *batch([4, EOS], [4, 5, EOS]))
    assert [(h.ids, h.score) for h in found] == [([], -math.inf)] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_other_dtypes(dtype):
    model = TinyGRU().to(dtype)
    source = batch(*sources(5))
    assert greedy(model, *source) == beam_search(model, *source, beam=1)
    assert all(math.isfinite(h.score) for h in beam_search(model, *source))


def test_nothing_needs_gradients():
    (found,) = beam_search(TinyGRU(), *batch([4, 5, EOS]), attention=True)
    assert not found.attention.requires_grad
    torch.testing.assert_close(found.attention.sum(1), torch.ones(len(found.ids) + 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam": 0}, "beam must be at least 1, got 0"),
        ({"beam": 2.0}, "beam must be an int, got 2.0"),
        ({"length_penalty": -0.5}, "length_penalty must be finite and at least 0, got -0.5"),
        ({"length_penalty": math.nan}, "length_penalty must be finite and at least 0, got nan"),
        ({"max_lengths": -1}, "max_lengths must be 1 or 2 of at least 0, got -1"),
        (
            {"max_lengths": torch.tensor([3, 3, 3])},
            r"max_lengths must be 1 or 2 of at least 0, got \[3, 3, 3\]",
        ),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        beam_search(TinyGRU(), *batch([4, EOS], [EOS]), **options)


def test_lengths_must_be_of_the_source():
    for lengths in ([1], [1, 0], [2, 3]):  # case 4.7
        with pytest.raises(ValueError, match="lengths must be 2 of at least 1 and at most 2, the rows"):
            greedy(TinyGRU(), torch.full((2, 2), EOS), torch.tensor(lengths))
        with pytest.raises(ValueError, match="lengths must be 2 of at least 1 and at most 2, the rows"):
            beam_search(TinyGRU(), torch.full((2, 2), EOS), torch.tensor(lengths))
    with pytest.raises(TypeError, match="lengths must be a Tensor, got list"):
        greedy(TinyGRU(), torch.full((2, 2), EOS), [1, 1])
    with pytest.raises(TypeError, match=r"lengths must be int64, got torch\.float32"):
        greedy(TinyGRU(), torch.full((2, 2), EOS), torch.tensor([1.0, 1.0]))
    with pytest.raises(ValueError, match=r"source must be \(S, B\) ids, got \(2,\)"):
        greedy(TinyGRU(), torch.tensor([4, EOS]), torch.tensor([1]))


@given(
    st.lists(st.lists(st.sampled_from([-math.inf, -2.0, -1.0, 0.0]), min_size=6, max_size=6), min_size=1),
    st.integers(1, 8),
)
def test_the_largest_are_taken_by_value_then_index(rows, count):
    values, index = top(torch.tensor(rows), count)
    for row, kept, places in zip(rows, values.tolist(), index.tolist(), strict=True):
        expected = sorted(range(6), key=lambda i: (-row[i], i))[:count]
        assert kept == [row[i] for i in expected]
        finite = [i for i in expected if row[i] > -math.inf]
        assert places[: len(finite)] == finite
