from hypothesis import given
from hypothesis import strategies as st

from spikeseq.recipes.shared.batches import shuffled


@given(st.integers(1, 60), st.integers(1, 20), st.text(max_size=3))
def test_every_row_once_and_none_alone(count, size, seed):
    batches = shuffled(count, size, seed)
    assert sorted(row for batch in batches for row in batch) == list(range(count))
    assert batches == shuffled(count, size, seed)
    assert all(len(batch) == size for batch in batches[:-1]) or size == 1 or len(batches[-1]) == size + 1
    if count > 1 and size > 1:
        assert min(map(len, batches)) > 1
