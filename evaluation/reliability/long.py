"""Long streams: how much memory a process holds while tokens pass, read from the system."""

import gc
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from spikeseq import compile_events, release_memory
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.nn import SpikingRNN, run_in_chunks
from spikeseq.nn.state import bytes_of

CHUNK = 500
POINTS = 10
"""How often memory is read, at equal distances; the first tenth fills what is kept for ever."""


class Held(NamedTuple):
    """What a stream held.

    name: of the stream. tokens: that passed. start: resident bytes after the first tenth. most: the most at a
    later tenth. state: bytes handed from token to token.
    """

    name: str
    tokens: int
    start: int
    most: int
    state: int

    @property
    def per_token(self) -> float:
        """Bytes by which a token made memory grow, at most."""
        return max(0, self.most - self.start) / (self.tokens * (1 - 1 / POINTS))

    @property
    def grew(self) -> bool:
        """Whether memory grew by more than a heap that settles does."""
        return self.most - self.start > 16 * 2**20


def resident() -> int:
    """Bytes of memory that this process has now.

    Raises:
        OSError: the system has no /proc.
    """
    gc.collect()
    release_memory()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def written(tokens: int) -> Held:
    """A language model writes, one token at a time, each from the one before."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {
        "embedding_size": 32,
        "neurons": 128,
        "kernel_size": 4,
        "ngrams": [2, 3],
        "ngram_rows": 100,
    }
    stream = compile_events(SpikingLanguageModel(256, **sizes).eval())
    token, state = torch.zeros(1, 1, dtype=torch.int64), None

    def more(count: int) -> object:
        nonlocal token, state
        for _ in range(count):
            logits, state = stream(token, state)
            token = logits.argmax(2)
        return state

    return _held("writing, a token at a time", tokens, more)


def trained(tokens: int) -> Held:
    """A layer is trained with its state handed on: a gradient for every tenth, a chunk in memory."""
    torch.manual_seed(0)
    layer, state = SpikingRNN(8, 64, 2), None

    def more(count: int) -> object:
        nonlocal state
        out, state = run_in_chunks(layer, torch.randn(count, 1, 8), state, size=CHUNK, truncate=True)
        out.square().mean().backward()
        state = state.detach()
        layer.zero_grad()
        return state

    return _held(f"training in chunks of {CHUNK}", tokens, more)


def _held(name: str, tokens: int, more: Callable[[int], object]) -> Held:
    found = []
    for _ in range(POINTS):
        state = more(tokens // POINTS)
        found.append(resident())
    return Held(name, tokens, found[0], max(found[1:]), bytes_of(state))


def table(found: list[Held]) -> str:
    lines = [
        "| | tokens | memory after a tenth | most afterwards | bytes a token | state |",
        "|---|---|---|---|---|---|",
    ]
    for one in found:
        lines.append(
            f"| {one.name} | {one.tokens:,} | {one.start / 2**20:.1f} MB | {one.most / 2**20:.1f} MB |"
            f" {one.per_token:.2f} | {one.state:,} B |"
        )
    return "\n".join(lines) + "\n"
