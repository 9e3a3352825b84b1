"""Small generated stories in which names and brackets matter: a model must remember to write them.

    ada has a red kite. ben has a wooden boat (it is old). ben gives the boat to eve. who has the boat? eve.

Every story introduces people and things, moves some things on, and asks who has one: the answer stands many
letters before. Remarks in brackets are closed. All stories are drawn from one seed, always the same.
"""

import random
from collections.abc import Iterator

SIZES = {"train": 3000, "validation": 150, "test": 150}

NAMES = ("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "jo", "kim", "lea")
THINGS = ("kite", "boat", "drum", "book", "lamp", "ball", "coat", "map", "bell", "cake", "rope", "cup")
KINDS = ("red", "blue", "old", "new", "small", "big", "wooden", "paper")
REMARKS = ("it is old", "it was found", "nobody wants it", "it is lovely", "it came by post")
MOVES = ("gives the {} to", "hands the {} to", "lends the {} to")


def splits() -> dict[str, list[str]]:
    """The stories of each split. No two are alike."""
    drawn = _stories(random.Random(20261129))
    return {name: [next(drawn) for _ in range(size)] for name, size in SIZES.items()}


def _stories(rng: random.Random) -> Iterator[str]:
    seen: set[str] = set()
    while True:
        text = _story(rng)
        if text not in seen:
            seen.add(text)
            yield text


def _story(rng: random.Random) -> str:
    people = rng.sample(NAMES, rng.randint(2, 3))
    things = rng.sample(THINGS, len(people))
    owner = dict(zip(things, people, strict=True))
    sentences = []
    for thing, name in owner.items():
        remark = f" ({rng.choice(REMARKS)})" if rng.random() < 0.3 else ""
        sentences.append(f"{name} has a {rng.choice(KINDS)} {thing}{remark}.")
    for _ in range(rng.randint(0, 2)):
        thing = rng.choice(things)
        other = rng.choice([name for name in people if name != owner[thing]])
        sentences.append(f"{owner[thing]} {rng.choice(MOVES).format(thing)} {other}.")
        owner[thing] = other
    asked = rng.choice(things)
    sentences.append(f"who has the {asked}? {owner[asked]}.")
    return " ".join(sentences) + "\n"
