import random

from hypothesis import given
from hypothesis import strategies as st

from spikeseq.recipes.shared.batches import buckets, shuffled


@given(st.integers(1, 60), st.integers(1, 20), st.text(max_size=3))
def test_every_row_once_and_none_alone(count, size, seed):
    batches = shuffled(count, size, seed)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert batches == shuffled(count, size, seed)
    assert all(len(batch) == size for batch in batches[:-1]) or size == 1 or len(batches[-1]) == size + 1
    if count > 1 and size > 1:
        assert min(map(len, batches)) > 1


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=80), st.integers(1, 9), st.integers(1, 4), st.booleans()
)
def test_buckets_hold_every_text_once(lengths, size, chunk, shuffled):
    found = buckets(lengths, size, random.Random(1) if shuffled else None, chunk)
    assert sorted(i for batch in found for i in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= size for batch in found)


def test_buckets_are_of_like_length():
    rng = random.Random(0)
    lengths = [rng.randint(1, 300) for _ in range(2000)]
    found = buckets(lengths, 20, random.Random(1))
    padded = sum(len(batch) * max(lengths[i] for i in batch) for batch in found)
    assert padded < 1.1 * sum(lengths)
    assert buckets(lengths, 20, random.Random(1)) == found != buckets(lengths, 20, random.Random(2))
