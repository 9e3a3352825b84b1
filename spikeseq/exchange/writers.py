"""What other libraries mean by the files that they write.

Read in the sources of the same versions as `readers`. A file of theirs says neither the time step nor, of
most of them, the reset.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks import choice
from .parts import Array


@dataclass(frozen=True)
class Writer:
    """Somebody who wrote a file.

    Args:
        dt: the time step that it counts with where it is not told another; None: the file or the caller
            must say.
        resets: those that its neurons may have had, the file saying the same of all.
        reset: what its neurons have where nobody says otherwise; None: the caller must say.
        rule: how leak and gain follow from tau, r and dt: "euler" (as the equations say), "exponential"
            (tau in steps of dt, and r left out) or "norse" (tau is dt / rate, and r left out).
        at_threshold: whether its neurons fire at the threshold, too.
        norm_input: whether its neurons may weight their input by 1 - leak, which the file does not say.
        resistance: whether r of nir.IF counts.
        synapses: whether synaptic currents are any, or a factor (`readers.rockpool`).
    """

    dt: float | None
    reset: str | None = "hard"
    resets: tuple[str, ...] = ("hard", "soft", "soft_immediate")
    rule: str = "euler"
    at_threshold: bool = False
    norm_input: bool = False
    resistance: bool = True
    synapses: bool = True

    def leak_and_gain(self, tau: Array, r: Array, dt: float, norm_input: bool | None) -> tuple[Array, Array]:
        """Of every neuron, at this time step."""
        if self.rule == "exponential":
            leak = np.exp(-dt / tau)
            return leak, (1 - leak if norm_input else np.ones_like(leak))
        weight = dt * dt / tau if self.rule == "norse" else dt / tau
        leak = rounded(1 - weight)
        return leak, np.where(self.rule == "norse", 1 - leak, rounded(r * weight))


def rounded(value: Array) -> Array:
    """Without what the division left in the last digits: a gain of one is one."""
    near = np.round(value, 12)
    return np.where(np.abs(value - near) < 1e-14, near, value)


EQUATIONS = Writer(None)
WRITERS: dict[str, Any] = {
    "snntorch": Writer(1e-4, reset=None),
    "norse": Writer(1e-3, resets=("hard", "soft_immediate"), rule="norse", resistance=False),
    "spikingjelly": Writer(1e-4, resets=("hard",), at_threshold=True),
    "sinabs": Writer(1.0, "soft_immediate", ("hard", "soft_immediate"), "exponential", True, True, False),
}
FOR_READERS = {
    "snntorch": EQUATIONS,
    "norse": Writer(None, resistance=False),
    "spikingjelly": Writer(None, at_threshold=True),
    "sinabs": Writer(None, rule="exponential", at_threshold=True, resistance=False),
    "rockpool": Writer(None, rule="exponential", at_threshold=True, synapses=False),
}
"""What we mean by a file that we wrote for one of `READERS`: what that reader takes it for."""


def writer_of(name: str | None) -> Writer:
    """The writer of this name; None: somebody who went by the equations.

    Raises:
        ValueError: no such writer, with the names of those there are.
    """
    return EQUATIONS if name is None else WRITERS[choice("writer", name, (None, *WRITERS))]  # type: ignore[no-any-return]
