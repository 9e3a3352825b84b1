"""Batches prepared ahead: their order, their random numbers, and what happens to errors."""

import threading

import pytest
import torch

from spikeseq.recipes.shared.ahead import DEPTH, prepared

CPU = torch.device("cpu")


def drawn(batch, rng):
    return torch.tensor(batch), torch.rand(3, generator=rng)


def values(batches, seed="1 0 0"):
    return [(int(number), random.tolist()) for number, random in prepared(drawn, batches, seed, CPU)]


@pytest.mark.parametrize("count", [0, 1, DEPTH, DEPTH + 1, 7])
def test_every_batch_in_its_place(count):
    assert [number for number, _ in values(range(count))] == list(range(count))


def test_random_numbers_depend_on_the_place_and_the_seed_alone():
    torch.manual_seed(0)
    first = values(range(5))
    torch.rand(7)
    assert values(range(5)) == first
    assert values([7, 1, 2])[1:] == first[1:3]
    assert len({tuple(random) for _, random in first}) == 5
    assert values(range(5), "1 1 0") != first


def test_the_next_batches_are_made_while_one_is_used():
    made, wait = [], threading.Event()

    def collate(batch, rng):
        made.append(batch)
        if batch == DEPTH:
            wait.set()
        return (torch.tensor(batch),)

    batches = prepared(collate, range(9), "", CPU)
    next(batches)
    assert wait.wait(10)
    assert made == list(range(DEPTH + 1))  # and no more: they take memory
    batches.close()


def test_an_error_comes_where_its_batch_is_due():
    def collate(batch, rng):
        return (torch.tensor(1 / batch),)

    batches = prepared(collate, [2, 1, 0, 4], "", CPU)
    assert [float(next(batches)[0]) for _ in range(2)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError):
        next(batches)
