"""Checks of arguments: each returns what it was given, or raises an error that names the argument, its value
and what is accepted."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


def positive_int(name: str, value: int) -> int:
    """`value` if it is an integer of at least 1; else a TypeError or ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """`value` if it is one of `choices`; else a ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_tensor(name: str, value: Tensor) -> Tensor:
    """`value` if it is a Tensor; else a TypeError that names its type."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
    return value


def check_leak(value: float) -> float:
    """A leak given as a number, which must lie in [0, 1]."""
    check_number("leak", value)
    if not 0 <= value <= 1:
        raise ValueError(f"leak must lie in [0, 1], got {value}")
    return float(value)


def check_threshold(value: float) -> float:
    """A threshold given as a number, which must be positive and finite."""
    check_number("threshold", value)
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"threshold must be positive and finite, got {value}")
    return float(value)


def check_number(name: str, value: float) -> float:
    """`value` if it is a number; else a TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, got {value!r}")
    return value


def check_share(p: float) -> float:
    """`p` if it is a share that dropout can silence; else a TypeError or ValueError."""
    check_number("p", p)
    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    return p


def check_initial(share: float) -> float:
    """`share` if it is a number in [0, 1]; else a TypeError or ValueError that names it."""
    check_number("initial", share)
    if not 0 <= share <= 1:
        raise ValueError(f"initial must lie in [0, 1], a share of the threshold, got {share}")
    return float(share)


def one_or_each(
    name: str, value: object, count: int | None, check: Callable[[float], float]
) -> float | tuple[float, ...]:
    """A number, or a list of one for each of `count` channels, each of which passes `check`."""
    if not isinstance(value, list | tuple):
        return check(value)  # type: ignore[arg-type]
    if len(value) != count:
        many = "a number without channels" if count is None else f"a number, or {count} of them"
        raise ValueError(f"{name} must be {many}, got {len(value)} numbers")
    return tuple(map(check, value))


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor has values that can be read: not on "meta", not fake, not while code is traced."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor) or torch.compiler.is_compiling())
