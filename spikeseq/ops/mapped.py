"""The LIF op under `torch.func.vmap`: copies of its neurons stand beside each other as channels of one call.

Neurons do not see each other, so that values are those of a loop over the copies to the last bit. Each copy
has a leak and threshold of its own, also where these are not mapped: only then are their gradients apart
(per-sample gradients).
"""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, stack

Dims = tuple[int | None, ...]


def over_copies(call: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
    """The rule of `lif` for vmap: `(info, in_dims, *arguments)` to the outputs and their mapped dimensions.

    Args:
        call: the op, or the Function around it, so that transforms outside go on from there.
    """

    def rule(info: Any, in_dims: Dims, *arguments: Any) -> tuple[tuple[Tensor, ...], Dims]:
        current, state, leak, threshold, lengths, *options = arguments
        if in_dims[4] is not None:
            return _one_by_one(call, info.batch_size, in_dims, arguments)
        copies = _Copies(info.batch_size, current, in_dims[0], state, in_dims[1])
        leak_dim = in_dims[2]
        by_row = leak.dim() - (leak_dim is not None) > 1
        out, final, checkpoints = call(
            copies.rows(current, in_dims[0]),
            copies.rows(state, in_dims[1]),
            copies.rows(leak, leak_dim) if by_row else copies.channels(leak, leak_dim),
            copies.channels(threshold, in_dims[3]),
            lengths,
            *options,
        )
        return (copies.apart(out), copies.apart(final), copies.saved_apart(checkpoints)), (2, 2, 0)

    return rule


def backward_over_copies(call: Callable[..., tuple[Tensor, ...]]) -> Callable[..., Any]:
    """The same of `lif_backward`."""

    def rule(info: Any, in_dims: Dims, *arguments: Any) -> tuple[tuple[Tensor, ...], Dims]:
        grad_out, grad_final, current, checkpoints, final, leak, threshold, lengths, *options = arguments
        out_dim, grad_dim, current_dim, saved_dim, final_dim, leak_dim, threshold_dim, lengths_dim = in_dims[
            :8
        ]
        if lengths_dim is not None:
            return _one_by_one(call, info.batch_size, in_dims, arguments)
        copies = _Copies(info.batch_size, current, current_dim, final, final_dim)
        rows = copies.rows
        by_row = leak.dim() - (leak_dim is not None) > 1
        by_current, by_state, by_leak, by_threshold = call(
            rows(grad_out, out_dim),
            rows(grad_final, grad_dim),
            rows(current, current_dim),
            copies.saved(checkpoints, saved_dim),
            rows(final, final_dim),
            rows(leak, leak_dim) if by_row else copies.channels(leak, leak_dim),
            copies.channels(threshold, threshold_dim),
            lengths,
            *options,
        )
        by_threshold = copies.summed(by_threshold, threshold, threshold_dim)
        if by_row:
            by_leak, at = copies.apart(by_leak), 2
        else:
            by_leak, at = copies.summed(by_leak, leak, leak_dim), 0
        return (copies.apart(by_current), copies.apart(by_state), by_leak, by_threshold), (2, 2, at, 0)

    return rule


class _Copies:
    """How N copies of a call with currents (L, B, C, *) are laid out: (L, B, N * C, *)."""

    def __init__(
        self, count: int, current: Tensor, dim: int | None, state: Tensor, state_dim: int | None
    ) -> None:
        sizes = list(current.shape)
        if dim is not None:
            del sizes[dim]
        self.count, self.batch = count, sizes[1]
        self.bare = len(sizes) == 2  # neurons without channels
        self.each = 1 if self.bare else sizes[2]
        self.neurons = math.prod(sizes[2:])  # of a sequence
        self.planes = state.shape[1 if state_dim == 0 else 0]

    def rows(self, t: Tensor, dim: int | None) -> Tensor:
        """(rows, B, C, *) of each copy, or of all, as (rows, B, N * C, *)."""
        t = (
            t.unsqueeze(2).expand(*t.shape[:2], self.count, *t.shape[2:])
            if dim is None
            else t.movedim(dim, 2)
        )
        return t if self.bare else t.flatten(2, 3)

    def apart(self, t: Tensor) -> Tensor:
        """(rows, B, N * C, *) as (rows, B, N, C, *)."""
        return t if self.bare else t.unflatten(2, (self.count, self.each))

    def channels(self, t: Tensor, dim: int | None) -> Tensor:
        """Leaks or thresholds (1,) or (C,) as (N * C,)."""
        t = t.unsqueeze(0) if dim is None else t.movedim(dim, 0)
        return t.expand(self.count, self.each).reshape(-1)

    def summed(self, grad: Tensor, of: Tensor, dim: int | None) -> Tensor:
        """The gradient (N * C,) of what `channels` has made of (1,) or (C,), as (N, 1) or (N, C)."""
        grad = grad.view(self.count, self.each)
        one = of.shape[0 if dim is None else 1 - dim] == 1
        return grad.sum(1, keepdim=True) if one else grad

    # Membranes are saved as one row of values: intervals, planes, sequences, neurons.

    def saved_apart(self, t: Tensor) -> Tensor:
        """What the call has saved, as (N, values)."""
        laid = t.view(self._intervals(t), self.planes, self.batch, self.count, self.neurons)
        return laid.movedim(3, 0).flatten(1)

    def saved(self, t: Tensor, dim: int | None) -> Tensor:
        """What `saved_apart` has made, as the call takes it."""
        t = t.expand(self.count, -1) if dim is None else t.movedim(dim, 0)
        laid = t.reshape(self.count, self._intervals(t), self.planes, self.batch, self.neurons)
        return laid.movedim(0, 3).flatten()

    def _intervals(self, t: Tensor) -> int:
        return t.numel() // max(1, self.count * self.planes * self.batch * self.neurons)


def _one_by_one(
    call: Callable[..., tuple[Tensor, ...]], count: int, in_dims: Dims, arguments: tuple[Any, ...]
) -> tuple[tuple[Tensor, ...], Dims]:
    """A loop over the copies, where each has lengths of its own: the kernel knows them by the batch alone."""
    found = [
        call(*(a if d is None else a.select(d, i) for a, d in zip(arguments, in_dims, strict=True)))
        for i in range(count)
    ]
    outputs = tuple(stack(each) for each in zip(*found, strict=True))
    return outputs, (0,) * len(outputs)
