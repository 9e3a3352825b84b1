"""A language model of spiking blocks as one op, for streams: schema, when it fits, and the two ways."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from . import library
from .dispatch import Op, no_kernel, not_wide, unlike
from .reference import update

EPSILON = 1e-5  # as nn.LayerNorm

library.define(
    "language_stream(Tensor ids, Tensor table, float scale, Tensor[] gains, Tensor[] offsets,"
    " Tensor[] shifts, Tensor[] weights, Tensor[] biases, Tensor[] leaks, Tensor[] thresholds,"
    " Tensor[] backs, Tensor[] back_biases, Tensor[] membranes, Tensor[] kept, Tensor gain, Tensor offset,"
    " Tensor output_bias, float smallest_threshold, int substeps, str reset)"
    " -> (Tensor logits, Tensor[] membranes, Tensor[] kept, Tensor spikes)"
)


@torch.library.register_fake("spikeseq::language_stream", lib=library)
def _fake(ids: Tensor, table: Tensor, scale: float, *rest: Any) -> Any:
    membranes, kept = rest[9], rest[10]
    logits = table.new_empty((*ids.shape, len(table)))
    states = ([torch.empty_like(t) for t in part] for part in (membranes, kept))
    return logits, *states, ids.new_empty(len(membranes))


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
    well, with its bias (V,); gain and offset (D,) of the last normalisation."""

    table: Tensor
    scale: float
    gain: Tensor
    offset: Tensor
    output_bias: Tensor


class Neurons(NamedTuple):
    """What all neurons share."""

    smallest_threshold: float
    substeps: int
    reset: str


State = list[tuple[Tensor, Tensor]]
"""Of every block: membranes (B, N), and what it keeps of the last tokens, (B, K - 1, D), or their ids
(B, K - 1), -1 before the text."""
Result = tuple[Tensor, State, Tensor]
"""Logits (L, B, V), the state, and the spikes of every block."""


def fits(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> str | None:
    """On a CPU, in float32 or float64. Nothing carries gradients."""
    table = ends.table
    if not (ids.is_cpu and table.is_cpu):
        return f"on {table.device.type}"
    parts = {f"part {i} of a block": t for block in blocks for i, t in enumerate(block)}
    membranes = {f"membrane {i}": one for i, (one, _) in enumerate(state)}
    return not_wide("table", table) or unlike(table, **parts, **membranes) or no_kernel("cpu")


def fused(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> Result:
    lists = [list(part) for part in zip(*blocks, strict=True)]
    membranes, kept = (list(part) for part in zip(*state, strict=True))
    table, scale, *behind = ends
    logits, membranes, kept, spikes = torch.ops.spikeseq.language_stream.default(
        ids, table, scale, *lists, membranes, kept, *behind, *neurons
    )
    return logits, list(zip(membranes, kept, strict=True)), spikes


def plain(ids: Tensor, ends: Ends, blocks: list[Block], state: State, neurons: Neurons) -> Result:
    """The same by ordinary PyTorch, token by token: the oracle."""
    rows, spikes = [], [torch.zeros((), dtype=torch.int64, device=ids.device)] * len(blocks)
    width = (ends.table.shape[1],)
    state = list(state)
    for token in ids:
        x = ends.table[token] * ends.scale
        for i, block in enumerate(blocks):
            u, kept = state[i]
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
            state[i] = u, kept
        last_norm = torch.layer_norm(x, width, ends.gain, ends.offset, EPSILON)
        rows.append(torch.nn.functional.linear(last_norm, ends.table, ends.output_bias))
    return torch.stack(rows), state, torch.stack(spikes)


LANGUAGE = Op("language_stream", fits, fused, plain)
