"""Rows of a text, chunk by chunk: what is read when, with which state, and how a split is scored."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from spikeseq.models.language import (
    RecurrentLanguageModel,
    SpikingLanguageModel,
    TransformerLanguageModel,
)
from spikeseq.recipes.engine import TrainSettings
from spikeseq.recipes.language.corpus import Corpus, Stream
from spikeseq.recipes.language.task import SCORED_ROWS, LanguageTask, chunks_of, measures, parts, positions
from spikeseq.recipes.language.units import Bytes

END = Bytes().end
MODELS = {
    "snn": lambda: SpikingLanguageModel(END + 1, embedding_size=8, neurons=12, layers=2, kernel_size=3),
    "input": lambda: SpikingLanguageModel(END + 1, embedding_size=8, neurons=12, layers=1, decay="input"),
    "lstm": lambda: RecurrentLanguageModel(END + 1, kind="lstm", embedding_size=8, hidden_size=12),
    "gru": lambda: RecurrentLanguageModel(END + 1, kind="gru", embedding_size=8, hidden_size=12, layers=2),
    "transformer": lambda: TransformerLanguageModel(
        END + 1, embedding_size=8, heads=2, hidden_size=8, context=16, layers=2
    ),
}


def made(name):
    torch.manual_seed(0)
    return MODELS[name]().double().eval()


def stream(ids, documents=1):
    return Stream(np.asarray(ids, np.uint16), len(ids), max(1, len(ids) // 5), documents, "")


def task(ids, model=None, batch_size=2, chunk=4, epoch_tokens=None, reset=False):
    splits = {name: stream(ids) for name in ("train", "validation", "test")}
    return LanguageTask(model, Corpus("mine", Bytes(), splits), batch_size, chunk, epoch_tokens, reset)


def collated(task, epochs=1, processes=1, rank=0):
    for epoch in range(epochs):
        batches = task.batches(epoch)
        for batch in task.dealt(batches, processes, rank) if processes > 1 else batches:
            yield task.collate(batch, torch.Generator())


@pytest.mark.parametrize("count", [41, 40, 39, 30])
def test_rows_go_on_from_chunk_to_chunk(count):
    found = list(collated(task(np.arange(count))))
    length = (count - 1) // 2
    assert len(found) == length // 4
    assert [batch[2].tolist() for batch in found] == [[False, False]] + [[True, True]] * (len(found) - 1)
    assert all(batch[0].shape == (4, 2) and torch.equal(batch[0][1:], batch[1][:-1]) for batch in found)
    assert all(float(batch[3]) == 1 / 8 for batch in found)
    tokens, targets = (torch.cat([batch[part] for batch in found]) for part in (0, 1))
    for row in (0, 1):
        assert tokens[:, row].tolist() == list(range(row * length, row * length + len(tokens)))
        assert targets[:, row].tolist() == [token + 1 for token in tokens[:, row].tolist()]


def test_an_epoch_of_some_tokens_goes_on_in_the_next_one():
    given = task(np.arange(49), epoch_tokens=16)  # 24 tokens a row, 6 chunks of them; 2 chunks an epoch
    found = list(collated(given, epochs=4))
    assert [int(batch[0][0, 0]) for batch in found] == [0, 4, 8, 12, 16, 20, 0, 4]
    assert [bool(batch[2].all()) for batch in found] == [False, True] * 4


def test_an_epoch_that_does_not_divide_the_text_begins_it_without_a_state():
    given = task(np.arange(41), epoch_tokens=24)  # 5 chunks a row, 3 an epoch
    found = list(collated(given, epochs=2))
    assert [int(batch[0][0, 0]) for batch in found] == [0, 4, 8, 12, 16, 0]
    assert [bool(batch[2].any()) for batch in found] == [False, True, True, False, True, False]


@pytest.mark.parametrize("count", [5, 6, 8])
def test_a_text_shorter_than_a_chunk(count):
    given = task(np.arange(count))
    ((tokens, _, goes_on, _),) = collated(given)
    assert tokens.shape == ((count - 1) // 2, 2) and not goes_on.any()
    assert given.tokens(given.batches(0)[0]) == 2 * ((count - 1) // 2)


def test_a_text_too_short_for_its_processes():
    with pytest.raises(ValueError, match=r"5 tokens to train on are too few for 3 processes of batch_size=2"):
        list(collated(task(np.arange(5)), processes=3))
    with pytest.raises(
        ValueError, match=r"3 pieces of documents of train\.chunk=4 tokens to train on are too"
    ):
        list(collated(task([1, 2, END, 3, 4, 5, 6, 7, 8, END], reset=True), processes=2))


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("epoch_tokens", [None, 40])
def test_two_processes_see_what_one_of_twice_the_rows_sees(epoch_tokens, reset):
    ids = ids_of_documents(count=40)
    one = list(collated(task(ids, batch_size=4, epoch_tokens=epoch_tokens, reset=reset), epochs=2))
    options = {"epoch_tokens": epoch_tokens, "reset": reset}
    two = [list(collated(task(ids, **options), 2, 2, rank)) for rank in (0, 1)]
    assert len(one) == len(two[0]) == len(two[1]) > 3
    for whole, *both in zip(one, *two, strict=True):
        for rank, (tokens, targets, goes_on, _) in enumerate(both):
            length, own = len(tokens), slice(2 * rank, 2 * rank + 2)
            assert torch.equal(whole[0][:length, own], tokens) and torch.equal(whole[2][own], goes_on)
            assert torch.equal(whole[1][:length, own], targets) and bool((whole[1][length:, own] < 0).all())
        assert all(float(batch[3]) == pytest.approx(2 * float(whole[3])) for batch in both)


@pytest.mark.parametrize("name", ["snn", "input", "lstm", "gru"])
def test_the_state_is_that_of_the_row_so_far(name):
    given = task(np.random.default_rng(0).integers(0, 256, 60), made(name))
    losses = [given.loss(given.model, batch) for batch in collated(given)]
    whole, targets = (torch.cat([batch[part] for batch in collated(given)]) for part in (0, 1))
    logits, _ = given.model(whole)
    expected = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    torch.testing.assert_close(torch.stack(losses).mean(), expected)
    assert not any(tensor.requires_grad for tensor in leaves(given.state))
    first = given.loss(given.model, next(collated(given)))  # a new epoch begins without a state
    torch.testing.assert_close(first, losses[0])


def test_documents_in_pieces():
    ids = [1, 2, 3, 4, 5, END, END, 6, 7, 8, END, 9]
    given = task(ids, batch_size=1, reset=True)
    assert given.pieces.tolist() == [[0, 4, 1], [4, 6, 0], [6, 7, 1], [7, 11, 1], [11, 12, 1]]
    found = [[part.flatten().tolist() for part in batch[:3]] for batch in collated(given)]
    assert found == [
        [[END, 1, 2, 3], [1, 2, 3, 4], [False]],
        [[4, 5], [5, END], [True]],
        [[END], [END], [False]],
        [[END, 6, 7, 8], [6, 7, 8, END], [False]],
        [[END], [9], [False]],
    ]
    assert sum(given.tokens(batch) for batch in given.batches(0)) == len(ids)


@pytest.mark.parametrize("name", ["snn", "input", "lstm", "gru"])
def test_reset_trains_on_every_document_from_a_fresh_state(name):
    """The loss is that of documents one by one; pieces at the end that fill no row are left out."""
    ids, model = ids_of_documents(count=12), made(name)
    given = task(ids, model, batch_size=3, reset=True)
    total, count = 0.0, 0
    for batch in collated(given):
        loss = given.loss(model, batch)
        total, count = total + float(loss.detach() / batch[3]), count + int((batch[1] >= 0).sum())
    rows = given.pieces[: len(given.pieces) // 3 * 3].reshape(3, -1, 3).tolist()
    expected = 0.0
    for row in rows:
        state = None
        for begin, stop, first in row:
            text = torch.tensor([[END, *ids][begin:stop], ids[begin:stop]])
            logits, state = model(text[0].unsqueeze(1), None if first else state)
            expected += float(nn.functional.cross_entropy(logits[:, 0], text[1], reduction="sum"))
    assert total == pytest.approx(expected) and count == sum(
        stop - begin for row in rows for begin, stop, _ in row
    )


def leaves(state):
    if isinstance(state, torch.Tensor):
        return [state]
    return [] if state is None else [leaf for part in state for leaf in leaves(part)]


def ids_of_documents(seed=0, count=9):
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        found += [*rng.integers(0, 256, rng.integers(0, 12)), END]
    return found


@pytest.mark.parametrize("name", ["snn", "input", "lstm", "gru"])
@torch.no_grad()
def test_reset_reads_every_document_from_a_fresh_state(name):
    model, ids = made(name), ids_of_documents()
    given = task(ids, model, reset=True)
    text = torch.tensor([[END, *ids], [*ids, 3]]).t()
    found, state = [], None
    for part in text.split(7):
        logits, state = given.read(model, part, state)
        found.append(logits)
    found = torch.cat(found)
    for row in (0, 1):
        starts = [0, *(i for i, token in enumerate(text[:, row].tolist()) if token == END and i), len(text)]
        for start, stop in itertools.pairwise(starts):
            expected, _ = model(text[start:stop, row : row + 1])
            torch.testing.assert_close(found[start:stop, row : row + 1], expected)


def test_parts():
    tokens = torch.tensor([[1, 1], [END, 1], [1, 1], [END, END]])
    found = list(parts(tokens, tokens == END))
    assert [part.shape[0] for part, _ in found] == [1, 2, 1]
    assert [begins.tolist() for _, begins in found] == [[False, False], [True, False], [True, True]]


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_a_split_is_scored_as_row_by_row(name, reset, monkeypatch):
    monkeypatch.setattr("spikeseq.recipes.language.task.SCORED_CHUNK", 8)
    if name == "transformer" and reset:
        pytest.skip("refused: its chunks begin anew")
    model, ids = made(name), ids_of_documents(count=30)
    given = task(ids, model, reset=reset)
    length = -(-len(ids) // SCORED_ROWS)
    starts = range(0, len(ids), length)
    if reset:  # no document is cut
        starts = [0, *(place + 1 for place, token in enumerate(ids[:-1]) if token == END)]
    nats, before = 0.0, [END, *ids]
    for start, stop in itertools.pairwise([*starts, len(ids)]):
        row = slice(start, stop)
        logits, _ = given.read(model, torch.tensor(before[row]).unsqueeze(1), None)
        nats += float(nn.functional.cross_entropy(logits[:, 0], torch.tensor(ids[row]), reduction="sum"))
    found = given.score(model, "test", torch.device("cpu"))
    expected = measures(nats, given.corpus.splits["test"])
    for key, value in expected.items():
        assert found[key] == pytest.approx(value, rel=1e-6), key
    assert given.validate(model, torch.device("cpu"))["score"] == pytest.approx(-expected["bits_per_token"])


@pytest.mark.parametrize("documents", [False, True])
@pytest.mark.parametrize("count", [1, 2, 15, 16, 17, 33, 100, 5000])
def test_every_token_is_foretold_once(count, documents):
    ids = np.arange(count) % 250
    if documents:
        ids[12::29] = END
    chunks = list(chunks_of(stream(ids), END, documents))
    found = torch.cat([targets for _, targets in chunks])
    assert sorted(found[found >= 0].tolist()) == sorted(ids.tolist())
    rows = torch.cat([tokens for tokens, _ in chunks]).t(), found.t()
    assert int(rows[0][0, 0]) == END and not (documents and bool((rows[0][:, 0] != END).any()))
    for tokens, targets in zip(*rows, strict=True):
        assert tokens[1:][targets[1:] >= 0].tolist() == targets[:-1][targets[1:] >= 0].tolist()


def test_positions_begin_anew_at_documents():
    ends = torch.tensor([[1, 0], [0, 0], [0, 1], [1, 1], [0, 0]], dtype=torch.bool)
    first = positions(ends, torch.zeros((), dtype=torch.int64))
    assert first.t().tolist() == [[1, 2, 3, 1, 2], [1, 2, 1, 1, 2]]
    again = positions(torch.zeros_like(ends), first[-1])
    assert again.t().tolist() == [[3, 4, 5, 6, 7]] * 2


@torch.no_grad()
def test_loss_by_position():
    model, ids = made("snn"), ids_of_documents(count=60)
    given = task(ids, model)
    found = given.score(model, "test", torch.device("cpu"))
    classes = found["by_position"]
    assert list(classes) == ["1-9", "10-99"]
    assert sum(one["tokens"] for one in classes.values()) == len(ids)
    whole = sum(one["tokens"] * one["bits_per_token"] for one in classes.values())
    assert whole / len(ids) == pytest.approx(found["bits_per_token"], rel=1e-4)
    given = task(list(range(250)) * 200, model)  # one document: 16 rows
    counts = {
        place: one["tokens"]
        for place, one in given.score(model, "test", torch.device("cpu"))["by_position"].items()
    }
    assert counts == {"1-9": 144, "10-99": 1440, "100-999": 14400, "1,000-9,999": 16 * 2126 - 0}


def test_measures():
    given = Stream(np.zeros(8, np.uint16), 16, 2, 1, "")
    found = measures(8 * float(np.log(4)), given)
    assert found == pytest.approx(
        {"bits_per_byte": 1.0, "bits_per_token": 2.0, "perplexity": 4.0, "word_perplexity": 4.0**4}
    )
    assert measures(1e9, given)["perplexity"] < float("inf")


def test_training_learns_a_repeated_text(tmp_path):
    from spikeseq.recipes.engine import fit

    torch.manual_seed(0)
    given = task(list(b"abcd" * 100), MODELS["snn"](), batch_size=4, chunk=16)
    settings = TrainSettings(epochs=8, warmup=2, average=0.5, learning_rate=0.03)
    _model, state = fit(given, settings, tmp_path)
    assert (
        state.history[-1]["validation"]["bits_per_byte"]
        < 0.7
        < state.history[0]["validation"]["bits_per_byte"]
    )
