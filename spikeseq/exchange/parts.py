"""A network as the parts that a graph can hold, before it is in anybody's units.

Every part is one node; arrays are float64 where they are a neuron's, and as the model has them where they are
weights. Shapes are those of one input, without time and batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

Array = Any  # numpy.ndarray
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Map:
    """y = W x + b, weight (outputs, inputs)."""

    weight: Array
    bias: Array | None = None

    def out(self, shape: Shape) -> Shape:
        return (self.weight.shape[0],)


@dataclass(frozen=True)
class Conv:
    """A convolution over one or two dimensions, weight (outputs, inputs / groups, *kernel)."""

    weight: Array
    bias: Array | None
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int

    def out(self, shape: Shape) -> Shape:
        sides = zip(shape[1:], self.padding, self.dilation, self.weight.shape[2:], self.stride, strict=True)
        return (self.weight.shape[0], *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sides))


@dataclass(frozen=True)
class Pool:
    """The average over windows of two dimensions, zeros counted; or with `total` their sum."""

    kernel: Shape
    stride: Shape
    padding: Shape = (0, 0)
    total: bool = False

    def out(self, shape: Shape) -> Shape:
        sides = zip(shape[1:], self.kernel, self.stride, self.padding, strict=True)
        return (shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in sides))


@dataclass(frozen=True)
class Flat:
    """Dimensions `start` to `end` in one, counted without time and batch."""

    start: int = 0
    end: int = -1

    def out(self, shape: Shape) -> Shape:
        end = self.end % len(shape) + 1
        return (*shape[: self.start], prod(shape[self.start : end]), *shape[end:])


@dataclass(frozen=True)
class Neurons:
    """Spiking neurons: u = leak * u + gain * I, a spike where u > threshold, and the reset.

    leak, gain, threshold: float64, in the shape of the layer. feedback: (N, N), what spikes of the step
    before add to the current. initial: share of the threshold that membranes start at. dtype: of the
    membranes.
    """

    leak: Array
    gain: Array
    threshold: Array
    reset: str
    feedback: Array | None = None
    initial: float = 0.0
    dtype: str = "float32"

    def out(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Integrate:
    """Neurons that never fire: u = leak * u + gain * I, and u comes out."""

    leak: Array
    gain: Array

    def out(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Factor:
    """A number, or one for each value, that is multiplied: the height of spikes."""

    value: Any

    def out(self, shape: Shape) -> Shape:
        return shape


@dataclass(frozen=True)
class Wait:
    """What comes in comes out so many steps later, zeros before."""

    steps: int

    def out(self, shape: Shape) -> Shape:
        return shape


Part = Map | Conv | Pool | Flat | Neurons | Integrate | Factor | Wait
LINEAR = (Map, Conv)
INPUT, OUTPUT = "input", "output"


@dataclass
class Parts:
    """Parts by name in an order in which they can run, who feeds whom, and what a row of input looks like.

    substeps: steps that a row of input is held. readout: "spikes" (what comes out, step by step), "rate" (to
    be averaged over the steps of a row), "sum" (to be summed up over all steps), or "membrane" (no spikes but
    the last neurons' membranes, which no graph gives).
    """

    shape: Shape
    nodes: dict[str, Part] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    substeps: int = 1
    readout: str = "spikes"

    def sources(self, name: str) -> list[str]:
        """Who feeds `name`."""
        return [a for a, b in self.edges if b == name]

    def targets(self, name: str) -> list[str]:
        """Whom `name` feeds."""
        return [b for a, b in self.edges if a == name]

    def add(self, name: str, part: Part, *sources: str) -> str:
        """Puts a part behind others, under a name that is not taken."""
        taken, number = {*self.nodes, INPUT, OUTPUT}, 1
        name = base = name.replace(".", "_")
        while name in taken:
            number += 1
            name = f"{base}_{number}"
        self.nodes[name] = part
        self.edges += [(source, name) for source in sources]
        return name

    def shapes(self) -> dict[str, Shape]:
        """What comes out of every part."""
        found = {INPUT: self.shape}
        waiting = list(self.nodes)
        while waiting:  # in a cycle, or in a file, a part may come before those that feed it
            left = []
            for name in waiting:
                known = [source for source in self.sources(name) if source in found]
                if known:
                    found[name] = self.nodes[name].out(found[known[0]])
                else:
                    left.append(name)
            if len(left) == len(waiting):
                raise ValueError(f"{left[0]} is fed by nothing that the input reaches")
            waiting = left
        return found

    def neurons(self) -> Iterator[tuple[str, Neurons]]:
        """The spiking parts, by name."""
        return ((name, part) for name, part in self.nodes.items() if isinstance(part, Neurons))

    def resets(self) -> set[str]:
        """How the neurons reset."""
        return {part.reset for _, part in self.neurons()}

    def fold(self, kinds: tuple[type, ...], keep: bool = False) -> "Parts":
        """Factors and the divisors of averages moved into the maps that follow: no part stands for them.

        Args:
            kinds: parts whose factor moves: `Factor`, which goes, and `Pool`, which then stands for a sum.
            keep: leave a factor that reaches something else than a map, instead of refusing it.
        Raises:
            ValueError: a factor that reaches something else than a map, naming its part.
        """
        folded = replace(self, nodes=dict(self.nodes), edges=list(self.edges))
        for name, part in self.nodes.items():
            if not isinstance(part, kinds):
                continue
            value = part.value if isinstance(part, Factor) else 1 / prod(part.kernel)  # type: ignore[union-attr]
            if isinstance(part, Pool):
                if part.total or value == 1:
                    continue
                folded.nodes[name] = replace(part, total=True)
            maps = folded._maps_behind(name) if np.ndim(value) == 0 else None
            if maps is None:
                if keep and isinstance(part, Factor):
                    continue
                what = "a height of spikes" if isinstance(part, Factor) else "an average"
                raise ValueError(
                    f"{name} is {what} that reaches neurons or the output without a map between, which this"
                    " reader has no node for"
                )
            for one in maps:
                linear: Any = folded.nodes[one]
                folded.nodes[one] = replace(linear, weight=linear.weight * linear.weight.dtype.type(value))
            if isinstance(part, Factor):
                folded._drop(name)
        return folded

    def _maps_behind(self, name: str) -> list[str] | None:
        """The maps that read `name`, through pooling and flattening; None if something else does, or a map
        reads other parts as well."""
        found = []
        for target in self.targets(name):
            part = self.nodes.get(target)
            if len(self.sources(target)) > 1:
                return None
            if isinstance(part, LINEAR):
                found.append(target)
            elif isinstance(part, Pool | Flat | Factor):
                behind = self._maps_behind(target)
                if behind is None:
                    return None
                found += behind
            else:
                return None
        return found

    def _drop(self, name: str) -> None:
        before, behind = self.sources(name), self.targets(name)
        self.edges = [(a, b) for a, b in self.edges if name not in (a, b)]
        self.edges += [(a, b) for a in before for b in behind]
        del self.nodes[name]


def per_neuron(value: Array, shape: Shape) -> Array:
    """(1,) or a value for each channel (C,), as float64 in a layer's shape."""
    value = np.asarray(value, np.float64)
    if value.size > 1:
        value = value.reshape(-1, *[1] * (len(shape) - 1))
    return np.broadcast_to(value, shape).copy()
