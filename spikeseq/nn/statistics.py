"""What modules note down as they are called (running statistics), where one pass is made of several calls.

A pass in pieces is still one batch, and a piece that is run again for its gradient was counted before.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.utils.checkpoint import checkpoint

Buffers = list[tuple[nn.Module, str, Tensor]]


def by_batch(model: nn.Module) -> bool:
    """Whether what a module does may depend on how a batch is divided: in training, or without statistics."""
    return any(
        module.training or (isinstance(module, _BatchNorm) and module.running_mean is None)
        for module in model.modules()
    )


def noted(model: nn.Module) -> Buffers:
    """Copies of what modules in training have noted down."""
    return [
        (module, name, tensor.clone())
        for module in model.modules()
        if module.training
        for name, tensor in module._buffers.items()
        if tensor is not None and not tensor.requires_grad
    ]


class AsBefore:
    """Modules see `before`, and what they note down meanwhile is forgotten. A context that can be entered
    again, as often as there are backward passes through one graph."""

    def __init__(self, before: Buffers) -> None:
        self.before = before

    def __enter__(self) -> None:
        self.now = [module._buffers[name] for module, name, _ in self.before]
        for module, name, tensor in self.before:
            module._buffers[name] = tensor.clone()

    def __exit__(self, *_: object) -> None:
        for (module, name, _tensor), now in zip(self.before, self.now, strict=True):
            module._buffers[name] = now


def run_again(model: nn.Module, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """`function(*args, **options)` of `model`, run once more in the backward pass instead of kept."""
    before = noted(model)
    return checkpoint(
        function, *args, use_reentrant=False, context_fn=lambda: (nullcontext(), AsBefore(before)), **options
    )


class OneBatch:
    """The statistics of normalisation over a pass in pieces, which is counted as one batch.

    With a momentum every piece moves the running statistics, as every call does. With `momentum=None` they
    are the mean over all batches: every piece starts from those before the pass, and the average over the
    pieces is what the whole moves them to, because the move is linear in what a piece has. A variance is the
    mean of those of the pieces, by which they were normalised.
    """

    def __init__(self, model: nn.Module) -> None:
        self.norms: dict[nn.Module, _Sum] = {
            module: _Sum(module)
            for module in model.modules()
            if module.training and isinstance(module, _NormBase)
        }

    @contextmanager
    def piece(self, size: int) -> Iterator[None]:
        """A call on `size` rows of time."""
        try:
            for counted in self.norms.values():
                counted.start()
            yield
            for counted in self.norms.values():
                counted.add(size)
        finally:
            for counted in self.norms.values():
                counted.put_back()

    def finish(self) -> None:
        """Moves the statistics themselves."""
        for counted in self.norms.values():
            counted.finish()


class _Sum:
    """What the pieces make of one module's statistics. A module that a piece does not call has no share."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        averaged = module.momentum is None
        self.own = {
            name: tensor
            for name, tensor in module._buffers.items()
            if tensor is not None and (averaged or not tensor.is_floating_point())
        }
        self.before = {name: tensor.clone() for name, tensor in self.own.items()}
        self.sums = {name: torch.zeros_like(tensor) for name, tensor in self.own.items()}
        self.share: Tensor | float = 0.0

    def start(self) -> None:
        self.module._buffers.update({name: tensor.clone() for name, tensor in self.before.items()})

    def add(self, size: int) -> None:
        now: dict[str, Any] = {name: self.module._buffers[name] for name in self.own}
        changed = [(now[name] != self.before[name]).any() for name in self.own]
        share = torch.stack(changed).any() * float(size) if changed else 0.0
        self.share = self.share + share
        for name, tensor in now.items():
            if tensor.is_floating_point():
                self.sums[name] = self.sums[name] + share * tensor
            else:  # a count
                self.sums[name] = torch.maximum(self.sums[name], tensor)

    def put_back(self) -> None:
        self.module._buffers.update(self.own)

    def finish(self) -> None:
        for name, tensor in self.own.items():
            total = self.sums[name]
            found = total / self.share if tensor.is_floating_point() else total
            tensor.copy_(torch.where(torch.as_tensor(self.share) > 0, found, tensor))
