"""Texts that ask for a name told many characters before: who remembers it, and for how long?

    remember ada . nobody says a word . so it goes on ... who ? ada .

Between both is chatter of four sentences in any order, which tell nothing. Every document has one name of
eight, which all have three letters, so that guessing is right one time in eight. Distances of training texts
are spread evenly in logarithm, so that what is learnt over a few words can carry on over thousands.
"""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from spikeseq.files import write_whole
from spikeseq.recipes.language.units import Unit
from spikeseq.recipes.language.writer import READ_AT_ONCE, Writer

NAMES = ("ada", "ben", "dan", "eve", "gus", "ivo", "kim", "lea")
CHATTER = (
    "so it goes on and on",
    "then we wait for a while",
    "nobody says a word",
    "it is late and it rains",
)
HELD = {"valid": 200, "test": 200}
ROWS = 50
"""Documents that are read side by side."""
TOLD, ASKED = " . ", " who ? "
SHORTEST = 20
"""Characters between the name that is told and the same name as the answer."""


def story(rng: random.Random, name: str, distance: int) -> str:
    """A document, `distance` characters (20 or more) between the name and the answer."""
    length = distance - len(TOLD) - len(ASKED)
    chatter = " . ".join(rng.choice(CHATTER) for _ in range(length // len(min(CHATTER, key=len)) + 1))
    return f"remember {name}{TOLD}{chatter[:length]}{ASKED}{name} .\n"


def write(folder: Path, longest: int = 5000, documents: int = 20_000, seed: int = 1) -> None:
    """`train.jsonl`, `valid.jsonl` and `test.jsonl`: documents of distances from 20 to `longest`.

    documents: to train on; two thousand are learnt by heart.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    for split, size in {"train": documents, **HELD}.items():
        lines = []
        for _ in range(size):
            distance = round(math.exp(rng.uniform(math.log(SHORTEST), math.log(longest))))
            lines.append(json.dumps({"text": story(rng, rng.choice(NAMES), distance)}) + "\n")
        write_whole(folder / f"{split}.jsonl", "".join(lines))


@torch.no_grad()
def recalled(writer: Writer, distance: int, documents: int = 200, seed: int = 2) -> float:
    """The share of documents whose name a model finds the likeliest of the eight, where it is asked for.

    Args:
        distance: characters, and so tokens of a model that reads bytes.
    """
    rng, unit = random.Random(seed), writer.unit
    space = " " if unit.kind == "byte" else ""  # other units have it in the word
    alike: dict[int, list[tuple[list[int], int]]] = {}  # by length, to be read side by side
    for _ in range(documents):
        which = rng.randrange(len(NAMES))
        whole = story(rng, NAMES[which], distance)
        ids = unit.encode(whole[: whole.index(ASKED)] + ASKED.rstrip() + space)
        alike.setdefault(len(ids), []).append(([unit.end, *ids], which))
    right = 0
    groups = [same[at : at + ROWS] for same in alike.values() for at in range(0, len(same), ROWS)]
    for group in groups:
        texts, state, logits = torch.tensor([ids for ids, _ in group]).t(), None, None
        for part in texts.split(READ_AT_ONCE):
            out, state = writer.model(part, state)
            logits = out[-1]
        assert logits is not None
        found = answers_of(logits, unit)
        right += sum(name == NAMES[which] for name, (_, which) in zip(found, group, strict=True))
    return right / documents


def answers_of(logits: Tensor, unit: Unit) -> list[str]:
    """The likeliest of the eight names in rows of logits (B, V) of its first token."""
    first = torch.tensor([unit.encode(name)[0] for name in NAMES])
    return [NAMES[which] for which in logits[:, first].argmax(1).tolist()]


def table(runs: Sequence[Path], distances: Sequence[int]) -> str:
    """A line for each run: the share of names recalled, in percent, at each distance."""
    from spikeseq.recipes.runs import load

    lines = ["| run | " + " | ".join(f"{distance:,}" for distance in distances) + " |"]
    lines.append("|---|" + "---|" * len(distances))
    for run in runs:
        writer = load(run)
        shares = [f"{100 * recalled(writer, distance):.1f}" for distance in distances]
        lines.append(f"| {run.name} | " + " | ".join(shares) + " |")
    return "\n".join(lines)
