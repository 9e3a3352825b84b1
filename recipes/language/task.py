"""Language modelling as a task for the engine: rows of a long text, chunk by chunk, the state handed on."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from spikeseq.models.language import LanguageModel, build_language_model
from spikeseq.nn import detach_state
from spikeseq.nn.state import map_state
from spikeseq.recipes.engine import Task
from spikeseq.recipes.language.corpus import Corpus, Stream

SCORED_ROWS = 16
"""Rows in which a split is scored, each a part of it that begins without a past; with `reset` at a document's
beginning."""
SCORED_CHUNK = 256
POSITIONS = (1, 10, 100, 1_000, 10_000)
"""Where classes of positions in a document begin, for `LanguageTask.score`."""


class Chunk(NamedTuple):
    """What one process takes in one update: its rows at a place in an epoch."""

    epoch: int
    place: int
    rank: int = 0
    processes: int = 1


@dataclass
class LanguageTask(Task):
    """A language model on a corpus. See `engine.Task`.

    The training text is cut into as many rows as all processes together have in a batch. A row is read from
    its beginning to its end, `chunk` tokens an update, and each chunk begins with the state that the one
    before ended with. A new epoch begins without a state, so that a run that goes on is undisturbed. Where
    states begin anew at every document, a row has one piece of a document at a time, and is padded.

    batch_size: rows of a process. epoch_tokens: of all rows, None for the whole text. reset: whether states
    begin anew at every document.
    """

    model: LanguageModel
    corpus: Corpus
    batch_size: int
    chunk: int
    epoch_tokens: int | None
    reset: bool
    state: Any = field(default=None, repr=False)

    def row_chunks(self, processes: int) -> int:
        """Chunks in a row.

        Raises:
            ValueError: too short a text for as many rows.
        """
        rows = self.batch_size * processes
        found = len(self.pieces) // rows if self.reset else min(1, self.length(processes))
        if not found:
            count, what = len(self.corpus.splits["train"]), "tokens"
            if self.reset:
                count, what = len(self.pieces), f"pieces of documents of train.chunk={self.chunk} tokens"
            wanted = f"{processes} processes of batch_size={self.batch_size} rows"
            raise ValueError(f"{count:,} {what} to train on are too few for {wanted}; take a smaller one")
        return found if self.reset else max(1, self.length(processes) // self.chunk)

    def length(self, processes: int) -> int:
        """Tokens of a row that are foretold, where rows are stretches of the text."""
        return (len(self.corpus.splits["train"]) - 1) // (self.batch_size * processes)

    @cached_property
    def pieces(self) -> NDArray[Any]:
        """Documents in pieces of `chunk` tokens, what is left of one being a shorter piece.

        (pieces, 3): where each begins, where it stops, and whether a document begins there.
        """
        ids = self.corpus.splits["train"].ids
        stops = np.flatnonzero(ids == self.corpus.unit.end) + 1
        stops = stops if len(stops) and stops[-1] == len(ids) else np.append(stops, len(ids))
        starts = np.append(0, stops[:-1])
        counts = -(-(stops - starts) // self.chunk)
        document = np.repeat(np.arange(len(counts)), counts)
        inside = np.arange(len(document)) - np.repeat(counts.cumsum() - counts, counts)
        begins = starts[document] + inside * self.chunk
        return np.stack((begins, np.minimum(begins + self.chunk, stops[document]), inside == 0), 1)

    def chunks(self, processes: int) -> int:
        """Updates that an epoch takes."""
        whole = self.row_chunks(processes)
        if self.epoch_tokens is None:
            return whole
        return min(whole, max(1, self.epoch_tokens // (self.batch_size * processes * self.chunk)))

    def batches(self, epoch: int) -> list[Chunk]:
        return [Chunk(epoch, place) for place in range(self.chunks(1))]

    def dealt(self, batches: list[Chunk], processes: int, rank: int) -> list[Chunk]:
        """Every process has rows of its own, and takes all chunks of these."""
        epoch = batches[0].epoch
        return [Chunk(epoch, place, rank, processes) for place in range(self.chunks(processes))]

    def tokens(self, batch: Chunk) -> int:
        begins, stops, _ = self.spans(batch)
        return int((stops - begins).sum())

    def spans(self, batch: Chunk) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Of the rows of all processes: where what they foretell begins and stops, and which go on."""
        rows, count = np.arange(self.batch_size * batch.processes), self.row_chunks(batch.processes)
        number = (batch.epoch * self.chunks(batch.processes) + batch.place) % count
        goes_on = np.full(len(rows), batch.place > 0 and number > 0)
        if self.reset:
            begins, stops, first = self.pieces[rows * count + number].T
            return begins, stops, goes_on & (first == 0)
        length = self.length(batch.processes)
        begins = rows * length + number * self.chunk + 1
        return begins, begins + min(self.chunk, length), goes_on

    def collate(self, batch: Chunk, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Tokens (chunk, rows), those after them (-100 where a row is over), which rows go on from the chunk
        before (rows,), and what the sum of the losses is to be multiplied by for their mean."""
        begins, stops, goes_on = self.spans(batch)
        weight = batch.processes / (stops - begins).sum()
        own = slice(batch.rank * self.batch_size, (batch.rank + 1) * self.batch_size)
        begins, stops, goes_on = begins[own], stops[own], goes_on[own]
        places = begins + np.arange((stops - begins).max())[:, None]
        tokens, targets = shifted(self.corpus.splits["train"], places, places < stops, self.corpus.unit.end)
        return tokens, targets, torch.from_numpy(goes_on), torch.tensor(weight, dtype=torch.float32)

    def loss(self, model: nn.Module, batch: tuple[Tensor, ...]) -> Tensor:
        """Mean of -log p of the chunk's tokens, in nats."""
        tokens, targets, goes_on, weight = batch
        state = self.state if bool(goes_on.any()) else None
        if state is not None and not bool(goes_on.all()):
            state = map_state(partial(cleared, ~goes_on), state)
        logits, state = model(tokens, state)
        self.state = detach_state(state)
        total = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
        return total * weight

    def read(self, model: nn.Module, tokens: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Logits (L, B, V) of a chunk (L, B), and the state; anew at every document's end, if so wished.

        `end` stands before a document as well as behind it: what comes first in one is guessed from `end`
        alone.
        """
        if not self.reset:
            return model(tokens, state)  # type: ignore[no-any-return]
        found = []
        for part, begins in parts(tokens, tokens == self.corpus.unit.end):
            if state is not None:
                state = map_state(partial(cleared, begins), state)
            logits, state = model(part, state)
            found.append(logits)
        return torch.cat(found), state

    def validate(self, model: nn.Module, device: torch.device) -> dict[str, float]:
        nats, _ = self.by_position(model, "validation", device)
        found = measures(nats.sum().item(), self.corpus.splits["validation"])
        return {"score": -found["bits_per_token"], **found}

    def score(self, model: nn.Module, split: str, device: torch.device) -> dict[str, Any]:
        """How well a split is foretold; see `measures`. And how fast, and how well by position.

        `by_position` has, for tokens at the 1st to 9th place behind a document's beginning (or a row's, where
        that is nearer), the 10th to 99th and so on: their number, and their mean bits.
        """
        stream, started = self.corpus.splits[split], time.perf_counter()
        nats, counts = self.by_position(model, split, device)
        seconds = time.perf_counter() - started
        upto = [f"-{start - 1:,}" for start in POSITIONS[1:]] + [" on"]
        places = [f"{start:,}{stop}" for start, stop in zip(POSITIONS, upto, strict=True)]
        return {
            **measures(nats.sum().item(), stream),
            "tokens_per_second": round(len(stream) / seconds),
            "by_position": {
                place: {"tokens": count, "bits_per_token": round(total / count / math.log(2), 4)}
                for place, total, count in zip(places, nats.tolist(), counts.tolist(), strict=True)
                if count
            },
        }

    @torch.no_grad()
    def by_position(self, model: nn.Module, split: str, device: torch.device) -> tuple[Tensor, Tensor]:
        """Sum of -log p in nats (float64), and number, of a split's tokens in each class of POSITIONS."""
        model.eval()
        nats = torch.zeros(len(POSITIONS) + 1, dtype=torch.float64, device=device)
        counts = torch.zeros(len(POSITIONS) + 1, dtype=torch.int64)
        starts, end = torch.tensor(POSITIONS), self.corpus.unit.end
        state, last = None, torch.zeros((), dtype=torch.int64)
        for tokens, targets in chunks_of(self.corpus.splits[split], end, documents=self.reset):
            logits, state = self.read(model, tokens.to(device), state)
            loss = nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.to(device).flatten(), reduction="none"
            )
            places = positions(tokens == end, last)
            last = places[-1]
            which = torch.bucketize(places.masked_fill(targets < 0, 0), starts, right=True).flatten()
            nats.index_add_(0, which.to(device), loss.double())
            counts += which.bincount(minlength=len(counts))
        return nats[1:].cpu(), counts[1:]  # the first are the ends of rows


def parts(tokens: Tensor, ends: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """A chunk cut before every token at which some row begins anew, and which rows (B,) do so there."""
    cuts = [0, *(ends.any(1).nonzero().flatten().tolist()), len(tokens)]
    for start, stop in pairwise(cuts):
        if stop > start:
            yield tokens[start:stop], ends[start]


def cleared(rows: Tensor, state: Tensor) -> Tensor:
    """The state (B, *) with zeros in some rows: what a fresh one is."""
    return state.masked_fill(rows.view(-1, *[1] * (state.dim() - 1)), 0)


def chunks_of(stream: Stream, end: int, documents: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """All of a split in rows: tokens (L, rows) and those after them, -100 where there is none.

    An `end` goes before the first one, so that every token is foretold once.

    documents: rows begin where documents do.
    """
    length = math.ceil(len(stream) / min(SCORED_ROWS, len(stream)))
    begins = np.arange(0, len(stream), length)
    if documents:  # where one begins there or next
        starts = np.append(0, np.flatnonzero(stream.ids == end) + 1)
        after = np.append(starts[starts < len(stream)], len(stream))
        begins = np.unique(after[np.searchsorted(after, begins)])
        begins = begins[begins < len(stream)]
    stops = np.append(begins[1:], len(stream))
    longest = int((stops - begins).max())
    for start in range(0, longest, SCORED_CHUNK):
        places = begins + start + np.arange(min(SCORED_CHUNK, longest - start))[:, None]
        yield shifted(stream, places, places < stops, end)


def shifted(stream: Stream, places: NDArray[Any], inside: NDArray[Any], end: int) -> tuple[Tensor, Tensor]:
    """The tokens before some places, `end` before the first, and those at them; where not `inside`, `end` and
    -100."""
    last = len(stream) - 1
    before = stream.ids[(places - 1).clip(0, last)].astype("int64")
    at = stream.ids[places.clip(0, last)].astype("int64")
    before[(places == 0) | ~inside], at[~inside] = end, -100
    return torch.from_numpy(before), torch.from_numpy(at)


def positions(ends: Tensor, last: Tensor) -> Tensor:
    """How many tokens of its document a model has read where it foretells the next one, `end` among them.

    ends: where the tokens of a chunk (L, B) are `end`. last: of the token before it (B,), 0 at the beginning.
    """
    number = torch.arange(1, len(ends) + 1).unsqueeze(1).expand(ends.shape)
    begun = torch.where(ends, number, 0).cummax(0).values
    return torch.where(begun > 0, number - begun + 1, number + last)


def measures(nats: float, stream: Stream) -> dict[str, float]:
    """Of -log p of all tokens of a split: bits per token, and per byte of its text; perplexity per token, and
    per word (what white space parts, and line ends)."""
    return {
        "bits_per_byte": nats / math.log(2) / stream.bytes,
        "bits_per_token": nats / math.log(2) / len(stream),
        "perplexity": math.exp(min(700.0, nats / len(stream))),
        "word_perplexity": math.exp(min(700.0, nats / max(1, stream.words))),
    }


def build_task(config: Any, corpus: Corpus, model: LanguageModel | None = None) -> LanguageTask:
    """The task of a configuration, with a trained model or a fresh one."""
    if model is None:
        torch.manual_seed(config.seed)
        model = build_language_model(config.model, corpus.unit.size)
    train = config.train
    return LanguageTask(model, corpus, train.batch_size, train.chunk, train.epoch_tokens, config.data.reset)
