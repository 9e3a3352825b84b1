"""What other libraries make of a file, and how a file must be written for each to give our spikes.

NIR's neurons are differential equations, and a file holds no time step; each reader has its own. What stands
here was read in the sources of these versions, and `agreement.check` runs it: snntorch 1.0.0, norse 1.1.0,
spikingjelly 2.0.0, sinabs 3.1.3, rockpool 3.1.0, each with nir 1.0.8 and nirtorch 2.6.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..checks import choice
from .needed import nir
from .parts import Array, Neurons, Shape

FOREVER = 2.0**60
"""Time steps of a time constant that forgets nothing: 1 - 1 / FOREVER is 1 in float64."""
SYNAPSE = 2.0**-20
STEP = 1e-4  # seconds; what snnTorch and SpikingJelly take without being told


@dataclass(frozen=True)
class Reader:
    """Somebody who reads a file.

    Args:
        install: pip's arguments that bring it, beside an installed torch.
        dt: the time step that it takes, in the unit of its time constants.
        resets: the resets of ours that its neurons have as it reads them.
        node: makes the node of a layer of neurons in its units: (name, neurons, dt).
        linear, average, factor, sums: whether it reads nir.Linear, AvgPool2d, Scale and I; what it does not
            is said in other nodes where there are such.
        feedback: whether it reads cycles.
        synapse: what a synaptic current keeps from step to step, of a reader whose neurons all have one.
        floor: whether it keeps membranes without a leak above minus a threshold.
        otherwise: what its neurons do that no file can change.
        settled: how it is told the reset after reading, if it can be; see `agreement`.
    """

    name: str
    install: str
    dt: float
    node: Callable[[str, Neurons, float], Any]
    resets: tuple[str, ...] = ("hard",)
    linear: bool = True
    average: bool = True
    factor: bool = False
    sums: bool = False
    feedback: bool = True
    synapse: float | None = None
    floor: bool = False
    otherwise: str = ""
    settled: tuple[str, ...] = ()


def euler(name: str, part: Neurons, dt: float) -> Any:
    """As the equations say, by Euler's rule: u += dt / tau * (r I - u). Leak 1 everywhere is nir.IF."""
    if (part.leak == 1).all():
        return fires(part, "IF", r=part.gain / dt, v_threshold=part.threshold)
    tau = time_constant(part, dt)
    return fires(part, "LIF", tau=tau, r=part.gain * tau / dt, v_threshold=part.threshold)


def snntorch(name: str, part: Neurons, dt: float) -> Any:
    """One threshold a layer. It reads nir.IF as a neuron of leak 0.9 with a soft reset, so leak 1 is said as
    a time constant without end."""
    threshold = uniform(name, part.threshold / part.gain, "threshold", "snntorch")
    tau = time_constant(part, dt)
    return fires(part, "LIF", tau=tau, r=tau / dt, v_threshold=np.full_like(tau, threshold))


def norse(name: str, part: Neurons, dt: float) -> Any:
    """It leaves out r: what reaches the membrane is weighted by dt / tau, and so thresholds must be."""
    if (part.leak == 1).all():
        return fires(part, "IF", r=np.ones_like(part.leak), v_threshold=part.threshold / part.gain)
    if (part.leak == 1).any():
        raise ValueError(f"{name} has leak 1 in some neurons only, whose input norse would weight by 0")
    tau = time_constant(part, dt)
    return fires(
        part, "LIF", tau=tau, r=np.ones_like(tau), v_threshold=part.threshold / part.gain * (1 - part.leak)
    )


def spikingjelly(name: str, part: Neurons, dt: float) -> Any:
    """One leak and one threshold a layer, the leak above 0. It fires at the threshold, too: the next number
    above ours."""
    threshold = uniform(name, part.threshold / part.gain, "threshold", "spikingjelly")
    leak = uniform(name, part.leak, "leak", "spikingjelly")
    if leak == 0:
        raise ValueError(f"{name} has leak 0, and spikingjelly takes time constants above one step only")
    above = np.full_like(part.leak, np.nextafter(np.dtype(part.dtype).type(threshold), np.inf))
    if leak == 1:
        return fires(part, "IF", r=np.full_like(part.leak, 1 / dt), v_threshold=above)
    tau = time_constant(part, dt)
    return fires(part, "LIF", tau=tau, r=tau / dt, v_threshold=above)


def sinabs(name: str, part: Neurons, dt: float) -> Any:
    """Time constants in steps, leaks exp(-1 / tau); r and v_reset are left out. It fires at the threshold,
    too. Its check of v_leak fails for layers of several dimensions, which nir.IF has none of."""
    with np.errstate(divide="ignore"):
        tau = np.where(part.leak == 1, FOREVER, -1 / np.log(part.leak)).astype(np.float32)
    if part.feedback is not None:
        raise ValueError(
            f"{name} has feedback, and sinabs runs a layer over all steps before the next one: the cycle"
            " would be left out"
        )
    kind = np.dtype(part.dtype).type
    above = np.nextafter((part.threshold / part.gain).astype(kind), kind(np.inf))
    ones = np.ones_like(part.leak)
    if (part.leak == 1).all():
        return fires(part, "IF", r=ones, v_threshold=above)
    if part.leak.ndim > 1:
        raise ValueError(
            f"{name} is a layer {part.leak.shape} of leaky neurons, and sinabs reads those of one dimension"
            " only; of leak 1 it reads all"
        )
    return fires(part, "LIF", tau=tau, r=ones, v_threshold=above)


def rockpool(name: str, part: Neurons, dt: float) -> Any:
    """It reads no nir.LIF, and nir.CubaLIF with a synaptic current that is weighted by what it keeps: so it
    keeps next to nothing, and the maps before are larger by as much. Its step is tau_mem / (1 + r). It fires
    at the threshold, too."""
    if part.feedback is not None or part.leak.ndim > 1 or (part.leak == 0).any():
        raise ValueError(f"{name} has feedback, several dimensions or a leak of 0, and rockpool reads none")
    tau = np.where(part.leak == 1, FOREVER, -1 / np.log(np.minimum(part.leak, 1 - 1e-12))) * dt
    kind = np.dtype(part.dtype).type
    above = np.nextafter((part.threshold / part.gain).astype(kind), kind(np.inf))
    values = {"tau_mem": tau, "r": tau / dt - 1, "v_threshold": above}
    values["tau_syn"] = np.full_like(tau, -dt / np.log(SYNAPSE))
    return fires(part, "CubaLIF", **{key: one.astype(np.float32) for key, one in values.items()})


def fires(part: Neurons, kind: str, **values: Array) -> Any:
    """A node whose neurons reset to zero and rest there."""
    zeros = np.zeros_like(part.leak, dtype=values["v_threshold"].dtype)
    if kind != "IF":
        values["v_leak"] = zeros
    return getattr(nir(), kind)(v_reset=zeros.copy(), **values)


def time_constant(part: Neurons, dt: float) -> Array:
    """tau with 1 - dt / tau equal to the leak, exactly so in the membranes' type where there is one."""
    with np.errstate(divide="ignore"):
        tau = np.where(part.leak == 1, dt * FOREVER, dt / (1 - part.leak))
    kind = np.dtype(part.dtype).type
    wanted = part.leak.astype(kind)
    best = tau.copy()
    for side in (-np.inf, np.inf):
        tried = tau.copy()
        for _ in range(4):
            off = (1 - dt / best).astype(kind) != wanted
            best = np.where(off, tried, best)
            tried = np.nextafter(tried, side)
    return best


def uniform(name: str, value: Array, what: str, reader: str) -> float:
    """The one value of a layer. Raises ValueError if there are several."""
    if not np.allclose(value, value.flat[0], rtol=1e-12, atol=0):
        raise ValueError(
            f"{name} has neurons with different values of {what}, and {reader} reads one for a layer; take"
            " one, or the plain file (reader=None)"
        )
    return float(value.flat[0])


NO_READER = Reader("plain", "", STEP, euler, factor=True, sums=True)
"""Whoever goes by the equations, with the time step that the file says."""
NIRTORCH = "'nir>=1.0.8' 'nirtorch>=2.6'"
READERS = {
    reader.name: reader
    for reader in (
        Reader("snntorch", f"--no-deps 'snntorch>=1.0' {NIRTORCH}", STEP, snntorch),
        Reader("norse", f"--no-deps 'norse>=1.1' {NIRTORCH}", 1e-3, norse, average=False),
        Reader("spikingjelly", f"--no-deps 'spikingjelly>=2.0' {NIRTORCH}", STEP, spikingjelly),
        Reader(
            "sinabs",
            f"--no-deps 'sinabs>=3.1' {NIRTORCH}",
            1.0,
            sinabs,
            resets=(),
            linear=False,
            average=False,
            feedback=False,
            floor=True,
            otherwise="resets by subtraction, several spikes a step, and of leak 1 keeps membranes above"
            " minus a threshold",
            settled=("hard", "soft_immediate"),
        ),
        Reader(
            "rockpool",
            f"--no-deps 'rockpool>=3.1' {NIRTORCH}",
            1e-3,
            rockpool,
            resets=(),
            average=False,
            feedback=False,
            synapse=SYNAPSE,
            otherwise="resets by subtraction, several spikes a step",
            settled=("soft_immediate",),
        ),
    )
}


def reader_of(name: str | None) -> Reader:
    """The reader of this name; None: whoever goes by the equations.

    Raises:
        ValueError: no such reader, with the names of those there are.
    """
    return NO_READER if name is None else READERS[choice("reader", name, (None, *READERS))]


def without_feedback(part: Neurons) -> Neurons:
    """The neurons of a recurrent layer alone."""
    return replace(part, feedback=None)


def shape_array(shape: Shape) -> Array:
    """As NIR has shapes."""
    return np.array(shape, dtype=np.int64)
