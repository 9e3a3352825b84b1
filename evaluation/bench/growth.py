"""How the cost of a training step grows with length, batch, width and sub-steps."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from spikeseq.evaluation.bench.agreement import check_stream
from spikeseq.evaluation.bench.models import layer_step, rising
from spikeseq.evaluation.bench.peers import RNN_PEERS
from spikeseq.evaluation.bench.timing import Benchmark, Contender
from spikeseq.nn import SpikingRNN

FACTORS = {"length": (0.2, 1.0, 4.0), "batch": (1 / 64, 0.25, 1.0, 4.0), "width": (0.25, 1.0, 4.0)}
SUBSTEPS = (1, 2, 5, 10)
SHARE = 0.1  # of the time of other benchmarks, for each point

Sizes = tuple[int, int, int]
"""Tokens, batch, width; T is 5."""


def points(size: Sizes) -> Iterator[tuple[str, int, Sizes, int]]:
    """What is changed, to what, the sizes and T."""
    for place, (what, factors) in enumerate(FACTORS.items()):
        for factor in factors:
            sizes = list(size)
            sizes[place] = max(1, round(size[place] * factor))
            yield what, sizes[place], (sizes[0], sizes[1], sizes[2]), 5
    for substeps in SUBSTEPS:
        yield "sub-steps", substeps, size, substeps


def growth_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """A training step of one layer, point by point."""
    for what, value, shape, substeps in points(size):
        x, grad = (torch.randn(shape, generator=torch.Generator().manual_seed(i)) for i in (0, 1))
        width = shape[2]
        ours = SpikingRNN(width, width, substeps=substeps)
        contenders = [Contender("spikeseq", "SpikingRNN", partial(layer_step, ours, x, grad))]
        for peer in peers:
            layer = RNN_PEERS[peer](width, width)
            contenders.append(
                Contender(peer, f"nn.{RNN_PEERS[peer].__name__}", partial(layer_step, layer, x, grad))
            )
        yield Benchmark(
            f"growth {what} {value}",
            f"{shape[0]} tokens, batch {shape[1]}, width {width}, T = {substeps}, a training step",
            tuple(contenders),
            partial(check_stream, ours, rising(x[:1, :1]), 1e-4),
            share=SHARE,
            at=(what, value),
        )
