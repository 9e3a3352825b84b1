"""Learning rules: how a synapse changes at a spike of the neuron before it and of the one behind it.

Every rule is written here as pure functions of tensors, and in csrc/stdp/rules.h as the same additions and
products. A trace is 1 at a spike and decays from there; it is set to 1 by the next spike, not added to.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .numbers import decay_table, not_negative, positive, probability, single


@dataclass(frozen=True)
class PairOfTraces:
    """Diehl and Cook's rule (2015): a fast trace of either side, and a slow one of the neuron behind.

    A spike before: w -= rate_before * trace of the neuron behind. A spike behind: w += rate_behind * trace of
    the input * slow trace of the neuron's own earlier spikes, so that its first spike changes nothing.

    Args:
        rate_before, rate_behind: learning rates.
        before_time, behind_time, slow_time: time constants of the traces, ms.
        most: largest weight; the smallest is 0.
    """

    rate_before: float = 1e-4
    rate_behind: float = 1e-2
    before_time: float = 20.0
    behind_time: float = 20.0
    slow_time: float = 40.0
    most: float = 1.0
    number: ClassVar[int] = 0
    depresses: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("before_time", "behind_time", "slow_time", "most"):
            positive(name, getattr(self, name))
        for name in ("rate_before", "rate_behind"):
            not_negative(name, getattr(self, name))

    def before(self, w: Tensor, behind: Tensor) -> Tensor:
        """Weights after spikes of their inputs; `behind`: traces of the neurons behind."""
        return (w - single(self.rate_before) * behind).clamp_min(0.0)

    def behind(self, w: Tensor, before: Tensor, slow: Tensor, drawn: Tensor | None = None) -> Tensor:
        """Weights after spikes of their neurons; `before`, `slow`: traces of inputs and neurons."""
        return (w + single(self.rate_behind) * (before * slow)).clamp_max(single(self.most))

    def constants(self) -> list[float]:
        return [self.rate_before, self.rate_behind, self.most]

    def traces(self, dt: float, steps: int) -> list[list[float]]:
        """Tables of the traces of the input, of the neuron, and its slow one, by steps since a spike."""
        times = (self.before_time, self.behind_time, self.slow_time)
        return [decay_table(dt, time, steps) for time in times]


@dataclass(frozen=True)
class PowerLaw:
    """Power-law weight-dependent STDP (thesis eq. 3.3), applied at spikes of the neuron behind.

    dw = rate * (exp((t_pre - t_post) / time) - offset) * (most - w) ** exponent, with the last spike before;
    where there was none, the exponential is 0. The same with a trace: `behind` takes the exponential as it.

    Args:
        rate, time, offset, most, exponent: eta, tau (ms), offset, w_max and mu. `POWER_LAW` has the
            parameters of table 3.1 by name: image, audio, cross.
    """

    rate: float = 0.0005
    time: float = 20.0
    offset: float = 0.4
    most: float = 1.0
    exponent: float = 0.9
    number: ClassVar[int] = 1
    depresses: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("time", "most", "exponent"):
            positive(name, getattr(self, name))
        for name in ("rate", "offset"):
            not_negative(name, getattr(self, name))

    def before(self, w: Tensor, behind: Tensor) -> Tensor:
        return w

    def behind(
        self, w: Tensor, before: Tensor, slow: Tensor | None = None, drawn: Tensor | None = None
    ) -> Tensor:
        """Weights after spikes of their neurons; `before`: traces of inputs."""
        strength = single(self.rate) * (before - single(self.offset))
        moved = w + strength * power(single(self.most) - w, single(self.exponent))
        return moved.clamp(0.0, single(self.most))

    def pair(self, w: Tensor, before: Tensor, behind: Tensor) -> Tensor:
        """The same from times of spikes, ms: `before` the last one of the input, `behind` the neuron's."""
        return self.behind(w, torch.exp((before - behind) / self.time))

    def constants(self) -> list[float]:
        return [self.rate, self.offset, self.most, self.exponent]

    def traces(self, dt: float, steps: int) -> list[list[float]]:
        return [decay_table(dt, self.time, steps)]


POWER_LAW = {
    "image": PowerLaw(rate=0.0005, time=20.0),
    "audio": PowerLaw(rate=0.00003, time=15.0),
    "cross": PowerLaw(rate=0.001, time=30.0),
}
"""Table 3.1 of the thesis."""


@dataclass(frozen=True)
class Switching:
    """Stochastic STDP of binary synapses: a weight is 0 or `most`, and switches with a probability.

    At a spike of the neuron behind, a synapse whose input fired within `window` is switched on with the
    probability `on` * trace of the input; any other one is switched off with the probability `off`.

    Args:
        on, off: probabilities. time: of the input's trace, ms. window: ms.
        most: weight of a synapse that is on.

    Source: after the stochastic rule of Srinivasan et al. (2020, the abstract alone): its form is ours.
    """

    on: float = 0.1
    off: float = 0.02
    time: float = 20.0
    window: float = 20.0
    most: float = 1.0
    number: ClassVar[int] = 2
    depresses: ClassVar[bool] = False

    def __post_init__(self) -> None:
        for name in ("time", "window", "most"):
            positive(name, getattr(self, name))
        for name in ("on", "off"):
            probability(name, getattr(self, name))

    def before(self, w: Tensor, behind: Tensor) -> Tensor:
        return w

    def behind(self, w: Tensor, before: Tensor, slow: Tensor | None, drawn: Tensor) -> Tensor:
        """Weights after spikes of their neurons; `drawn`: float64 in (0, 1), one for every weight."""
        lately = before >= single(self.least)
        turned_on = torch.where(drawn < (single(self.on) * before).double(), single(self.most), w)
        turned_off = torch.where(drawn < single(self.off), 0.0, w)
        return torch.where(lately, turned_on, turned_off)

    @property
    def least(self) -> float:
        """The trace at the end of the window."""
        return math.exp(-self.window / self.time)

    def constants(self) -> list[float]:
        return [self.on, self.off, self.least, self.most]

    def traces(self, dt: float, steps: int) -> list[list[float]]:
        return [decay_table(dt, self.time, steps)]


Rule = PairOfTraces | PowerLaw | Switching


def power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for float32 x >= 0, by the operations of csrc/stdp/power.h; relative error below 1e-6."""
    bits = x.view(torch.int32)
    whole = (bits - 0x3F3504F3) >> 23
    m = (bits - (whole << 23)).view(torch.float32)
    s = (m - 1.0) / (m + 1.0)
    q = s * s
    series = 2.8853900 + q * (0.96179669 + q * (0.57707802 + q * 0.41219858))
    y = ((whole.float() + s * series) * exponent).clamp_min(-126.0)
    near = torch.floor(y + 0.5)
    f = y - near
    high = 0.0096181291 + f * (0.0013333558 + f * 0.00015403530)
    p = 1.0 + f * (0.69314718 + f * (0.24022651 + f * (0.055504109 + f * high)))
    scale = ((near.int() + 127) << 23).view(torch.float32)
    return torch.where(x > 1e-30, p * scale, 0.0)
