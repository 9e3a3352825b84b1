import hashlib
from collections import Counter
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spikeseq.recipes.shared.texts.sample import (
    ADJECTIVES,
    CLASSES,
    MAX_SIZE,
    NEGATORS,
    make_sample,
    sample_splits,
)


def rule(text: str) -> int:
    """The label, from the order of the words: the last adjective, flipped by a negator in its own clause."""
    polarity = {word: kind for kind, words in ADJECTIVES.items() for word in words}
    label, negated = -1, False
    for word in text.rstrip(".").split():
        negated |= word in NEGATORS
        if word in polarity:
            label, negated = polarity[word] ^ negated, False
    return label


def counts(texts: list[str], vocabulary: dict[str, int]) -> torch.Tensor:
    """(N, V): how often each word of the vocabulary occurs, split at spaces as a simple tokenizer does."""
    features = torch.zeros(len(texts), len(vocabulary))
    for row, text in enumerate(texts):
        for word in text.lower().split():
            features[row, vocabulary[word]] += 1
    return features


def bag_accuracy(train: tuple[list[str], list[int]], test: tuple[list[str], list[int]]) -> float:
    """Test accuracy of logistic regression on TF-IDF features, fitted by L-BFGS."""
    words = sorted({word for text in train[0] + test[0] for word in text.lower().split()})
    vocabulary = {word: i for i, word in enumerate(words)}
    inputs, held_out = counts(train[0], vocabulary), counts(test[0], vocabulary)
    rarity = torch.log((1 + len(inputs)) / (1 + (inputs > 0).sum(0)))
    target = torch.tensor(train[1], dtype=torch.float32)
    weight = torch.zeros(len(words), requires_grad=True)
    bias = torch.zeros((), requires_grad=True)
    optimiser = torch.optim.LBFGS([weight, bias], max_iter=60)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        logits = (inputs * rarity) @ weight + bias
        value = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
        value.backward()
        return value

    optimiser.step(loss)
    guess = ((held_out * rarity) @ weight + bias > 0).long()
    return (guess == torch.tensor(test[1])).float().mean().item()


def test_the_word_order_decides_every_label():
    texts, labels = make_sample(3000, seed=3)
    assert [rule(text) for text in texts] == labels


def test_every_text_has_a_twin_with_the_same_words_and_the_other_label():
    texts, labels = make_sample(2000, seed=4)
    bags: dict[tuple[str, ...], Counter[int]] = {}
    for text, label in zip(texts, labels, strict=True):
        bags.setdefault(tuple(sorted(text.split())), Counter())[label] += 1
    assert all(bag[0] == bag[1] for bag in bags.values())


def test_a_bag_of_words_stays_at_chance():
    train, test = sample_splits(3000, 1000)
    assert bag_accuracy(train, test) == pytest.approx(0.5, abs=0.02)


def test_the_bag_of_words_finds_what_words_alone_do_decide():
    train, test = (
        (texts, [int("not" in text.split()) for text in texts]) for texts, _ in sample_splits(1000, 300)
    )
    assert bag_accuracy(train, test) > 0.95


def test_the_last_adjective_alone_is_a_hint_and_no_more():
    texts, labels = make_sample(3000, seed=5)
    bare = [rule(" ".join(word for word in text.split() if word not in NEGATORS)) for text in texts]
    agreement = sum(a == b for a, b in zip(bare, labels, strict=True)) / len(labels)
    assert 0.6 < agreement < 0.8


def test_texts_are_short_and_the_vocabulary_small():
    texts, _ = make_sample(2000, seed=6)
    lengths = [len(text.split()) for text in texts]
    assert min(lengths) >= 8 and max(lengths) <= 32 and 15 < sum(lengths) / len(lengths) < 25
    assert 60 <= len({word.strip(".").lower() for text in texts for word in text.split()}) <= 120
    assert all(text[0].isupper() and text.endswith(".") and "  " not in text for text in texts)


def test_the_order_of_the_rows_tells_nothing():
    _, labels = make_sample(1000, seed=7)
    assert labels != sorted(labels)
    assert 350 < sum(a != b for a, b in pairwise(labels)) < 650


@settings(max_examples=30, deadline=None)
@given(size=st.integers(0, 300), seed=st.integers(-5, 2**40))
def test_a_sample_is_balanced_free_of_repeats_and_the_same_for_its_seed(size, seed):
    texts, labels = make_sample(size, seed)
    assert len(texts) == len(labels) == len(set(texts)) == size
    assert labels.count(0) - labels.count(1) == size % 2
    assert make_sample(size, seed) == (texts, labels)


@settings(max_examples=20, deadline=None)
@given(train=st.integers(0, 200), test=st.integers(0, 200), seed=st.integers(0, 1000))
def test_splits_share_no_text(train, test, seed):
    (train_texts, train_labels), (test_texts, test_labels) = sample_splits(train, test, seed)
    assert len(train_texts) == train and len(test_labels) == test
    assert not set(train_texts) & set(test_texts)
    assert (train_texts, train_labels) == make_sample(train, seed)


def test_seeds_differ():
    assert make_sample(20, seed=0) != make_sample(20, seed=1)


def test_the_corpus_of_seed_0_stays_what_it_was():
    """Results on the sample are compared between versions, so a change of the grammar must be deliberate."""
    texts, labels = make_sample(500, seed=0)
    digest = hashlib.sha256(
        "\n".join(f"{label} {text}" for text, label in zip(texts, labels, strict=True)).encode()
    )
    assert digest.hexdigest()[:16] == "5e732834c7b99698"
    assert CLASSES == ("neg", "pos")


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_an_impossible_size_is_refused(size):
    with pytest.raises(ValueError, match=f"size={size}"):
        make_sample(size, seed=0)
    with pytest.raises(ValueError, match=f"test={size}"):
        sample_splits(10, size)
