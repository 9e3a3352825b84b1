"""Decays over time, in the precision that networks compute in."""

import math

import numpy as np


def decay(dt: float, time_constant: float) -> float:
    """What is left after `dt` of something that decays; infinity keeps all."""
    return math.exp(-dt / time_constant)


def mean_decay(dt: float, time_constant: float) -> float:
    """Its mean over `dt`, as a share of its value at the start."""
    return -math.expm1(-dt / time_constant) * time_constant / dt


def decay_table(dt: float, time_constant: float, steps: int) -> list[float]:
    """What is left after 0, 1, ..., `steps` steps."""
    return [math.exp(-k * dt / time_constant) for k in range(steps + 1)]


def single(value: float) -> float:
    """Rounded to float32, which kernels compute in."""
    return float(np.float32(value))


def positive(name: str, value: float) -> None:
    if not value > 0:
        raise ValueError(f"{name} must be a positive number, got {value}")


def not_negative(name: str, value: float) -> None:
    if not value >= 0:
        raise ValueError(f"{name} must be 0 or a positive number, got {value}")


def probability(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], got {value}")
