from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from spikeseq.recipes.shared.texts.splits import TextSplit, fold_split, validation_split


def pairs(split: TextSplit) -> list[tuple[str, int]]:
    return list(zip(split.texts, split.labels, strict=True))


labelled_text = st.tuples(st.integers(0, 12).map(str), st.integers(0, 2))


@given(st.lists(labelled_text, min_size=2, max_size=60), st.floats(0.01, 0.99), st.integers(0, 99))
def test_a_validation_split_is_a_partition_that_keeps_equal_texts_together(rows, share, seed):
    split = TextSplit([text for text, _ in rows], [label for _, label in rows])
    first = {text: label for text, label in reversed(rows)}
    assume(all(list(first.values()).count(label) >= 2 for label in set(split.labels)))
    train, validation = validation_split(split, share, seed)
    assert Counter(pairs(train)) + Counter(pairs(validation)) == Counter(rows)
    assert not set(train.texts) & set(validation.texts)
    assert (train, validation) == validation_split(split, share, seed)
    for label in set(first.values()):
        assert any(first[text] == label for text in train.texts)
        assert any(first[text] == label for text in validation.texts)


@given(st.integers(2, 60), st.integers(2, 60), st.floats(0.05, 0.9))
def test_without_repeats_each_class_gives_its_share(zeros, ones, share):
    split = TextSplit([str(i) for i in range(zeros + ones)], [0] * zeros + [1] * ones)
    held = Counter(validation_split(split, share)[1].labels)
    for label, count in ((0, zeros), (1, ones)):
        assert held[label] == min(max(1, round(share * count)), count - 1)


@st.composite
def rows_for_folds(draw):
    """Rows and a number of folds: every class is the first of as many texts; some texts come again."""
    folds, classes = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    extra = draw(st.lists(st.integers(0, classes - 1), max_size=8))
    labels = [label for label in range(classes) for _ in range(folds)] + extra
    rows = [(str(text), label) for text, label in enumerate(draw(st.permutations(labels)))]
    again = st.tuples(st.integers(0, len(rows) - 1).map(str), st.integers(0, classes - 1))
    return rows + draw(st.lists(again, max_size=20)), folds


@given(rows_for_folds(), st.integers(0, 99))
def test_folds_test_every_row_once_and_never_what_they_train_on(drawn, seed):
    rows, folds = drawn
    split = TextSplit([text for text, _ in rows], [label for _, label in rows])
    first = {text: label for text, label in reversed(rows)}
    tested = Counter()
    for fold in range(1, folds + 1):
        train, test = fold_split(split, folds, fold, seed, "rows")
        assert Counter(pairs(train)) + Counter(pairs(test)) == Counter(rows)
        assert not set(train.texts) & set(test.texts) and test.texts
        assert {first[text] for text in test.texts} == set(first.values())
        tested += Counter(pairs(test))
    assert tested == Counter(rows)


@given(st.integers(5, 60), st.integers(5, 60), st.integers(2, 5))
def test_without_repeats_folds_are_equal_to_a_row_of_each_class(zeros, ones, folds):
    split = TextSplit([str(i) for i in range(zeros + ones)], [0] * zeros + [1] * ones)
    counts = [Counter(fold_split(split, folds, fold, 1, "rows")[1].labels) for fold in range(1, folds + 1)]
    for label in (0, 1):
        assert max(c[label] for c in counts) - min(c[label] for c in counts) <= 1
    sizes = [sum(c.values()) for c in counts]
    assert max(sizes) - min(sizes) <= 1
