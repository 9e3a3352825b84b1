"""NIR's nodes as parts."""

import math
from typing import Any, NamedTuple

import numpy as np

from .parts import Array, Conv, Factor, Flat, Integrate, Map, Neurons, Part, Pool, Wait
from .writers import Writer

KNOWN = (
    *(
        "Input",
        "Output",
        "Affine",
        "Linear",
        "Scale",
        "Conv1d",
        "Conv2d",
        "AvgPool2d",
        "SumPool2d",
        "Flatten",
    ),
    *("Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"),
)


class Units(NamedTuple):
    """What a graph's numbers mean."""

    dt: float
    writer: Writer
    reset: str
    norm_input: bool | None


def part_of(name: str, node: Any, units: Units) -> list[Part]:
    """What a node computes, one part behind the other.

    Raises:
        ValueError: a number that does not fit the time step, or that no neuron of ours has, naming the node.
    """
    kind, dt = type(node).__name__, units.dt
    match kind:
        case "Affine":
            return [Map(weight(name, node.weight), numbers(node.bias))]
        case "Linear":
            return [Map(weight(name, node.weight))]
        case "Scale":
            return [Factor(numbers(node.scale))]
        case "Conv1d" | "Conv2d":
            return [conv(name, node, 1 if kind == "Conv1d" else 2)]
        case "AvgPool2d" | "SumPool2d":
            kernel, stride, padding = (
                whole(name, side, 2) for side in (node.kernel_size, node.stride, node.padding)
            )
            return [Pool(kernel, stride, padding, total=kind == "SumPool2d")]
        case "Flatten":
            return [Flat(int(node.start_dim), int(node.end_dim))]
        case "Delay":
            return [Wait(steps(name, numbers(node.delay), dt))]
        case "Threshold":
            zeros = np.zeros_like(wide(node.threshold))
            return [Neurons(zeros, zeros + 1, positive(name, wide(node.threshold)), "hard")]
        case "I":
            return [Integrate(np.ones_like(wide(node.r)), wide(node.r) * dt)]
        case "LI":
            rests_at_zero(name, node.v_leak)
            return [Integrate(*leaky(name, node.tau, node.r, units))]
        case "IF":
            r = wide(node.r)
            gain = tidy(r * dt) if units.writer.resistance else np.ones_like(r)
            return [neurons(name, node, np.ones_like(r), gain, units)]
        case "LIF":
            return [neurons(name, node, *leaky(name, node.tau, node.r, units), units)]
        case "CubaLIF" if not units.writer.synapses:
            kept, _ = leaky(name, node.tau_syn, node.w_in, units)
            leak, gain = leaky(name, node.tau_mem, node.r, units)
            return [Factor(2.0 ** round(math.log2(kept.flat[0]))), neurons(name, node, leak, gain, units)]
        case "CubaLI" | "CubaLIF":
            synapse = Integrate(*leaky(name, node.tau_syn, node.w_in, units))
            leak, gain = leaky(name, node.tau_mem, node.r, units)
            if kind == "CubaLIF":
                return [synapse, neurons(name, node, leak, gain, units)]
            rests_at_zero(name, node.v_leak)
            return [synapse, Integrate(leak, gain)]
    raise ValueError(f"{name} is a {kind}, which is not among the nodes we know: {', '.join(KNOWN)}")


def leaky(name: str, tau: Any, r: Any, units: Units) -> tuple[Array, Array]:
    """Leak and gain of neurons with these time constants."""
    tau, r = wide(tau), wide(r)
    if not (tau > 0).all():
        raise ValueError(f"{name} has a time constant of {tau.min():g}; expected positive ones")
    leak, gain = units.writer.leak_and_gain(tau, r, units.dt, units.norm_input)
    if leak.min() < 0:
        raise ValueError(
            f"{name} has a time constant of {tau.min():g}, shorter than the time step {units.dt:g}: the unit"
            " does not fit, or dt is too long"
        )
    return leak, gain


def neurons(name: str, node: Any, leak: Array, gain: Array, units: Units) -> Neurons:
    """Spiking neurons that rest and reset at one value, which counts as zero."""
    rest = wide(node.v_leak) if hasattr(node, "v_leak") else np.zeros_like(leak)
    back = np.zeros_like(leak) if node.v_reset is None else wide(node.v_reset)
    if kind_if(node) and not (leak != 1).any():
        rest = back  # it has no leak, so it rests anywhere
    if (rest != back).any():
        where = int((rest != back).argmax())
        raise ValueError(
            f"{name} resets to {back.flat[where]:g} and rests at {rest.flat[where]:g}; neurons of ours do"
            " both at one value"
        )
    threshold = positive(name, wide(node.v_threshold) - rest)
    return Neurons(leak, gain, threshold, units.reset)


def kind_if(node: Any) -> bool:
    """Whether neurons have no leak."""
    return type(node).__name__ == "IF"


def positive(name: str, threshold: Array) -> Array:
    """Thresholds above where the membrane rests. Raises ValueError for others."""
    if not (np.isfinite(threshold).all() and (threshold > 0).all()):
        raise ValueError(f"{name} has a threshold {threshold.min():g} above rest; expected positive ones")
    return threshold


def rests_at_zero(name: str, v_leak: Any) -> None:
    """Raises ValueError for neurons that leak towards something else."""
    if np.any(v_leak):
        raise ValueError(
            f"{name} leaks towards {np.ravel(v_leak)[0]:g}; integrating neurons of ours towards 0"
        )


def conv(name: str, node: Any, sides: int) -> Conv:
    """A convolution padded by zeros."""
    kernel = numbers(node.weight)
    stride, dilation = (whole(name, one, sides) for one in (node.stride, node.dilation))
    padding = node.padding
    if isinstance(padding, bytes | str):
        text = padding.decode() if isinstance(padding, bytes) else padding
        wide_by = [d * (k - 1) for d, k in zip(dilation, kernel.shape[2:], strict=True)]
        if text == "same" and any(side % 2 for side in wide_by):
            raise ValueError(f"{name} pads one side more than the other; expected an odd kernel")
        padding = [side // 2 if text == "same" else 0 for side in wide_by]
    bias = None if node.bias is None else numbers(node.bias)
    return Conv(kernel, bias, stride, whole(name, padding, sides), dilation, int(node.groups))


def steps(name: str, delay: Array, dt: float) -> int:
    """A delay as a number of time steps."""
    found = np.unique(delay)
    if len(found) != 1:
        raise ValueError(
            f"{name} delays some values by {found[0]:g}, others by {found[-1]:g}; expected one delay"
        )
    count = float(found[0]) / dt
    if count < 0 or not math.isclose(count, round(count), rel_tol=1e-6, abs_tol=1e-9):
        raise ValueError(
            f"{name} delays by {found[0]:g}, which the time step {dt:g} does not divide ({count:.4g} steps)"
        )
    return round(count)


def weight(name: str, value: Any) -> Array:
    """A matrix."""
    value = numbers(value)
    if value.ndim != 2:
        raise ValueError(f"{name} has a weight of {value.ndim} dimensions; expected (outputs, inputs)")
    return value


def whole(name: str, value: Any, sides: int) -> tuple[int, ...]:
    """A whole number for each side."""
    found = np.broadcast_to(np.asarray(value).ravel(), sides)
    if (found != np.round(found)).any():
        raise ValueError(f"{name} has {found.tolist()} where whole numbers belong")
    return tuple(int(side) for side in found)


def numbers(value: Any) -> Array:
    """An array of float32 or float64; of a torch tensor, too, which some writers leave in the graph."""
    value = np.asarray(value.detach() if hasattr(value, "detach") else value)
    if not np.issubdtype(value.dtype, np.floating):
        value = value.astype(np.float32)
    if not np.isfinite(value).all():
        raise ValueError("the graph holds numbers that are not finite")
    return value.copy() if value.dtype == np.float64 else value.astype(np.float32)


def wide(value: Any) -> Array:
    """Parameters of neurons, as float64; those of one neuron for all keep their one."""
    return np.atleast_1d(numbers(value).astype(np.float64))


def tidy(value: Array) -> Array:
    """A gain of one is one."""
    return np.where(np.abs(value - 1) < 1e-12, 1.0, value)
