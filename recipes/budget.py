"""A limit on what a model is made of: settings that ask for huge layers are refused before these are made."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

SIZED = {torch.empty, torch.zeros, torch.ones, torch.rand, torch.randn, torch.full}
COUNTED = {torch.arange, torch.linspace, torch.logspace, torch.randperm, torch.eye}
LEAST = 2**24
"""Values that any model may have: 64 MiB, made in a moment."""


class TooLargeError(Exception):
    """More values than a model of this file can have."""


class Budget(TorchFunctionMode):
    """Inside, tensors that are made may have so many values in all.

    file: bytes of the weights. A model is given four times as many values, which is sixteen times those of
    float32 weights, and LEAST beside them. What small tensors take in Python counts, too.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self.most = 4 * file + LEAST
        self.made = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in SIZED or func in COUNTED:
            self.made += max(1024, asked(func, args, kwargs or {}))
            if self.made > self.most:
                raise TooLargeError(f"more than {self.most:,} values")
        return func(*args, **(kwargs or {}))


def asked(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """The values of a tensor that is to be made."""
    if func in COUNTED:
        numbers = [v for v in (*args, *kwargs.values()) if type(v) in (int, float) and math.isfinite(v)]
        return int(max(map(abs, numbers), default=0))
    given = [kwargs["size"]] if "size" in kwargs else list(args[:1]) if func is torch.full else list(args)
    flat = [n for one in given for n in (one if isinstance(one, Sequence) else [one])]
    return math.prod(n for n in flat if type(n) is int)
