"""Four small models of equal size learn to recall a name, each with as much processor time.

Every batch is made on the spot, of one distance, so that nothing is padded and nothing learnt by heart. The
largest distance doubles whenever most answers of the one before are right: what is asked thousands of tokens
after it was told is learnt over a few words first.
"""

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from spikeseq.models.language import (
    LanguageModel,
    RecurrentLanguageModel,
    SpikingLanguageModel,
    TransformerLanguageModel,
)
from spikeseq.nn import project_parameters
from spikeseq.recipes.language.recall import NAMES, SHORTEST, answers_of, recalled, story
from spikeseq.recipes.language.units import Bytes
from spikeseq.recipes.language.writer import Writer
from spikeseq.surrogates import ArcTan

FIRST = 40
"""The largest distance at the beginning."""
MASTERED = 0.8
"""Share of right answers, over the last ten batches or so, from which on distances double."""
TOKENS = 8192
"""Of a batch, about."""
CONTEXT = 1024
LEAKS = (0.0, 0.9999)


def _snn(neurons: int, decay: str) -> SpikingLanguageModel:
    return SpikingLanguageModel(
        Bytes.size, embedding_size=64, neurons=neurons, layers=1, kernel_size=4, leaks=LEAKS, decay=decay,
        surrogate=ArcTan(),
    )  # fmt: skip


MODELS: dict[str, tuple[Callable[[], LanguageModel], float]] = {
    "snn, a leak for each neuron": (lambda: _snn(768, "fixed"), 0.01),
    "snn, decay=input": (lambda: _snn(512, "input"), 0.01),
    "lstm": (lambda: RecurrentLanguageModel(Bytes.size, embedding_size=64, hidden_size=128), 0.01),
    "transformer": (
        lambda: TransformerLanguageModel(
            Bytes.size, embedding_size=64, hidden_size=128, layers=1, context=CONTEXT
        ),
        0.002,
    ),
}
"""What makes each, of 0.11 to 0.12 M parameters, and the learning rate at the beginning."""


@dataclass
class Learnt:
    """How far a model came: characters read, and the largest distance that it was trained on."""

    tokens: int
    longest: int


def learn(
    model: LanguageModel, rate: float, seconds: float, longest: int = CONTEXT - 24, seed: int = 1
) -> Learnt:
    """Trains a model for so many seconds of processor time.

    The loss is the mean over a document's bytes, and that of the answer's first letter once more.

    Args:
        rate: of learning (AdamW), which falls to zero in a straight line.
        longest: distance; a transformer's training document must lie within its context.
    """
    rng, done, most, right = random.Random(seed), Learnt(0, FIRST), longest, 1 / len(NAMES)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    model.train()
    started = time.process_time()
    while (passed := (time.process_time() - started) / seconds) < 1:
        distance = round(math.exp(rng.uniform(math.log(SHORTEST), math.log(done.longest))))
        names = [rng.choice(NAMES) for _ in range(max(8, min(64, TOKENS // distance)))]
        texts = [[Bytes().end, *story(rng, name, distance).encode()] for name in names]
        rows = torch.tensor(texts).t()
        place = len(f"remember {names[0]}") + distance  # of the last byte before the answer
        logits, _ = model(rows[:-1])
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), rows[1:].flatten())
        loss = loss + nn.functional.cross_entropy(logits[place], rows[place + 1])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - passed)
        optimizer.step()
        project_parameters(model)
        done.tokens += rows[1:].numel()
        found = answers_of(logits[place].detach(), Bytes())
        right += 0.1 * (sum(map(str.__eq__, found, names)) / len(names) - right)
        if right > MASTERED and done.longest < most:
            done.longest, right = min(most, 2 * done.longest), 0.5
    model.eval()
    return done


def contest(seconds: float, distances: Sequence[int], seed: int = 1) -> Iterator[str]:
    """Lines of a table: what each of MODELS recalls at each distance, in percent, after so many seconds."""
    head = ["model", "parameters", "bytes read", "trained up to", *map("{:,}".format, distances)]
    yield "| " + " | ".join(head) + " |"
    yield "|---" * len(head) + "|"
    for name, (build, rate) in MODELS.items():
        torch.manual_seed(seed)
        model = build()
        done = learn(model, rate, seconds, seed=seed)
        writer = Writer(model, Bytes())
        shares = [f"{100 * recalled(writer, distance):.1f}" for distance in distances]
        count = sum(p.numel() for p in model.parameters())
        cells = [name, f"{count:,}", f"{done.tokens / 1e6:.1f} M", f"{done.longest:,}", *shares]
        yield "| " + " | ".join(cells) + " |"
