"""Random numbers by counting: a draw depends on what it is for, not on what was drawn before or by whom.

So a network that was stopped and goes on, or is shown examples by several threads, finds the same spikes.
"""

import math
from collections.abc import Iterator

_STEP, _MASK = 0x9E3779B97F4A7C15, 2**64 - 1
LEARNING, SWITCHING, RECALL = 1, 2, 3
"""What draws are for."""


def mixed(z: int) -> int:
    """SplitMix64 (Steele, Lea and Flood 2014)."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


class Draws:
    """A sequence of numbers above 0 and below 1, of its own for every purpose."""

    def __init__(self, *purpose: int, state: int = 0) -> None:
        for one in purpose:
            state = mixed((state + _STEP + one) & _MASK)
        self._state = state

    def of(self, *purpose: int) -> "Draws":
        """Draws for one of several purposes within these."""
        return Draws(*purpose, state=self._state)

    def next(self) -> float:
        self._state = (self._state + _STEP) & _MASK
        return ((mixed(self._state) >> 12) + 0.5) * 2.0**-52


def happenings(draws: Draws, probability: float, begin: int, end: int) -> Iterator[int]:
    """The steps of [begin, end) in which something of `probability` in each happens; gaps are geometric."""
    if not probability > 0:
        return
    scale = 1 / math.log1p(-probability) if probability < 1 else 0.0
    at = float(begin)
    while True:
        at += math.floor(math.log(draws.next()) * scale)
        if not at < end:
            return
        yield int(at)
        at += 1
