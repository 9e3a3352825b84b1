"""Batches made in a thread while the step before them computes."""

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

DEPTH = 2  # batches that wait for their step

Collate = Callable[[Any, torch.Generator], tuple[Tensor, ...]]


def prepared(
    collate: Collate, batches: Sequence[Any], seed: str, device: torch.device
) -> Iterator[tuple[Tensor, ...]]:
    """The collated batches on the device, in their order.

    What is random in a batch depends on its place and on `seed` alone, not on which thread is ahead. An error
    in `collate` is raised where its batch is due.

    Args:
        collate: makes the tensors of a batch in a CPU's memory, drawing from the generator only.
        seed: of the epoch and the process.
    """

    def make(number: int) -> tuple[Tensor, ...]:
        rng = torch.Generator().manual_seed(random.Random(f"{seed} {number}").getrandbits(63))
        tensors = collate(batches[number], rng)
        # From pinned memory a GPU copies by itself, and the host goes on.
        return tuple(x.pin_memory() for x in tensors) if device.type == "cuda" else tensors

    with ThreadPoolExecutor(1, "batches") as pool:
        waiting: deque[Future[tuple[Tensor, ...]]] = deque()
        for number in range(len(batches) + DEPTH):
            if number < len(batches):
                waiting.append(pool.submit(make, number))
            if number >= DEPTH:
                yield tuple(x.to(device, non_blocking=True) for x in waiting.popleft().result())
