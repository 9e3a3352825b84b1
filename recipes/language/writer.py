"""A trained language model, as `spikeseq.load(run)` returns it: it writes, and tells how likely a text is."""

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeseq.checks import positive_int
from spikeseq.events import compile_events
from spikeseq.models.language import LanguageModel, SpikingLanguageModel, check_sampling, draw
from spikeseq.models.language.stream import check, settings
from spikeseq.recipes.language.surprise import memories, slowest
from spikeseq.recipes.language.units import Unit
from spikeseq.recipes.shared.opened import Opened, Seen
from spikeseq.watch import watched

READ_AT_ONCE = 1024
"""Tokens of a prompt or text that are read in one call; the state goes from call to call."""


@dataclass
class Scored:
    """How likely a text is.

    tokens: as people read them. log_probabilities: of each, natural logarithms. bytes: of the text in UTF-8.
    """

    tokens: list[str]
    log_probabilities: list[float]
    bytes: int

    @property
    def bits_per_byte(self) -> float:
        """-log2 p of the text, for each byte of it; of an empty one 0."""
        return -sum(self.log_probabilities) / math.log(2) / max(1, self.bytes)


@dataclass
class Writer(Opened):
    """A trained language model. model: in evaluation mode. unit: what it reads. config: of the run."""

    model: LanguageModel
    unit: Unit
    config: Any = None
    writes = True
    _made: tuple[nn.Module, "Sources"] | None = field(default=None, init=False, repr=False)

    @property
    def stream(self) -> nn.Module:
        """What reads and writes: the model where its calls are watched or a part can only be called, else
        what `for_writing` made of it, anew where the model has changed since. Asked when a text is begun."""
        now = None if watched(*self.model.modules()) else sources(self.model)
        if now is None:
            return self.model
        made = self._made
        if made is None or not alike(made[1], now):
            values = {name: tensor.detach().clone() for name, tensor in now.tensors.items()}
            made = self._made = for_writing(self.model), Sources(now.settings, values)
        return made[0]

    @torch.no_grad()
    def read(self, text: str, state: Any = None) -> tuple[Tensor, Any]:
        """Logits (1, V) of what comes after a text, and the state there. A text begins after an `end`."""
        ids = [self.unit.end, *self.unit.encode(text)] if state is None else self.unit.encode(text)
        return read_by(self.stream, ids, state)

    def generate(
        self,
        prompt: str = "",
        *,
        tokens: int | None = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float = 1.0,
        seed: int | None = None,
    ) -> Iterator[str]:
        """What the model writes behind `prompt`, as it comes, in pieces that are whole characters.

        One token costs the same whether it is the tenth or the millionth, and so does the memory.

        Args:
            prompt: what it reads first; default nothing, so that it begins a document.
            tokens: how many it writes at most; it ends earlier where it ends the document. None: until then.
            temperature, top_k, top_p: as `models.language.draw`.
            seed: of what it draws, an integer of 64 bits; the same seed gives the same text. Default None:
                drawn from torch's global generator.
        Raises:
            TypeError, ValueError: naming the argument, at the call.
        """
        if not isinstance(prompt, str):
            raise TypeError(f"prompt must be a string, got {type(prompt).__name__}")
        if tokens is not None:
            positive_int("tokens", tokens)
        check_sampling(temperature, top_k, top_p)
        if seed is not None and type(seed) is not int:
            raise TypeError(f"seed must be an integer, got {type(seed).__name__}")
        if seed is not None and not -(2**63) <= seed < 2**63:
            raise ValueError(f"seed must be an integer of 64 bits, got {seed}")
        generator = torch.Generator()
        generator.manual_seed(int(torch.randint(2**31, ())) if seed is None else seed)
        return self._generate(prompt, tokens, generator, temperature, top_k, top_p)

    def _generate(
        self, prompt: str, tokens: int | None, generator: torch.Generator,
        temperature: float, top_k: int | None, top_p: float,
    ) -> Iterator[str]:  # fmt: skip
        stream = self.stream
        logits, state = read_by(stream, [self.unit.end, *self.unit.encode(prompt)])
        decoder = self.unit.decoder()
        if self.unit.kind != "byte":  # whether a space comes first depends on what was before
            for read in self.unit.encode(prompt):
                decoder.take(read)
        for written in itertools.count(1):
            index = draw(logits, generator, temperature=temperature, top_k=top_k, top_p=top_p)
            if int(index) == self.unit.end:
                break
            if text := decoder.take(int(index)):
                yield text
            if written == tokens:
                break
            with torch.no_grad():
                out, state = stream(index.unsqueeze(0), state)
            logits = out[-1]
        if text := decoder.rest():
            yield text

    @torch.no_grad()
    def score(self, text: str) -> Scored:
        """How likely a text is, as the beginning of a document: every token's log probability."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a string, got {type(text).__name__}")
        ids = self.unit.encode(text)
        before, found, state, stream = [self.unit.end, *ids][: len(ids)], [], None, self.stream
        for start in range(0, len(ids), READ_AT_ONCE):
            part = torch.tensor(before[start : start + READ_AT_ONCE]).unsqueeze(1)
            logits, state = stream(part, state)
            wanted = torch.tensor(ids[start : start + READ_AT_ONCE]).view(-1, 1, 1)
            found += logits.log_softmax(2).gather(2, wanted).flatten().tolist()
        names = [self.unit.show(index) for index in ids]
        return Scored(names, found, len(text.encode("utf-8", "replace")))

    def see(self, text: str) -> Seen:
        """Its tokens behind an `end`, how surprising each is, and what slow neurons hold."""
        return self.see_tokens(self.unit.encode(text))

    @torch.no_grad()
    def see_tokens(self, ids: list[int]) -> Seen:
        """As `see`, of tokens."""
        text = torch.tensor([self.unit.end, *ids]).unsqueeze(1)
        logits, _ = self.model(text)  # in one call, so that who watches sees all spikes side by side
        names = [self.unit.show(index) for index in text.flatten().tolist()]
        if not ids:
            return Seen(names)
        bits = -logits[:-1].log_softmax(2).gather(2, text[1:].unsqueeze(2)).flatten() / math.log(2)
        held = slowest(memories(self.model, text))
        return Seen(names, surprise=(names[1:], bits.tolist(), {name: one[1:] for name, one in held.items()}))


@torch.no_grad()
def read_by(stream: nn.Module, ids: list[int], state: Any = None) -> tuple[Tensor, Any]:
    """Logits (1, V) of what comes after one token or more, and the state there."""
    logits = None
    for start in range(0, len(ids), READ_AT_ONCE):
        out, state = stream(torch.tensor(ids[start : start + READ_AT_ONCE]).unsqueeze(1), state)
        logits = out[-1]
    assert logits is not None
    return logits, state


class Sources(NamedTuple):
    """All that what writes is made of."""

    settings: Any
    tensors: dict[str, Tensor]


def sources(model: nn.Module) -> Sources | None:
    """What the model is now, or None where it writes itself: see `for_writing`."""
    if not isinstance(model, SpikingLanguageModel) or not model.output_bias.is_cpu:
        return None
    try:
        check(model)
    except (TypeError, ValueError):  # a part that can only be called
        return None
    return Sources(settings(model), dict(model.named_parameters()) | dict(model.named_buffers()))


def alike(one: Sources, other: Sources) -> bool:
    """Whether all settings and values are the same. Versions of tensors would not do: some ways to write to
    them, as through `.data` or in inference mode, leave no trace."""
    if one.settings != other.settings or one.tensors.keys() != other.tensors.keys():
        return False
    pairs = ((value, other.tensors[name]) for name, value in one.tensors.items())
    return all(a.dtype == b.dtype and a.device == b.device and torch.equal(a, b) for a, b in pairs)


def for_writing(model: nn.Module) -> nn.Module:
    """The model, or the same driven by events where it can be: a spiking one with fixed leaks, on a CPU, to
    which nothing was hooked or changed."""
    if sources(model) is None:
        return model
    try:
        return compile_events(model)
    except ValueError:  # a part that can only be called
        return model


@torch.no_grad()
def generation_speed(model: nn.Module, device: torch.device, tokens: int = 200) -> float:
    """Tokens that are written a second, one stream, drawing included."""
    generator, state = torch.Generator(device).manual_seed(1), None
    token = torch.zeros(1, dtype=torch.int64, device=device)
    stream = for_writing(model.eval())
    for number in range(-20, tokens):  # the first ones make buffers
        if number == 0:
            started = time.perf_counter()
        logits, state = stream(token.unsqueeze(0), state)
        token = draw(logits[-1], generator)
    int(token)  # waits for the device
    return tokens / (time.perf_counter() - started)
