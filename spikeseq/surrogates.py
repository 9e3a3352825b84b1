"""Surrogate derivatives of the spike, do/dz with z = u/v - 1.

Every surrogate is ``height * shape(z / width)`` with a shape that peaks at one, so height and width mean
the same for all of them (tuning both is what lets deep spiking networks train: Ledinauskas et al. 2020); the
two that remember the neuron's own spikes have a shape of these instead of z.
The gradient that reaches the membrane is ``do/du = do/dz / v`` (thesis eq. 5.13).

A class is all that Python knows of a surrogate: the plain loop, which is the tests' oracle
(`ops/reference.py`), calls its `slope` and `remember`. The kernels have the same
formulas, under the class's `name`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from .checks import check_number


@dataclass(frozen=True)
class Surrogate:
    """Base of all surrogates: a name that the kernel knows, a height and a width.

    Args:
        height: largest value of do/dz, > 0.
        width: half-width of the shape in units of z, > 0.
    Raises:
        TypeError, ValueError: height or width is not a positive finite number.
    """

    height: float = 1.0
    width: float = 1.0
    name: ClassVar[str] = ""
    memory_planes: ClassVar[int] = 0  # values that the surrogate remembers per neuron between sub-steps
    memory_start: ClassVar[tuple[float, ...]] = ()  # these values for a neuron that has never fired

    def __post_init__(self) -> None:
        for field in ("height", "width"):
            value = getattr(self, field)
            check_number(f"{type(self).__name__}: {field}", value)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{type(self).__name__}: {field} must be a positive number, got {value!r}")

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        """do/dz, from z and the memory (planes, *) after the sub-step's spike."""
        raise NotImplementedError(f"{type(self).__name__} has no slope")

    def remember(self, spike: Tensor, memory: Tensor) -> Tensor:
        """The memory (planes, *) after a sub-step with the given spikes."""
        return memory


@dataclass(frozen=True)
class PiecewiseLinear(Surrogate):
    """``height * max(0, 1 - |z| / width)``: thesis eq. 5.12, whose gamma is the height.

    The library's default, with the thesis's height 0.3: small enough that gradients do not explode over
    the many sub-steps of a text.
    """

    height: float = 0.3
    name: ClassVar[str] = "piecewise_linear"

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        return self.height * (1 - (z / self.width).abs()).clamp(min=0)


@dataclass(frozen=True)
class Sigmoid(Surrogate):
    """``height * 4 s(x) (1 - s(x))``, x = z / width, s the logistic function."""

    name: ClassVar[str] = "sigmoid"

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        s = torch.sigmoid((z / self.width).abs())
        return self.height * 4 * s * (1 - s)


@dataclass(frozen=True)
class ArcTan(Surrogate):
    """``height / (1 + x^2)``, x = z / width: the derivative of an arc tangent (Fang et al. 2021)."""

    name: ClassVar[str] = "arctan"

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        x = z / self.width
        return self.height / (1 + x * x)


@dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """``height / (1 + |x|)^2``, x = z / width: SuperSpike (Zenke and Ganguli 2018)."""

    name: ClassVar[str] = "fast_sigmoid"

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        return self.height / (1 + (z / self.width).abs()) ** 2


@dataclass(frozen=True)
class ApproximateLIF(Surrogate):
    """Derivative of a LIF neuron's activation, approximated by that of an IF neuron and a leak correction.

    ``height * max(0, 1 + f'[t] / n[t])`` for a neuron that has fired, else 0, where n[t] counts its spikes
    up to sub-step t, ``f[t] = exp(-1/width) f[t-1] + o[t]`` is their leaky sum and ``f' = -f / width``. Here
    `width` is the membrane's time constant in sub-steps (leak = exp(-1/width); the default suits leak 0.95).
    After Lee, Sarwar, Panda, Srinivasan and Roy, "Enabling Spike-Based Backpropagation for Training Deep
    Neural Network Architectures", Front. Neurosci. 14:119 (2020), whose n is the count over the whole
    presentation; the running count used here is causal, so that a sequence can be cut into chunks.

    It remembers f and n: the state that `lif` takes and returns is (3, B, *): membrane, f, n.
    """

    width: float = 20.0
    name: ClassVar[str] = "approximate_lif"
    memory_planes: ClassVar[int] = 2
    memory_start: ClassVar[tuple[float, ...]] = (0.0, 0.0)

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        f, n = memory
        correction = (1 - f / self.width / n.clamp(min=1)).clamp(min=0)
        return self.height * torch.where(n > 0, correction, torch.zeros_like(f))

    def remember(self, spike: Tensor, memory: Tensor) -> Tensor:
        f, n = memory
        return torch.stack((math.exp(-1 / self.width) * f + spike, n + spike))


@dataclass(frozen=True)
class SpikeTime(Surrogate):
    """``height * exp(-dt / width)``, dt the sub-steps since the neuron's own last spike: 0 at a spike.

    A neuron that has never fired counts as having fired at time -1000: dt starts at 1000. The derivative of
    STDB, ``do/du = alpha * exp(-beta * dt)`` (thesis eq. 4.11-4.12; Rathi, Srinivasan, Panda and Roy,
    "Enabling Deep Spiking Neural Networks with Hybrid Conversion and Spike Timing Dependent Backpropagation",
    ICLR 2020). As for all surrogates here, the height is that of do/dz: with threshold v, the alpha of eq.
    4.11 is ``height / v``. Its beta is ``1 / width``.

    It remembers dt: the state that `lif` takes and returns is (2, B, *): membrane, dt.

    Args:
        height: largest value of do/dz, that at a spike. Default 0.3, alpha of the thesis (at threshold 1).
        width: sub-steps after which the derivative has fallen to 1/e. Default 100, beta 0.01 of the thesis.
    """

    height: float = 0.3
    width: float = 100.0
    name: ClassVar[str] = "spike_time"
    memory_planes: ClassVar[int] = 1
    memory_start: ClassVar[tuple[float, ...]] = (1000.0,)

    def slope(self, z: Tensor, memory: Tensor) -> Tensor:
        return self.height * torch.exp(-memory[0] / self.width)

    def remember(self, spike: Tensor, memory: Tensor) -> Tensor:
        return torch.where(spike > 0, torch.zeros_like(memory), memory + 1)


SURROGATES: dict[str, type[Surrogate]] = {
    cls.name: cls for cls in (PiecewiseLinear, Sigmoid, ArcTan, FastSigmoid, ApproximateLIF, SpikeTime)
}
"""Every surrogate by the name that configuration files use."""


def check_surrogate(surrogate: Surrogate) -> Surrogate:
    """`surrogate` if it is one that the kernel knows; else a TypeError that lists them."""
    kind = SURROGATES.get(getattr(surrogate, "name", ""))
    if kind is not None and type(surrogate) is kind:
        return surrogate
    known = ", ".join(f"{cls.__name__}()" for cls in SURROGATES.values())
    if kind is None or not isinstance(surrogate, kind):
        raise TypeError(f"surrogate must be one of {known}, got {surrogate!r}")
    if type(surrogate).slope is not kind.slope or type(surrogate).remember is not kind.remember:
        raise TypeError(f"surrogate must be one of {known}, got {surrogate!r} with a formula of its own")
    return surrogate
