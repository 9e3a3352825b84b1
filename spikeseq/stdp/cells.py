"""Conductance-based neurons (thesis eq. 3.1 and 3.2), as constants of one step."""

from dataclasses import dataclass

from torch import Tensor

from .numbers import decay, mean_decay, not_negative, positive, single


@dataclass(frozen=True)
class Cell:
    """A leaky integrate-and-fire neuron whose synapses open conductances.

    `time_constant` dV/dt = (rest - V) + g_e (excitatory - V) + g_i (inhibitory - V), eq. 3.1, and each
    conductance decays by its own time constant, eq. 3.2. Times are in ms, potentials in mV; conductances are
    relative to that of the leak. A step is implicit in V with the mean of each conductance over the step, so
    that no number of inhibitory spikes at once makes it unstable (explicit steps are, from about 24 on).

    Args:
        time_constant: of the membrane.
        rest, reset, threshold: potentials at rest, after a spike, and that a spike is fired above.
        excitatory, inhibitory: equilibrium potentials of the two kinds of synapses.
        excitatory_time, inhibitory_time: time constants of the two conductances.
        refractory: time after a spike in which the potential is held at `reset`; conductances go on.

    Source: Rathi's thesis, section 3.3.1; `EXCITATORY` and `INHIBITORY` are those of Diehl and Cook (2015).
    """

    time_constant: float
    rest: float
    reset: float
    threshold: float
    excitatory: float = 0.0
    inhibitory: float = -100.0
    excitatory_time: float = 1.0
    inhibitory_time: float = 2.0
    refractory: float = 5.0

    def __post_init__(self) -> None:
        for name in ("time_constant", "excitatory_time", "inhibitory_time"):
            positive(name, getattr(self, name))
        if not self.reset < self.threshold:
            raise ValueError(f"reset must be below threshold {self.threshold}, got {self.reset}")
        not_negative("refractory", self.refractory)

    def step(self, dt: float) -> "Step":
        """The constants of a step of `dt` ms."""
        return Step(
            rate=dt / self.time_constant,
            excite=self.excitatory - self.rest,
            inhibit=self.inhibitory - self.rest,
            threshold=self.threshold - self.rest,
            reset=self.reset - self.rest,
            keep_e=decay(dt, self.excitatory_time),
            keep_i=decay(dt, self.inhibitory_time),
            mean_e=mean_decay(dt, self.excitatory_time),
            mean_i=mean_decay(dt, self.inhibitory_time),
            refractory=round(self.refractory / dt),
        )


EXCITATORY = Cell(time_constant=100.0, rest=-65.0, reset=-65.0, threshold=-52.0)
INHIBITORY = Cell(
    time_constant=10.0, rest=-60.0, reset=-45.0, threshold=-40.0, inhibitory=-85.0, refractory=2.0
)


@dataclass(frozen=True)
class Step:
    """A cell over one step, in float32 numbers; potentials are relative to rest. In the kernel's order."""

    rate: float
    excite: float
    inhibit: float
    threshold: float
    reset: float
    keep_e: float
    keep_i: float
    mean_e: float
    mean_i: float
    refractory: int

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != "refractory":
                object.__setattr__(self, name, single(value))

    def move(self, v: Tensor, g_e: Tensor, g_i: Tensor) -> Tensor:
        """Eq. 3.1 over one step, from conductances at its start; all of one shape."""
        e, i = g_e * self.mean_e, g_i * self.mean_i
        return (v + self.rate * (e * self.excite + i * self.inhibit)) / (1.0 + self.rate * (1.0 + e + i))
