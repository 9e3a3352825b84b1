"""LIF neurons in whole numbers: currents, membranes of 16 bits and thresholds count in one unit."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checks import choice
from ..neuron import READOUTS
from ..nn import LIF
from .step import STATE_MOST

UNITS = 256
"""Of a threshold, or up to twice as many, so that 16 bits reach 64 to 128 thresholds to either side: a
membrane whose leak is nearly 1 wanders that far below zero within a text."""
SHARE_BITS, MOST_SHIFT = 8, 31
"""Of the share of a membrane that leaks away, a number of 8 bits shifted to the right."""


class FixedPointLIF(LIF):
    """`LIF` for inference in whole numbers.

    In a sub-step a membrane loses a share of itself and gains its current, each rounded to a unit; it stops
    at the largest that 16 bits hold. All is computed on the CPU.

    Args:
        lif: what it stands for, without `norm_input`. Of thresholds of their own the largest sets the unit.
        step: what the currents are multiples of, as a map's weights are. The unit is this times a power of
            two, so that a shift brings a current to the membrane; finer currents are rounded.
    """

    share: Tensor
    shift: Tensor
    height: Tensor

    def __init__(self, lif: LIF, step: Tensor | float) -> None:
        neuron = lif.neuron()
        leak, threshold = neuron.leak.detach().cpu(), neuron.threshold.detach().cpu()
        own = lif.channels is not None
        super().__init__(
            lif.channels, substeps=lif.substeps, leak=leak.tolist() if own else float(leak),
            threshold=threshold.tolist() if own else float(threshold), reset=lif.reset,
            surrogate=lif.surrogate, learn_leak=False, learn_threshold=False,
        )  # fmt: skip
        self.unit = float(step) * 2.0 ** math.floor(math.log2(float(threshold.max()) / UNITS / float(step)))
        mantissa, exponent = torch.frexp(1 - leak.double())
        kept = exponent > SHARE_BITS - MOST_SHIFT  # of less, 16 bits lose nothing
        whole = {
            "share": (mantissa * 2**SHARE_BITS).round() * kept,
            "shift": (SHARE_BITS - exponent).clamp(max=MOST_SHIFT),
            "height": (threshold / self.unit).round().clamp(min=1),
        }
        for name, values in whole.items():
            self.register_buffer(name, values.to(torch.int32), persistent=False)

    def forward(  # type: ignore[override]
        self,
        current: Tensor,
        state: Tensor | None = None,
        *,
        leak: None = None,
        lengths: Tensor | None = None,
        substeps: int | None = None,
        readout: str = "spikes",
        window: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `LIF`, without a leak for each call; what follows a text's end is zero."""
        if leak is not None:
            raise ValueError("whole-number neurons have the leaks that they were made with")
        steps = self.substeps if substeps is None else substeps
        every = 1 if choice("readout", readout, READOUTS) == "spikes" else window or steps
        if len(current) * steps % every:
            raise ValueError(f"window {every} does not divide the {len(current) * steps} sub-steps")
        rows = self.whole(current)
        u = np.zeros_like(rows[0]) if state is None else self.whole(state)
        share, shift, height = (beside(one, u) for one in (self.share, self.shift, self.height))
        half, spike = np.left_shift(1, shift - 1), u > height
        out = np.zeros((len(rows) * steps // every, *u.shape), np.int32)
        ends = np.array([len(rows)]) if lengths is None else lengths.numpy(force=True)
        shortest = ends.min()
        for t in range(len(out) * every):
            fallen = spike * (u if self.reset == "hard" else height)
            left = u if self.reset == "soft" else u - fallen
            new = left - (left * share + half >> shift) + rows[t // steps]
            if self.reset == "soft":
                new -= fallen
            new.clip(-STATE_MOST, STATE_MOST, out=new)
            emitted = fired = new > height
            if readout == "membrane":
                emitted = new if (t + 1) % every == 0 else np.zeros_like(new)
            if t // steps >= shortest:
                alive = np.expand_dims(ends > t // steps, tuple(range(1, u.ndim)))
                new, fired, emitted = np.where(alive, new, u), np.where(alive, fired, spike), emitted * alive
            out[t // every] += emitted
            u, spike = new, fired
        scale = {"spikes": 1.0, "rate": 1 / every, "membrane": self.unit}[readout]
        return torch.from_numpy(out).to(current).mul_(scale), torch.from_numpy(u).to(current) * self.unit

    def whole(self, values: Tensor) -> Any:
        """In units, int32; what is far beyond 16 bits stops there in any case."""
        if not values.isfinite().all():
            raise ValueError("currents and states of whole-number neurons must be finite")
        units = (values.detach().float() / self.unit).round_().clamp_(-8 * STATE_MOST, 8 * STATE_MOST)
        return units.to(torch.int32).numpy(force=True)


def beside(values: Tensor, like: Any) -> Any:
    """One value, or one for each channel, shaped to meet `like` (B, C, *)."""
    return values.numpy(force=True).reshape(-1, *[1] * (like.ndim - 2))
