"""Handing membrane state on: from chunk to chunk, to some rows of a batch, to reordered beams.

A state is a Tensor, or any nesting of tuples, lists and dicts of tensors; None stays None. The batch is
dimension `dim` of each: 0 for `SpikingNetwork`, and for `LIF` without a surrogate that remembers; 1 for
`SpikingRNN`, and for `LIF` with such a one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def map_state(function: Callable[[Tensor], Tensor], state: Any) -> Any:
    """Applies `function` to every tensor of a nested state."""
    if state is None:
        return None
    if isinstance(state, Tensor):
        return function(state)
    if isinstance(state, dict):
        return {key: map_state(function, value) for key, value in state.items()}
    if isinstance(state, tuple | list):
        parts = [map_state(function, value) for value in state]
        return type(state)(*parts) if hasattr(state, "_fields") else type(state)(parts)
    raise TypeError(f"state must be a Tensor, or tuples, lists and dicts of them, got {type(state).__name__}")


def bytes_of(state: Any) -> int:
    """Bytes of all tensors of a nested state."""
    sizes: list[int] = []

    def note(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel() * tensor.element_size())
        return tensor

    map_state(note, state)
    return sum(sizes)


def detach_state(state: Any) -> Any:
    """The state without its history: between chunks of truncated backpropagation, after an optimiser step."""
    return map_state(Tensor.detach, state)


def select_state(state: Any, rows: Tensor, dim: int = 0) -> Any:
    """The state of some rows of the batch: a boolean mask (B,) keeps its true rows."""
    index = rows.nonzero().squeeze(1) if rows.dtype == torch.bool else rows
    return map_state(lambda tensor: tensor.index_select(dim, index), state)


def reorder_state(state: Any, beams: Tensor, dim: int = 0) -> Any:
    """The state after beam search has chosen, for each row, the beam it continues: indices (B,)."""
    return select_state(state, beams, dim)
