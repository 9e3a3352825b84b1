"""Batches of a training split whose rows are all of one size."""

import random


def shuffled(count: int, size: int, seed: str) -> list[list[int]]:
    """The rows of `count` in an order that `seed` decides, `size` a batch.

    A last row that would be alone joins the batch before: batch normalisation of one row is no use.
    """
    order = list(range(count))
    random.Random(seed).shuffle(order)
    batches = [order[i : i + size] for i in range(0, count, size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        alone = batches.pop()
        batches[-1] += alone
    return batches
