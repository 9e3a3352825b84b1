"""Workers of a DataLoader, forked and spawned, from a process whose threads have computed."""

import pytest
import torch
from torch.utils.data import DataLoader
from workers_case import Items, gathered


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("context", "workers"), [("fork", 2), ("spawn", 1)], ids=["fork", "spawn"])
def test_items_made_by_workers(context, workers, two_threads):
    items = Items()
    expected = items.expected
    torch.randn(4, 1000, 1000).exp()  # in two threads, which a forked process has not
    loader = DataLoader(
        items, num_workers=workers, collate_fn=gathered, multiprocessing_context=context, timeout=100
    )
    found = list(loader)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one[3] == other[3] and one[0].any() and one[2].any()
        assert all(map(torch.equal, one[:3], other[:3]))
