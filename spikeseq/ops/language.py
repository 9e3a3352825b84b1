"""A language model of spiking blocks as one op, for streams: schema, when it fits, and the two ways."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..checks import check_alike
from . import library
from .dispatch import Op, no_kernel, not_wide, unlike
from .reference import update

EPSILON = 1e-5  # as nn.LayerNorm
MULTIPLIER = 1_000_003
MASK = 2**31 - 1  # a hash below it, times MULTIPLIER, stays below 2^63

library.define(
    "language_stream(Tensor ids, Tensor table, float scale, Tensor ngrams, int[] orders, Tensor[] gains,"
    " Tensor[] offsets, Tensor[] shifts, Tensor[] weights, Tensor[] biases, Tensor[] leaks,"
    " Tensor[] thresholds, Tensor[] backs, Tensor[] back_biases, Tensor recent, Tensor[] membranes,"
    " Tensor[] kept, Tensor gain, Tensor offset, Tensor output_bias, float smallest_threshold,"
    " int substeps, str reset)"
    " -> (Tensor logits, Tensor recent, Tensor[] membranes, Tensor[] kept, Tensor spikes)"
)


@torch.library.register_fake("spikeseq::language_stream", lib=library)
def _fake(ids: Tensor, table: Tensor, scale: float, *rest: Any) -> Any:
    recent, membranes, kept, gain, offset, output_bias = rest[11:17]
    lists = {**dict(zip(Block._fields, rest[2:11], strict=True)), "membrane": membranes, "kept": kept}
    parts = {f"{name} of layer {i}": t for name, all_of in lists.items() for i, t in enumerate(all_of)}
    parts |= {"ngrams": rest[0], "recent": recent, "gain": gain, "offset": offset, "output_bias": output_bias}
    check_alike(table=table, ids=ids, **parts)
    logits = table.new_empty((*ids.shape, len(table)))
    states = ([torch.empty_like(t) for t in part] for part in (membranes, kept))
    return logits, torch.empty_like(recent), *states, ids.new_empty(len(membranes))


class Block(NamedTuple):
    """What a block computes with: V tokens, D numbers of the stream, N neurons, K tokens that currents see.

    gain, offset: (D,) of the normalisation. shift: (K, D), empty where K is 1 or the block is looked up.
    weight: (N, D); or (K, V, N), currents by the ids of the last K tokens. bias: (N,). leak, threshold: (N,).
    back: (N, D), what a spike adds to the stream. back_bias: (D,).
    """

    gain: Tensor
    offset: Tensor
    shift: Tensor
    weight: Tensor
    bias: Tensor
    leak: Tensor
    threshold: Tensor
    back: Tensor
    back_bias: Tensor


class Ends(NamedTuple):
    """What stands before and behind the blocks: the table (V, D) and its scale, which is the output map as
    well, with its bias (V,); the vectors of n-grams (orders x rows, D), none without orders; gain and offset
    (D,) of the last normalisation."""

    table: Tensor
    scale: float
    ngrams: Tensor
    orders: list[int]
    gain: Tensor
    offset: Tensor
    output_bias: Tensor


class Neurons(NamedTuple):
    """What all neurons share."""

    smallest_threshold: float
    substeps: int
    reset: str


State = tuple[Tensor, list[tuple[Tensor, Tensor]]]
"""The last tokens as n-grams take them, (B, n - 1), each plus one, 0 before the text; and of every block
membranes (B, N), and what it keeps of the last tokens, (B, K - 1, D), or their ids (B, K - 1), -1 before the
text."""
Result = tuple[Tensor, State, Tensor]
"""Logits (L, B, V), the state, and the spikes of every block."""


def rows_of_ngrams(given: Tensor, length: int, orders: list[int], rows: int) -> Tensor:
    """Rows (L, B, orders) that the n-grams which end at each of the last `length` tokens have.

    A hash from the newest token back to the oldest; every order has `rows` rows of its own.

    Args:
        given: (highest order - 1 + L, B) int64, each token plus one, 0 where the text had not begun.
    """
    found: list[Tensor] = []
    key = given.new_zeros((length, given.shape[1]))
    for n in range(1, orders[-1] + 1):
        start = given.shape[0] - length - n + 1
        key = (key * MULTIPLIER + given[start : start + length]) & MASK
        key = key ^ (key >> 15)
        if n in orders:
            found.append(key % rows + len(found) * rows)
    return torch.stack(found, -1)


def fits(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> str | None:
    """On a CPU, in float32 or float64. Nothing carries gradients."""
    table = ends.table
    if not (ids.is_cpu and table.is_cpu):
        return f"on {table.device.type}"
    parts = {f"part {i} of a block": t for block in blocks for i, t in enumerate(block)}
    membranes = {f"membrane {i}": one for i, (one, _) in enumerate(state[1])}
    return (
        not_wide("table", table)
        or unlike(table, ngrams=ends.ngrams, **parts, **membranes)
        or no_kernel("cpu")
    )


def fused(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> Result:
    lists = [list(part) for part in zip(*blocks, strict=True)]
    recent, pairs = state
    membranes, kept = (list(part) for part in zip(*pairs, strict=True))
    logits, recent, membranes, kept, spikes = torch.ops.spikeseq.language_stream.default(
        ids, *ends[:4], *lists, recent, membranes, kept, *ends[4:], *neurons
    )
    return logits, (recent, list(zip(membranes, kept, strict=True))), spikes


def plain(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> Result:
    """The same by ordinary PyTorch, token by token: the oracle."""
    rows, spikes = [], [torch.zeros((), dtype=torch.int64, device=ids.device)] * len(blocks)
    width = (ends.table.shape[1],)
    recent, pairs = state[0], list(state[1])
    for token in ids:
        x = ends.table[token] * ends.scale
        if ends.orders:
            given = torch.cat((recent.t(), token.unsqueeze(0) + 1))
            found = rows_of_ngrams(given, 1, ends.orders, len(ends.ngrams) // len(ends.orders))
            x, recent = x + ends.ngrams[found[0]].sum(1), given[1:].t()
        for i, block in enumerate(blocks):
            u, kept = pairs[i]
            if block.weight.dim() == 3:
                last = torch.cat((kept, token.unsqueeze(1)), 1)
                current = block.bias.expand(len(token), -1)
                for rows_of, one in zip(block.weight, last.t(), strict=True):
                    current = current + rows_of[one.clamp(min=0)] * (one >= 0).unsqueeze(1)
                kept = last[:, 1:]
            else:
                given = torch.layer_norm(x, width, block.gain, block.offset, EPSILON)
                if block.shift.numel():
                    seen = torch.cat((kept, given.unsqueeze(1)), 1)
                    given, kept = (seen * block.shift).sum(1), seen[:, 1:]
                current = torch.nn.functional.linear(given, block.weight, block.bias)
            leak, threshold = block.leak.clamp(0, 1), block.threshold.clamp(min=neurons.smallest_threshold)
            x = x + block.back_bias
            for _ in range(neurons.substeps):
                u = update(u, (u > threshold).to(u.dtype), current, leak, threshold, neurons.reset)
                fired = (u > threshold).to(u.dtype)
                x = x + fired @ block.back
                spikes[i] = spikes[i] + fired.sum().to(torch.int64)
            pairs[i] = u, kept
        last_norm = torch.layer_norm(x, width, ends.gain, ends.offset, EPSILON)
        rows.append(torch.nn.functional.linear(last_norm, ends.table, ends.output_bias))
    return torch.stack(rows), (recent, pairs), torch.stack(spikes)


LANGUAGE = Op("language_stream", fits, fused, plain)
