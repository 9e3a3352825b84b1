"""What is lost where a format cannot say what a network does, and how much that is."""

from dataclasses import replace

import torch
from torch import Tensor

from .network import Fires, Network, Remembers
from .parts import Neurons, Parts
from .readers import Reader


class LossyExchange(UserWarning):
    """Something was written as the nearest that the format can say. `share`: of the spikes that differ."""

    def __init__(self, what: str, share: float) -> None:
        super().__init__(f"{what}: {share:.2%} of all spike decisions differ")
        self.what, self.share = what, share


def default_example(parts: Parts, steps: int = 100, batch: int = 8) -> Tensor:
    """Normal inputs (steps / substeps, batch, *), the same every time."""
    rows = max(1, steps // parts.substeps)
    drawn = torch.randn(rows, batch, *parts.shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(dtype_of(parts))


def dtype_of(parts: Parts) -> torch.dtype:
    """What its membranes are in."""
    kinds = {part.dtype for _, part in parts.neurons()}
    return torch.float64 if "float64" in kinds else torch.float32


@torch.no_grad()
def share_of_difference(parts: Parts, reader: Reader, example: Tensor | None = None) -> float:
    """The share of spike decisions of all neurons that differ from ours in what the reader is told.

    A decision is one neuron at one step; several spikes a step count as one that differs.
    """
    x = default_example(parts) if example is None else example
    ours, theirs = spikes(parts, x), spikes(told(parts, reader), x, None if reader.resets else reader)
    total = sum(one.numel() for one in ours.values())
    return sum(int((ours[name] != theirs[name]).sum()) for name in ours) / total


def told(parts: Parts, reader: Reader) -> Parts:
    """The network that the reader makes: with the reset that it has, and membranes that start at zero."""
    reset = reader.resets[0] if reader.resets else "soft_immediate"
    changed = replace(parts, nodes=dict(parts.nodes), edges=list(parts.edges))
    for name, part in parts.neurons():
        changed.nodes[name] = replace(part, reset=reset, initial=0.0)
    return changed


def spikes(parts: Parts, x: Tensor, several: Reader | None = None) -> dict[str, Tensor]:
    """The spikes of every layer of neurons, by its name; of a reader's that fire several times a step, if one
    is given."""
    network, found = Network(parts), dict[str, Tensor]()
    for key, module in list(network.layers.items()):
        if isinstance(module, Fires):
            network.layers[key] = Told(module, several, key, found)
    network(x)
    return found


class Told(Remembers):
    """Neurons that keep what they fired, in chunks of a cycle one after the other."""

    def __init__(self, fires: Fires, several: Reader | None, key: str, found: dict[str, Tensor]) -> None:
        super().__init__()
        self.fires, self.several, self.key, self.found = fires, several, key, found

    def forward(self, x: Tensor, state: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.several is not None:
            out, state = subtracting(self.fires.part, x, state, self.several.floor)
        else:
            out, state = self.fires(x, state)
        old = self.found.get(self.key)
        self.found[self.key] = out if old is None else torch.cat([old, out])
        return out, state


def subtracting(part: Neurons, x: Tensor, u: Tensor | None, floor: bool) -> tuple[Tensor, Tensor]:
    """Neurons that fire once for every threshold in their membrane, and subtract them all; with a floor,
    membranes without a leak stay above minus one."""
    leak, gain, threshold = (
        torch.as_tensor(one, dtype=x.dtype) for one in (part.leak, part.gain, part.threshold)
    )
    u = torch.zeros_like(x[0]) if u is None else u
    out = []
    for row in x:
        u = leak * u + gain * row
        counts = torch.div(u, threshold, rounding_mode="trunc").clamp(min=0)
        u = u - counts * threshold
        u = torch.maximum(u, -threshold) if floor and (part.leak == 1).all() else u
        out.append(counts)
    return torch.stack(out), u
