"""Very long sequences, a piece at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_module, check_tensor, positive_int, sequence_lengths
from .state import detach_state
from .statistics import OneBatch, run_again


def run_in_chunks(
    layer: nn.Module,
    input: Tensor,
    hx: Any = None,
    *,
    size: int,
    lengths: Tensor | None = None,
    truncate: bool = False,
) -> tuple[Tensor, Any]:
    """Runs a layer over a sequence in chunks, of which only one is kept for the backward pass at a time.

    Between chunks only the state is kept; each chunk is run again when its gradient is due
    (`torch.utils.checkpoint`), so that memory grows by the input, the output and one chunk. Costs one more
    forward pass. Random masks (dropout) are drawn once per chunk and repeated in the backward pass.

    Args:
        layer: takes (chunk, state, lengths=...), time first, and returns output and state, as `SpikingRNN`
            in one direction, `LIF` and what `swap` puts in the place of an RNN do. The state may be a tensor
            or any nesting of them, as `detach_state` takes it.
        input: (L, B, *).
        hx: the state at the start; default that of the layer.
        size: rows of a chunk.
        lengths: (B,) rows that count.
        truncate: let no gradient pass from chunk to chunk (truncated backpropagation through time). The
            values are the same.
    Returns:
        Output and state, as the layer would have returned them for the whole.
    Raises:
        TypeError, ValueError: input that is no tensor or has no rows, a size below 1, a layer that reads in
            both directions or takes the batch first.
    """
    check_module("layer", layer)
    check_tensor("input", input)
    positive_int("size", size)
    if len(input) == 0:
        raise ValueError(f"input must have at least one row, got {tuple(input.shape)}")
    if getattr(layer, "bidirectional", False):
        raise ValueError("a bidirectional layer reads the whole sequence; it cannot be run in chunks")
    if getattr(layer, "batch_first", False):
        raise ValueError(
            "chunks are cut along time, which must come first; got a layer with batch_first=True"
        )
    lengths = sequence_lengths(lengths, input)
    outputs, state, batch = [], hx, OneBatch(layer)
    for start in range(0, len(input), size):
        chunk = input[start : start + size]
        options: dict[str, Any] = {}
        if lengths is not None:
            options["lengths"] = (lengths - start).clamp(0, len(chunk))
        if truncate and start > 0:
            state = detach_state(state)
        with batch.piece(len(chunk)):
            if torch.is_grad_enabled():
                output, state = run_again(layer, layer, chunk, state, **options)
            else:
                output, state = layer(chunk, state, **options)
        outputs.append(output)
    batch.finish()
    return torch.cat(outputs), state
