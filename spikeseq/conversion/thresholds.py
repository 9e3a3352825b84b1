"""Thresholds from currents, layer by layer (thesis algorithm 1): each sees the spikes of those before it."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from ..nn.activation import SpikingActivation, with_time
from ..nn.clock import Clock, NetworkState, running
from ..nn.network import SpikingNetwork

Layers = Sequence[tuple[str, SpikingActivation, int]]


class _Reached(Exception):
    """A pass has come to the layer that is measured."""

    def __init__(self, currents: Tensor) -> None:
        self.currents = currents


def currents_of(
    model: SpikingNetwork, place: int, x: Tensor, substeps: int, generator: torch.Generator
) -> Iterator[Tensor]:
    """The currents of the `place`-th layer of neurons at every sub-step, (rows, B, *) a piece.

    Args:
        x: (B, *), analog values.
    """

    def tap(seen: int, currents: Tensor) -> None:
        if seen == place:
            raise _Reached(currents)

    state: NetworkState | None = None
    for start in range(0, substeps, model.piece):
        steps = min(model.piece, substeps - start)
        held = model.encoding == "direct" and model.held
        rows = x.unsqueeze(0) if held else model.encode(x, steps, generator)
        clock = Clock(len(rows), steps if held else 1, len(x), state, tap=tap)
        try:
            with running(clock):
                model.network(rows.flatten(0, 1))
        except _Reached as reached:
            yield with_time(reached.currents, clock.layout(reached.currents)[0])
        state = tuple(clock.after)


def statistic(currents: Tensor, method: str, percentile: float) -> float:
    """The largest value, or the smallest that `percentile` % do not exceed, over one sub-step's currents."""
    values = currents.flatten()
    if method == "max":
        return float(values.max())
    rank = min(max(math.ceil(percentile / 100 * values.numel()), 1), values.numel())
    return float(values.kthvalue(rank).values)


@torch.no_grad()
def balance(
    model: SpikingNetwork,
    layers: Layers,
    batches: Sequence[Tensor],
    *,
    method: str,
    percentile: float,
    substeps: int,
    scaled: bool,
    seed: int,
    progress: Callable[[int, int, str, float], None] | None = None,
) -> list[float]:
    """Sets the threshold of every layer to the largest statistic of its currents; returns them, in order.

    The statistic is taken of each sub-step of each batch, and the largest kept (thesis algorithms 1 and 4).

    Args:
        layers: name, module and call, in the order of the pass.
        scaled: spikes count as much as the threshold, so that all layers are in the units of the ANN.
        progress: called with layers done, their number, name and threshold.
    Raises:
        ValueError: a layer whose statistic is not positive.
    """
    found = []
    for place, (name, module, call) in enumerate(layers):
        generator = torch.Generator(batches[0].device).manual_seed(seed)
        value = max(
            statistic(row, method, percentile)
            for batch in batches
            for piece in currents_of(model, place, batch, substeps, generator)
            for row in piece
        )
        if not (math.isfinite(value) and value > 0):
            what, other = "the largest", ""
            if method == "percentile":
                what = f"percentile {percentile:g}"
                other = ", or a higher percentile, or method='max' (conversion.statistic=max)"
            raise ValueError(
                f"{name}: {what} of its currents is {value:.4g} with calibration_substeps={substeps}, and a"
                " threshold must be positive; the deeper a layer, the later spikes come there: give more"
                f" calibration_substeps (conversion.substeps of a recipe){other}"
            )
        module.neurons[call].threshold.fill_(value)  # type: ignore[union-attr,operator]
        if scaled:
            module.set_height(call, value)
        found.append(value)
        if progress:
            progress(place + 1, len(layers), name, value)
    return found
