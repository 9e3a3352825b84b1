import hashlib
import re
from collections import defaultdict
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.recipes.translation.lexicon import (
    ADJECTIVES,
    CLAIMS,
    MANNERS,
    MODALS,
    NO_VERB,
    NOUNS,
    PLACES,
    TIMES,
    VERBS,
)
from spikeseq.recipes.translation.sample import MAX_SIZE, WORDS, Clause, Phrase, Sentence, sample_pairs


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def phrase(text: str) -> Phrase:
    """From "the", "a" or a number, perhaps an adjective's stem, and a noun in its German singular."""
    start, *middle, name = text.split()
    noun = next(noun for noun in NOUNS if noun.singular == name)
    adjective = next((a for a in ADJECTIVES if [a.stem] == middle and set(a.kinds) & set(noun.kinds)), None)
    number = start if start in ("zwei", "drei") else ""
    return Phrase(noun, start in ("the", "all"), start == "all" or bool(number), number, adjective)


def clause(subject: str, verb: str, goal: str = "", **more: object) -> Clause:
    """`verb` in English, as it is in the table."""
    found = next(v for v in VERBS if f"{v.ing} {v.rest}".strip() == verb)
    places = {"time": TIMES, "place": PLACES}
    parts = {name: (value, places[name][value]) if name in places else value for name, value in more.items()}
    return Clause(phrase(subject), found, phrase(goal) if goal else None, **parts)


@pytest.fixture(scope="module")
def splits() -> tuple[list[tuple[str, str]], ...]:
    return sample_pairs(3000, 200, 200)


@pytest.fixture(scope="module")
def pairs(splits) -> list[tuple[str, str]]:
    return [pair for split in splits for pair in split]


@pytest.mark.parametrize(
    ("text", "german", "english"),
    [
        ("the klein Hund", ["der kleine Hund", "den kleinen Hund", "dem kleinen Hund"], "the little dog"),
        ("a alt Mann", ["ein alter Mann", "einen alten Mann", "einem alten Mann"], "an old man"),
        ("the rot Tür", ["die rote Tür", "die rote Tür", "der roten Tür"], "the red door"),
        ("a müd Katze", ["eine müde Katze", "eine müde Katze", "einer müden Katze"], "a tired cat"),
        ("the blau Hemd", ["das blaue Hemd", "das blaue Hemd", "dem blauen Hemd"], "the blue shirt"),
        ("a groß Kind", ["ein großes Kind", "ein großes Kind", "einem großen Kind"], "a tall child"),
        ("all groß Hund", ["die großen Hunde", "die großen Hunde", "den großen Hunden"], "the big dogs"),
        ("zwei klein Kind", ["zwei kleine Kinder"] * 2 + ["zwei kleinen Kindern"], "two little children"),
        ("drei klein Kiste", ["drei kleine Kisten"] * 2 + ["drei kleinen Kisten"], "three small boxes"),
        ("the Junge", ["der Junge", "den Jungen", "dem Jungen"], "the boy"),
        ("all Affe", ["die Affen", "die Affen", "den Affen"], "the monkeys"),
        ("a Apfelkuchen", ["ein Apfelkuchen", "einen Apfelkuchen", "einem Apfelkuchen"], "an apple pie"),
    ],
)
def test_cases_genders_and_endings(text, german, english):
    assert [phrase(text).german(case) for case in ("nom", "acc", "dat")] == german
    assert phrase(text).english() == english


@pytest.mark.parametrize(
    ("sentence", "german", "english"),
    [
        (
            Sentence((clause("a Mann", "putting on", "a Hut", time="am Abend", place="im Park"),)),
            "Ein Mann zieht am Abend im Park einen Hut an.",
            "A man is putting on a hat in the park in the evening.",
        ),
        (
            Sentence((clause("a Mann", "putting on", "the Hut", time="am Abend"),), front="time"),
            "Am Abend zieht ein Mann den Hut an.",
            "In the evening a man is putting on the hat.",
        ),
        (
            Sentence((clause("all Kind", "standing up", place="am Fluss"),), front="place"),
            "Am Fluss stehen die Kinder auf.",
            "The children are standing up by the river.",
        ),
        (
            Sentence((clause("the Kind", "hugging", "the Hund"),), front="object"),
            "Den Hund umarmt das Kind.",
            "The child is hugging the dog.",
        ),
        (
            Sentence((clause("the Kind", "waving at", "a Frau", auxiliary=MODALS[0]),), front="object"),
            "Einer Frau will das Kind zuwinken.",
            "The child wants to wave at a woman.",
        ),
        (
            Sentence((clause("a Frau", "laughing"), clause("the Hund", "running away")), "weil"),
            "Eine Frau lacht, weil der Hund wegläuft.",
            "A woman is laughing because the dog is running away.",
        ),
        (
            Sentence(
                (clause("a Frau", "laughing"), clause("all Kind", "closing", "a Tür", auxiliary=MODALS[1])),
                "während",
                front="",
            ),
            "Während die Kinder eine Tür zumachen können, lacht eine Frau.",
            "While the children can close a door, a woman is laughing.",
        ),
        (
            Sentence((clause("zwei Hund", "sleeping"), clause("a Kind", "carrying", "a Kiste")), "und"),
            "Zwei Hunde schlafen und ein Kind trägt eine Kiste.",
            "Two dogs are sleeping and a child is carrying a box.",
        ),
        (
            Sentence(
                (
                    Clause(phrase("a Junge"), NO_VERB, auxiliary=CLAIMS[0]),
                    clause("a Katze", "looking at", "the Hund"),
                ),
                "dass",
            ),
            "Ein Junge sieht, dass eine Katze den Hund ansieht.",
            "A boy sees that a cat is looking at the dog.",
        ),
    ],
)
def test_word_order(sentence, german, english):
    assert (sentence.german(), sentence.english()) == (german, english)


def test_twins_have_the_same_words():
    one = Sentence((clause("the Frau", "hugging", "a Katze"),))
    assert one.twin() is None  # a cat does not hug
    one = Sentence((clause("the Frau", "hugging", "a Lehrerin"),))
    assert one.twin().german() == "Eine Lehrerin umarmt die Frau."
    assert Sentence((clause("the Frau", "hugging", "a Mann"),)).twin() is None  # "einen" would become "ein"
    two = Sentence((clause("the Hund", "sleeping"), clause("a Katze", "playing")), "obwohl")
    assert two.twin().english() == "A cat is sleeping although the dog is playing."


def test_a_german_sentence_has_one_translation():
    """Every verb with every subject and object it takes, and the object in front where its case shows."""
    english: dict[str, set[str]] = defaultdict(set)
    ambiguous: dict[str, set[str]] = defaultdict(set)
    phrases = [phrase(f"{start} {noun.singular}") for noun in NOUNS for start in ("the", "all")]
    for verb in VERBS:
        subjects = [each for each in phrases if {*each.noun.kinds} & {*verb.subjects}]
        goals = [each for each in phrases if {*each.noun.kinds} & {*verb.objects}] or [None]
        for subject, goal in product(subjects, goals):
            told = Clause(subject, verb, goal)
            english[told.verb_second()].add(told.english())
            if goal:
                shows = not goal.plural and (verb.case == "dat" or goal.noun.gender == "m")
                (english if shows else ambiguous)[told.verb_second("object")].add(told.english())
    assert len(english) > 5000
    assert all(len(translations) == 1 for translations in english.values())
    assert any(
        english.get(german, translations) != translations for german, translations in ambiguous.items()
    )


def test_samples_of_different_seeds_agree():
    translations: dict[str, str] = {}
    again = 0
    for seed in (0, 1):
        for german, english in sample_pairs(1000, 0, 0, seed=seed)[0]:
            again += german in translations
            assert translations.setdefault(german, english) == english
    assert again


def test_a_bag_of_german_words_does_not_determine_the_english_sentence(pairs):
    english: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for source, target in pairs:
        english[tuple(sorted(words(source)))].add(target)
    several = [targets for targets in english.values() if len(targets) > 1]
    assert sum(map(len, several)) > 0.15 * len(pairs)
    for first, second in (sorted(targets)[:2] for targets in several):
        assert sorted(words(first)) == sorted(words(second)) or {*words(first)} ^ {*words(second)} <= {
            "a",
            "an",
        }


def test_the_order_of_the_words_differs(pairs):
    """Content words are matched by the lexicon where each occurs once; in most sentences some cross."""
    meanings: dict[str, set[str]] = defaultdict(set)
    for noun in NOUNS:
        meanings[noun.singular.lower()].add(noun.english.split()[-1])
        meanings[noun.plural.lower()].add(noun.english_plural.split()[-1])
    for verb in VERBS:
        for form in (verb.singular, verb.plural):
            meanings[form] |= {verb.ing, verb.english}
            meanings[verb.particle + form] |= {verb.ing, verb.english}
    for german, english in (TIMES | MANNERS | PLACES).items():
        meanings[words(german)[-1]].add(english.split()[-1])
    crossed = 0
    for source, target in pairs:
        german, english = words(source), words(target)
        matches = [[i for i, word in enumerate(english) if word in meanings.get(each, ())] for each in german]
        places = [found[0] for found in matches if len(found) == 1]
        crossed += places != sorted(places)
    assert crossed > 0.5 * len(pairs)


def test_a_verb_alone_has_several_translations_and_what_decides_is_far_away(pairs):
    of_verb: dict[str, set[str]] = defaultdict(set)
    for verb in VERBS:
        of_verb[verb.singular].add(f"{verb.ing} {verb.rest}".strip())
    assert {"pulling", "putting on", "taking off"} == of_verb["zieht"]
    assert sum(len(translations) > 1 for translations in of_verb.values()) >= 8
    distances = []
    for german, _ in pairs:
        for verb in VERBS:
            found = (
                re.search(rf"\b{verb.singular}\b(.*) {verb.particle}\.$", german) if verb.particle else None
            )
            if found:
                distances.append(1 + len(found[1].split()))
    assert len(distances) > 0.1 * len(pairs)
    assert sum(distance > 3 for distance in distances) > 0.3 * len(distances)


def test_sentences_are_short_and_the_vocabulary_small(pairs):
    for side, mean in ((0, 9), (1, 11)):
        lengths = [len(words(pair[side])) for pair in pairs]
        assert set(lengths) <= set(WORDS) and abs(sum(lengths) / len(lengths) - mean) < 1
        assert 150 <= len({word for pair in pairs for word in words(pair[side])}) <= 250
        for text in (pair[side] for pair in pairs):
            assert re.fullmatch(r"[A-ZÄÖÜ][\w ,]*\w\.", text) and not re.search(r"  | ,|,,|,\w", text)


def test_every_word_of_the_held_out_splits_occurs_in_training(splits):
    train, validation, test = splits
    for side in (0, 1):
        known = {word for pair in train for word in words(pair[side])}
        assert {word for pair in validation + test for word in words(pair[side])} <= known


@settings(max_examples=15, deadline=None)
@given(sizes=st.tuples(*[st.integers(0, 30)] * 3), seed=st.integers(-5, 2**40))
def test_splits_are_disjoint_in_both_languages_and_the_same_for_their_seed(sizes, seed):
    splits = sample_pairs(*sizes, seed=seed)
    assert tuple(map(len, splits)) == sizes
    everything = [text for split in splits for pair in split for text in pair]
    assert len(set(everything)) == len(everything) == 2 * sum(sizes)
    assert sample_pairs(*sizes, seed=seed) == splits
    assert sample_pairs(sizes[0] + 5, 0, 0, seed=seed)[0][: sizes[0]] == splits[0]


def test_seeds_differ():
    assert sample_pairs(20, 0, 0, seed=0) != sample_pairs(20, 0, 0, seed=1)


def test_the_corpus_of_seed_0_stays_what_it_was():
    """Results on the sample are compared between versions, so a change of the grammar must be deliberate."""
    train, validation, test = sample_pairs(400, 50, 50)
    lines = "\n".join("\t".join(pair) for pair in train + validation + test)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == "b075e226b650cc04"


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_impossible_size_is_refused(size, split):
    with pytest.raises(ValueError, match=f"{split}={size}: expected a number of pairs from 0 to {MAX_SIZE}"):
        sample_pairs(**{split: size})
