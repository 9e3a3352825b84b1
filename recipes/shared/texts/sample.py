"""A small generated sentiment corpus in which word order carries the label: counting words cannot solve it.

Every text states opinions about two or three aspects of a film. **The last opinion decides** (0 = neg,
1 = pos), and a negator flips the adjective after it:

    turn    pos  At first the acting was boring but in the end I would never call the cast weak to my mind.
    agree   neg  All in all the music was hardly lovely and the pace was really clumsy if you ask me.
    three   pos  Early on the plot was dull and the story was fresh but later on the cast was not flat to me.

Texts are made in twins: the same words in another order (two clauses exchanged, or the negator moved to the
other clause) and the opposite label. Twins stay on one side of a split, so whatever only counts words scores
exactly 50 %. There are no commas, and every text ends in a neutral tail, because a tokenizer that splits only
at spaces could tell "dull," from "dull."; the tail also makes the decision wait in memory.
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

CLASSES = ("neg", "pos")
MAX_SIZE = 1_000_000  # the grammar holds far more texts, so drawing without repeats stays fast up to here

ASPECTS = (
    *("plot", "story", "script", "dialogue", "acting", "cast"),
    *("music", "camera", "humour", "pace", "sound", "direction"),
)
ADJECTIVES = {
    0: ("dull", "awful", "clumsy", "boring", "silly", "weak", "lazy", "tedious", "flat", "poor"),
    1: ("great", "superb", "moving", "clever", "charming", "fresh", "gripping", "elegant", "funny", "lovely"),
}
NEGATORS = ("not", "never", "hardly")
ADVERBS = ("very", "really", "truly")
STARTS = ("At first", "Early on", "In the first half", "Before the break")
TURNS = ("but in the end", "but later on", "yet after an hour", "but by the last scene")
SUMMARIES = ("All in all", "On the whole", "This time", "For a change")
LINKS = ("and", "while")
TAILS = ("to me", "to my mind", "for my taste", "as I see it", "I think", "I must say")


class Clause(NamedTuple):
    """One opinion: `polarity` is the adjective's own (0 or 1); a non-empty `negator` flips it."""

    aspect: str
    polarity: int
    adjective: str
    negator: str = ""
    adverb: str = ""
    called: bool = False  # "I would not call the plot dull": the negator stands further from its adjective

    @property
    def opinion(self) -> int:
        return 1 - self.polarity if self.negator else self.polarity

    def __str__(self) -> str:
        head = (
            f"I would {self.negator} call the {self.aspect}"
            if self.called
            else f"the {self.aspect} was {self.negator}"
        )
        return " ".join(f"{head} {self.adverb} {self.adjective}".split())


def make_sample(size: int, seed: int) -> tuple[list[str], list[int]]:
    """`size` different texts and their labels (0 = neg, 1 = pos), shuffled; the same for the same seed.

    The classes are balanced; an odd size has one neg more. ValueError for a size outside 0..MAX_SIZE.
    """
    _check_size("size", size)
    return _gather(_twins(random.Random(seed)), size, seed)


def sample_splits(
    train: int = 4000, test: int = 1000, seed: int = 0
) -> tuple[tuple[list[str], list[int]], tuple[list[str], list[int]]]:
    """(texts, labels) for training and for test: no text, nor a text's twin, is on both sides.

    Both are drawn from one stream without repeats, so the training side is `make_sample(train, seed)`. The
    default sizes let an LSTM of 64 units learn the rule within 10 epochs, and give the test accuracy to 1 %.
    """
    _check_size("train", train)
    _check_size("test", test)
    stream = _twins(random.Random(seed))
    return _gather(stream, train, seed), _gather(stream, test, seed + 1)


def _check_size(name: str, size: int) -> None:
    if not 0 <= size <= MAX_SIZE:
        raise ValueError(f"{name}={size}: expected a number of texts from 0 to {MAX_SIZE}")


def _gather(stream: Iterator[tuple[str, str]], size: int, seed: int) -> tuple[list[str], list[int]]:
    """The next `size` texts of a stream of twins, shuffled so that twins are not neighbours."""
    pairs = islice(stream, (size + 1) // 2)
    rows = [(text, label) for pair in pairs for label, text in enumerate(pair)][:size]
    random.Random(seed).shuffle(rows)
    return [text for text, _ in rows], [label for _, label in rows]


def _twins(rng: random.Random) -> Iterator[tuple[str, str]]:
    """Endless (neg text, pos text) pairs with equal word counts; no text comes twice."""
    seen: set[str] = set()
    makers = (_turn, _turn, _turn, _agree, _three, _three)
    while True:
        neg, pos = rng.choice(makers)(rng)
        if neg not in seen and pos not in seen:
            seen.update((neg, pos))
            yield neg, pos


def _turn(rng: random.Random) -> tuple[str, str]:
    """Two opposite opinions, then exchanged."""
    first, last = rng.sample(ASPECTS, 2)
    bad, good = _clause(rng, first, 0), _clause(rng, last, 1)
    start, turn, tail = rng.choice(STARTS), rng.choice(TURNS), rng.choice(TAILS)
    return f"{start} {good} {turn} {bad} {tail}.", f"{start} {bad} {turn} {good} {tail}."


def _three(rng: random.Random) -> tuple[str, str]:
    """As a turn, with an opinion of either kind in between, so that the majority does not decide either."""
    first, middle, last = rng.sample(ASPECTS, 3)
    bad, good = _clause(rng, first, 0, short=True), _clause(rng, last, 1, short=True)
    between = f"{rng.choice(LINKS)} {_clause(rng, middle, rng.randrange(2), short=True)} {rng.choice(TURNS)}"
    start, tail = rng.choice(STARTS), rng.choice(TAILS)
    return f"{start} {good} {between} {bad} {tail}.", f"{start} {bad} {between} {good} {tail}."


def _agree(rng: random.Random) -> tuple[str, str]:
    """Two opinions that agree: one adjective of each kind, and one negator, on either of them."""
    kinds = rng.sample((0, 1), 2)
    aspects = rng.sample(ASPECTS, 2)
    plain = [_clause(rng, aspect, kind, negator="") for aspect, kind in zip(aspects, kinds, strict=True)]
    start, link, tail = rng.choice(SUMMARIES), rng.choice(LINKS), rng.choice(TAILS)
    negator = rng.choice(NEGATORS)
    texts = {}
    for flipped in (0, 1):
        clauses = [clause._replace(negator=negator if i == flipped else "") for i, clause in enumerate(plain)]
        texts[clauses[1].opinion] = f"{start} {clauses[0]} {link} {clauses[1]} {tail}."
    return texts[0], texts[1]


def _clause(
    rng: random.Random, aspect: str, opinion: int, *, negator: str | None = None, short: bool = False
) -> Clause:
    """A clause with this opinion, by default negated in 3 of 10: the adjective alone is a hint.

    Without one (negated in half) a spiking network sits at chance for many epochs before it learns.
    """
    if negator is None:
        negator = rng.choice(NEGATORS) if rng.random() < 0.3 else ""
    polarity = 1 - opinion if negator else opinion
    adjective = rng.choice(ADJECTIVES[polarity])
    if short:
        return Clause(aspect, polarity, adjective, negator)
    adverb = rng.choice(ADVERBS) if rng.random() < 0.4 else ""
    return Clause(aspect, polarity, adjective, negator, adverb, called=rng.random() < 0.3)
