"""A small generated German-English corpus, in the style of captions, in which copying word for word fails.

    Am Abend zieht ein Mann im Park einen Hut an.   "zieht" alone would be "is pulling".
    In the evening a man is putting on a hat in the park.
    Den Jungen, der singt, umarmt das Kind.         Only "den" tells who hugs whom.
    The child is hugging the boy who is singing.
    Obwohl die Frau die Tür zumachen will, schläft der große Hund ein.
    Although the woman wants to close the door, the big dog is falling asleep.

German has its verb second or last, separable verbs, compounds, gender and case; time stands before manner
before place, a definite object before all three and an indefinite one after. What is said is drawn first (a
`Sentence`) and then written in both languages, so a German sentence has one translation. Some come as twins:
the same German words in another order, with another meaning.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

from spikeseq.recipes.translation.lexicon import (
    ADJECTIVES,
    CLAIMS,
    COUNTS,
    LINKS,
    MANNERS,
    MODALS,
    NO_VERB,
    NOUNS,
    PLACES,
    SUBORDINATE,
    TIMES,
    VERBS,
    Adjective,
    Auxiliary,
    Noun,
    Verb,
    article,
    ending,
)

Pair = tuple[str, str]  # German, English
NOTHING = ("", "")

MAX_SIZE = 100_000  # pairs of a split; the grammar holds far more, so drawing without repeats stays fast
WORDS = range(4, 15)  # in a sentence, in either language


@dataclass(frozen=True)
class Phrase:
    """A noun and what belongs to it. An indefinite plural has a `count`, a key of COUNTS."""

    noun: Noun
    definite: bool
    plural: bool
    count: str
    adjective: Adjective | None
    relative: Pair = NOTHING

    @property
    def form(self) -> str:
        return "p" if self.plural else self.noun.gender

    def german(self, case: str) -> str:
        first = self.count or article(self.definite, case, self.form)
        adjective = self.adjective.stem + ending(self.definite, case, self.form) if self.adjective else ""
        return _joined(first, adjective, self.noun.german(case, self.plural)) + self.relative[0]

    def english(self) -> str:
        noun = self.noun.english_plural if self.plural else self.noun.english
        words = _joined(self.adjective.english if self.adjective else "", noun)
        indefinite = COUNTS.get(self.count, "an" if words[0] in "aeiou" else "a")
        return f"{'the' if self.definite else indefinite} {words}{self.relative[1]}"


@dataclass(frozen=True)
class Clause:
    """A subject and a verb, perhaps with an object, adverbials and an auxiliary."""

    subject: Phrase
    verb: Verb
    object: Phrase | None = None
    time: Pair = NOTHING
    manner: Pair = NOTHING
    place: Pair = NOTHING
    auxiliary: Auxiliary | None = None

    def verb_second(self, front: str = "subject") -> str:
        """`front` names what stands before the verb: "" where a whole clause does."""
        parts, (finite, end) = self._parts(), self._verb()
        return _joined(parts.pop(front, ""), finite, *parts.values(), end)

    def verb_last(self, without: str = "") -> str:
        """`without` names the part that a relative pronoun stands for."""
        parts, (finite, end) = self._parts(), self._verb()
        parts.pop(without, None)
        return _joined(*parts.values(), _joined(end, finite) if self.auxiliary else end + finite)

    def english(self, front: str = "", without: str = "") -> str:
        """Subject, verb, object, manner, place, time; only the time may also stand in front."""
        verb, plural = self.verb, self.subject.plural
        if self.auxiliary:
            start = self.auxiliary.english_plural if plural else self.auxiliary.english
            predicate = _joined(start, verb.english, verb.rest)
        else:
            predicate = _joined("are" if plural else "is", verb.ing, verb.rest)
        subject = self.subject.english() if without != "subject" else ""
        goal = self.object.english() if self.object and without != "object" else ""
        parts = (subject, predicate, goal, self.manner[1], self.place[1])
        return _joined(self.time[1], *parts) if front == "time" else _joined(*parts, self.time[1])

    def _parts(self) -> dict[str, str]:
        """All but the verb, by name, in the order in which nothing is moved to the front."""
        subject = {"subject": self.subject.german("nom")}
        adverbials = {"time": self.time[0], "manner": self.manner[0], "place": self.place[0]}
        if self.object is None:
            return subject | adverbials
        goal = {"object": self.object.german(self.verb.case)}
        return subject | (goal | adverbials if self.object.definite else adverbials | goal)

    def _verb(self) -> Pair:
        """What is inflected, and what stands at the end of a main clause."""
        verb, plural = self.verb, self.subject.plural
        if self.auxiliary:
            finite = self.auxiliary.plural if plural else self.auxiliary.singular
            return finite, verb.particle + verb.plural
        return verb.plural if plural else verb.singular, verb.particle


@dataclass(frozen=True)
class Sentence:
    """One clause, or two joined by `link`, a key of LINKS; "" as `front` puts the second clause first."""

    clauses: tuple[Clause, ...]
    link: str = ""
    front: str = "subject"

    def german(self) -> str:
        text = self.clauses[0].verb_second(self.front)
        if self.link == "und":
            text = f"{text} und {self.clauses[1].verb_second()}"
        elif self.link:
            other = f"{self.link} {self.clauses[1].verb_last()}"
            text = f"{text}, {other}" if self.front else f"{other}, {text}"
        return _finished(text)

    def english(self) -> str:
        text = self.clauses[0].english(self.front)
        if self.link:
            other = f"{LINKS[self.link]} {self.clauses[1].english()}"
            text = f"{text} {other}" if self.front else f"{other}, {text}"
        return _finished(text)

    def twin(self) -> "Sentence | None":
        """The same German words in another order: a subject and its object, or both subjects, exchanged."""
        clauses = self.clauses
        swaps = [
            (*clauses[:i], replace(clause, subject=clause.object, object=clause.subject), *clauses[i + 1 :])
            for i, clause in enumerate(clauses)
            if clause.object
        ]
        if len(clauses) == 2:
            first, second = clauses
            swaps.append((replace(first, subject=second.subject), replace(second, subject=first.subject)))
        for swap in swaps:
            twin = replace(self, clauses=swap)
            if all(map(_fits, swap)) and _bag(twin.german()) == _bag(self.german()):
                return twin
        return None


def sample_pairs(
    train: int = 4000, validation: int = 400, test: int = 400, seed: int = 0
) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """(German, English) pairs for training, validation and test, the same for the same seed.

    All come from one stream in which no sentence of either language comes twice, so that a longer training
    split begins as a shorter one. ValueError for a negative size, or for more than MAX_SIZE in all.
    """
    for name, size in (("train", train), ("validation", validation), ("test", test)):
        if not 0 <= size <= MAX_SIZE:
            raise ValueError(f"{name}={size}: expected a number of pairs from 0 to {MAX_SIZE}")
    stream = _stream(random.Random(seed))
    return list(islice(stream, train)), list(islice(stream, validation)), list(islice(stream, test))


def _stream(rng: random.Random) -> Iterator[Pair]:
    seen: set[str] = set()
    while True:
        sentence = _sentence(rng)
        twin = sentence.twin() if len(sentence.clauses) == 1 or rng.random() < 0.5 else None
        pairs = [(each.german(), each.english()) for each in (sentence, twin) if each]
        texts = [text for pair in pairs for text in pair]
        new = len(set(texts) - seen) == len(texts)  # nor may a twin be the same sentence
        if new and all(len(text.split()) in WORDS for text in texts):
            seen.update(texts)
            yield from pairs


def _sentence(rng: random.Random) -> Sentence:
    kind = rng.choice(("one", "one", "one", "one", *LINKS))
    if kind == "one":
        clause = _clause(rng, 0.4)
        if rng.random() < 0.3:
            clause = replace(clause, subject=_with_relative(rng, clause.subject))
        elif clause.object and rng.random() < 0.3:
            clause = replace(clause, object=_with_relative(rng, clause.object))
        return Sentence((clause,), front=_front(rng, clause))
    first, second = _clause(rng, 0.15), _clause(rng, 0.15)
    if kind == "dass":
        first = Clause(_phrase(rng, "P", 0.2), NO_VERB, auxiliary=rng.choice(CLAIMS))
    front = "" if kind in SUBORDINATE and rng.random() < 0.5 else "subject"
    return Sentence((first, second), kind, front)


def _front(rng: random.Random, clause: Clause) -> str:
    fronts = ["subject", *(name for name in ("time", "place") if getattr(clause, name) != NOTHING)]
    if clause.object and _shows_case(clause.object, clause.verb.case):
        fronts.append("object")
    return rng.choice(fronts)


def _clause(rng: random.Random, detail: float, verb: Verb | None = None, **given: Phrase) -> Clause:
    """A clause, with each possible addition at probability `detail`; `given` is its subject or object."""
    verb = verb or rng.choice(VERBS)
    parts: dict[str, Any] = {"subject": _phrase(rng, verb.subjects, detail)}
    if verb.objects:
        parts["object"] = _phrase(rng, verb.objects, detail)
    for name, choices in (("time", TIMES), ("manner", MANNERS), ("place", PLACES)):
        if rng.random() < detail:
            parts[name] = rng.choice(list(choices.items()))
    if rng.random() < detail / 2:
        parts["auxiliary"] = rng.choice(MODALS)
    parts |= given
    if "object" in parts and parts["object"].noun == parts["subject"].noun:
        return _clause(rng, detail, verb, **given)
    return Clause(verb=verb, **parts)


def _phrase(rng: random.Random, kinds: str, detail: float) -> Phrase:
    noun = rng.choice(_nouns(kinds))
    definite, plural = rng.random() < 0.5, rng.random() < 0.2
    count = rng.choice(list(COUNTS)) if plural and not definite else ""
    adjective = rng.choice(_adjectives(noun.kinds)) if rng.random() < detail else None
    return Phrase(noun, definite, plural, count, adjective)


@cache
def _nouns(kinds: str) -> list[Noun]:
    return [noun for noun in NOUNS if _share(noun.kinds, kinds)]


@cache
def _adjectives(kinds: str) -> list[Adjective]:
    return [adjective for adjective in ADJECTIVES if _share(adjective.kinds, kinds)]


def _with_relative(rng: random.Random, head: Phrase) -> Phrase:
    """The phrase and a relative clause of which it is the subject or, where its case shows, the object."""
    kinds = head.noun.kinds
    verbs = {
        "subject": [verb for verb in VERBS if _share(kinds, verb.subjects)],
        "object": [verb for verb in VERBS if _share(kinds, verb.objects) and _shows_case(head, verb.case)],
    }
    role = rng.choice([role for role in verbs if verbs[role]] or [""])
    if not role:
        return head
    verb = rng.choice(verbs[role])
    clause = _clause(rng, 0.1, verb, **{role: head})
    case = verb.case if role == "object" else "nom"
    german = f", {article(True, case, head.form)} {clause.verb_last(without=role)},"
    who = "who" if role == "subject" and "P" in kinds else "that"
    return replace(head, relative=(german, f" {who} {clause.english(without=role)}"))


def _fits(clause: Clause) -> bool:
    """Whether the verb takes this subject and this object."""
    if clause.verb == NO_VERB:
        return "P" in clause.subject.noun.kinds
    goal = clause.object is None or _share(clause.object.noun.kinds, clause.verb.objects)
    return goal and _share(clause.subject.noun.kinds, clause.verb.subjects)


def _share(kinds: str, others: str) -> bool:
    return not set(kinds).isdisjoint(others)


def _shows_case(phrase: Phrase, case: str) -> bool:
    """Whether the phrase cannot be taken for a subject: feminine, neuter and plural accusatives can."""
    return not phrase.plural and (case == "dat" or phrase.noun.gender == "m")


def _joined(*words: str) -> str:
    return " ".join(word for word in words if word)


def _bag(text: str) -> list[str]:
    return sorted(re.findall(r"\w+", text.lower()))


def _finished(text: str) -> str:
    """Capitalised, with a full stop, and one comma where a relative clause ends beside another."""
    text = text.replace(",,", ",").rstrip(",")
    return f"{text[0].upper()}{text[1:]}."
