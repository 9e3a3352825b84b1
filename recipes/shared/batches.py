"""Batches of a training split: rows of one size, or texts of like length."""

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


def buckets(lengths: list[int], size: int, rng: random.Random | None, chunk: int = 100) -> list[list[int]]:
    """Indices in batches of texts of like length, so that little is padding.

    With `rng`, texts are shuffled, sorted by length inside chunks of `chunk` batches, and the batches
    shuffled again; without, all are sorted by length.
    """
    order = list(range(len(lengths)))
    if rng is None:
        order.sort(key=lambda i: lengths[i])
    else:
        rng.shuffle(order)
    batches = []
    for start in range(0, len(order), size * chunk):
        part = sorted(order[start : start + size * chunk], key=lambda i: lengths[i])
        batches += [part[i : i + size] for i in range(0, len(part), size)]
    if rng is not None:
        rng.shuffle(batches)
    return batches
