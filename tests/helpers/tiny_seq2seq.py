"""Encoder-decoders of a few numbers: a GRU, a random table that knows its own history, and a copier."""

import math
import random

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from spikeseq.models.seq2seq.base import EOS, PAD, SPECIALS, UNK, Decoded, Memory, Seq2Seq
from spikeseq.nn.attention import AdditiveAttention


class TinyGRU(Seq2Seq):
    """One GRU a side, float64, weights large enough for different sentences to differ."""

    def __init__(self, vocabulary: int = 9, size: int = 6, attention: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.encoder, self.decoder = nn.GRU(size, size), nn.GRU(size, size)
        self.attention = AdditiveAttention(size, size) if attention else None
        self.output_map = nn.Linear(2 * size, vocabulary)
        self.double().eval()
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=1.5 if parameter.dim() > 1 else 0.5, generator=generator)

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        packed = pack_padded_sequence(self.embedding(source), lengths, enforce_sorted=False)
        states, final = self.encoder(packed)
        states = pad_packed_sequence(states, total_length=len(source))[0]
        return Memory(
            states, lengths, {"final": final, "keys": self.attention and self.attention.prepare(states)}
        )

    def decode(self, target: Tensor, memory: Memory, state: Tensor | None = None) -> Decoded:
        state = memory.context["final"] if state is None else state
        hidden, state = self.decoder(self.embedding(target), state)
        if self.attention is None:
            return Decoded(torch.cat((hidden, memory.context["final"].expand_as(hidden)), 2), None, state)
        context, weights = self.attention(hidden, memory.context["keys"], memory.lengths)
        return Decoded(torch.cat((hidden, context), 2), weights, state)


class Table(Seq2Seq):
    """Next-token probabilities drawn anew for every source and history, so that nothing can be guessed.

    Its state is the history that it was shown and the source that it belongs to: a state that is reordered
    wrongly, or without its memory, gives other probabilities or fails. `calls` lists (tokens, rows) decoded.
    """

    def __init__(
        self, vocabulary: int = 5, seed: int = 0, spread: float = 2.0, attention: bool = True
    ) -> None:
        super().__init__()
        self.vocabulary, self.seed, self.spread, self.attention = vocabulary, seed, spread, attention
        self.output_map = nn.Identity()
        self.calls: list[tuple[int, int]] = []

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        return Memory(source.unsqueeze(2).double(), lengths, source)

    def decode(self, target: Tensor, memory: Memory, state: tuple[Tensor, Tensor] | None = None) -> Decoded:
        self.calls.append(tuple(target.shape))
        history = target
        if state is not None:
            assert torch.equal(state[1], memory.context), "the state is of another source than the memory"
            history = torch.cat((state[0], target))
        rows, first = target.shape[1], len(history) - len(target)
        hidden = torch.empty(len(target), rows, self.vocabulary, dtype=torch.float64)
        weights = torch.zeros(len(target), rows, len(memory.context), dtype=torch.float64)
        for row in range(rows):
            source = memory.context[: memory.lengths[row], row].tolist()
            for i in range(len(target)):
                drawn = random.Random(f"{self.seed} {source} {history[: first + i + 1, row].tolist()}")
                hidden[i, row] = torch.tensor([drawn.gauss(0, self.spread) for _ in range(self.vocabulary)])
                some = torch.tensor([drawn.random() for _ in source], dtype=torch.float64)
                weights[i, row, : len(source)] = some / some.sum()
        return Decoded(hidden, weights if self.attention else None, (history, memory.context))

    def log_probability(self, source: list[int], ids: list[int]) -> float:
        """Of `ids` and `<eos>` for a source, from the whole sentence at once."""
        target = torch.tensor([[2, *ids]]).T
        memory = self.encode(torch.tensor([source]).T, torch.tensor([len(source)]))
        scores = self.decode(target, memory).hidden.log_softmax(2)[:, 0]
        self.calls.pop()
        return math.fsum(scores[i, token].item() for i, token in enumerate([*ids, EOS]))


class Copier(Seq2Seq):
    """Says the source again, and attends what it says. `batches` lists the lengths of what it encoded."""

    def __init__(self, vocabulary: int, attention: bool = True) -> None:
        super().__init__()
        self.vocabulary, self.attention = vocabulary, attention
        self.output_map = nn.Identity()
        self.batches: list[list[int]] = []

    def encode(self, source: Tensor, lengths: Tensor) -> Memory:
        assert (source[lengths - 1, torch.arange(len(lengths))] == EOS).all()
        assert ((source != PAD).sum(0) == lengths).all() and ((source == EOS).sum(0) == 1).all()
        self.batches.append(lengths.tolist())
        return Memory(source.unsqueeze(2).float(), lengths, source)

    def decode(self, target: Tensor, memory: Memory, state: Tensor | None = None) -> Decoded:
        said = torch.zeros_like(target[:1]) if state is None else state
        positions = said + torch.arange(len(target)).unsqueeze(1)
        positions = positions.minimum(memory.lengths - 1)  # (L, B)
        logits = 9.0 * nn.functional.one_hot(memory.context.gather(0, positions), self.vocabulary)
        weights = nn.functional.one_hot(positions, len(memory.context)).float()
        return Decoded(logits, weights if self.attention else None, said + len(target))


def batch(*sources: list[int]) -> tuple[Tensor, Tensor]:
    """Sources (S, B), padded, and their lengths (B,)."""
    lengths = torch.tensor([len(source) for source in sources], dtype=torch.int64)
    padded = torch.full((max(map(len, sources), default=0), len(sources)), PAD)
    for i, source in enumerate(sources):
        padded[: len(source), i] = torch.tensor(source)
    return padded, lengths


def sources(count: int, vocabulary: int = 9, longest: int = 6, seed: int = 0) -> list[list[int]]:
    """Random sentences, each with its `<eos>`."""
    drawn = random.Random(seed)
    words = [UNK, *range(len(SPECIALS), vocabulary)]
    return [[*drawn.choices(words, k=drawn.randrange(longest)), EOS] for _ in range(count)]
