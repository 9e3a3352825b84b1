"""Energy of an image network beside its ReLU twin, by the formula of thesis table 5.3."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.energy.thesis import TABLE_5_3, table_5_3_ratio
from spikeseq.modules import class_of, refuse, rewritten
from spikeseq.nn import LIF, SpikingNetwork
from spikeseq.watch import Call, Watcher

INSIDE = "network."  # a spiking network's layers have the names of its twin's behind it
LEGEND = (
    "operations: spike rate times the twin's operations (eq. 5.20), in layers that spikes reach. first layer:"
    " share of the twin's operations with analog input. ratio: energy of the twin / of the spiking network."
    " counted: the same with every addition counted, one for each spike that is pooled."
)

Layers = Mapping[str, Mapping[str, float]]


@torch.no_grad()
def calls(model: SpikingNetwork, x: Tensor) -> list[Call]:
    """Every call of a layer of neurons or of a map in a pass, in order."""
    found: list[Call] = []
    kinds = (LIF, nn.Conv2d, nn.Linear)
    layers = {name: module for name, module in model.named_modules() if class_of(module) in kinds}
    with Watcher(layers, after=found.append):
        model(x)
    return found


def feeding_neurons(model: SpikingNetwork, x: Tensor) -> dict[str, str | None]:
    """For each map of a network, by name, the layer of neurons whose spikes it reads; None: analog input.

    That is the last one that fired before it, which holds for networks that compute a shortcut first.
    """
    fired: str | None = None
    found: dict[str, str | None] = {}
    for call in calls(model, x):
        if class_of(call.module) is LIF:
            fired = call.name
        else:
            found.setdefault(call.name, fired)
    return found


def additions_per_spike(model: SpikingNetwork, x: Tensor) -> dict[str, float]:
    """Additions that a spike of each layer of neurons causes, by eq. 5.20: of the maps that read the layer.

    Args:
        x: an input, (1, *).
    Raises:
        ValueError: a map has a forward of its own.
    """
    fired: str | None = None
    neurons: dict[str, float] = {}
    additions: dict[str, float] = {}  # were all to fire, in all sub-steps
    for call in calls(model, x):
        if class_of(call.module) is LIF:
            fired = call.name
            neurons[fired] = neurons.get(fired, 0.0) + call.output[0].numel()
        elif fired is not None:
            if reason := rewritten(call.module):
                refuse(call.name, call.module, reason, "only plain maps have additions by eq. 5.20")
            fan_in = call.module.weight[0].numel()
            additions[fired] = additions.get(fired, 0.0) + call.output.numel() * fan_in
    return {name: additions.get(name, 0.0) / count for name, count in neurons.items()}


def table_5_3(layers: Layers, dense: Layers, feeding: Mapping[str, str | None]) -> dict[str, float]:
    """Operations and energy of a spiking network relative to the same network with ReLU.

    Args:
        layers: of the spiking network, per image, as `measure_energy` gives them.
        dense: of its twin, in which every value costs a MAC.
        feeding: as `feeding_neurons`.
    Returns:
        "operations": b of the table, by eq. 5.20: spike rate of the layer before times the twin's
        operations, in layers that spikes reach, relative to the twin's; "first": c, the share of the twin's
        operations in layers with analog input, which cost the same in both; "ratio": energy of the twin / of
        the spiking network. Eq. 5.20 takes the mean of pooled spikes for one addition; "measured_operations"
        and "measured_ratio" count an addition for every spike.
    """
    first = total = by_rate = additions = 0.0
    for name, counts in dense.items():
        macs, own, neurons = counts.get("macs", 0.0), INSIDE + name, feeding.get(INSIDE + name)
        total += macs
        if neurons is None and not layers.get(own, {}).get("acs"):
            first += macs
        elif neurons is None:  # Poisson spikes
            by_rate += layers[own]["acs"]
        else:
            by_rate += macs * layers.get(neurons, {}).get("spike_rate", 0.0)
        additions += layers.get(own, {}).get("acs", 0.0)
    share, rest = first / total, max(total - first, 1.0)
    return {
        "operations": by_rate / rest,
        "first": share,
        "ratio": table_5_3_ratio(by_rate / rest, share),
        "measured_operations": additions / rest,
        "measured_ratio": table_5_3_ratio(additions / rest, share),
    }


def table_5_3_rows(runs: Mapping[str, dict[str, Any]]) -> list[dict[str, str]]:
    """The table's lines: ours, of those runs that have spikes, and the thesis's.

    Args:
        runs: metrics of finished runs by name.
    """
    ours = {name: metrics["energy"]["table_5_3"] for name, metrics in runs.items() if spiking(metrics)}
    rows = [
        line(name, one["operations"], one["first"], one["ratio"], one["measured_ratio"], runs[name]["test"])
        for name, one in ours.items()
    ]
    thesis = [line(f"thesis 5.3: {name}", *figures) for name, figures in TABLE_5_3.items()]
    return rows + thesis if rows else []


def spiking(metrics: dict[str, Any]) -> bool:
    return "table_5_3" in metrics["energy"]


def line(
    name: str,
    operations: float,
    first: float,
    ratio: float,
    counted: float | None = None,
    test: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    accuracy = (test or {}).get("accuracy")
    return {
        "model": name,
        "operations": f"{operations:.3f}",
        "first layer": f"{first:.3f}",
        "ratio": f"{ratio:.1f}",
        "counted": "" if counted is None else f"{counted:.1f}",
        "test %": "" if accuracy is None else f"{accuracy:.2f}",
    }
