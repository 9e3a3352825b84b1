"""Energy of an image network beside its ReLU twin, by the formula of thesis table 5.3."""

from collections.abc import Mapping
from typing import Any

from .thesis import TABLE_5_3, table_5_3_ratio

INSIDE = "network."  # a spiking network's layers have the names of its twin's behind it
LEGEND = (
    "operations: additions per operation of the ReLU twin, in layers that spikes reach. first layer: share of"
    " the twin's operations whose input is analog. ratio: energy of the twin / of the spiking network."
)

Layers = Mapping[str, Mapping[str, float]]


def table_5_3(layers: Layers, dense: Layers) -> dict[str, float]:
    """Operations and energy of a spiking network relative to the same network with ReLU.

    Args:
        layers: of the spiking network, per image, as `measure_energy` gives them.
        dense: of its twin, in which every value costs a MAC.
    Returns:
        "operations": additions per operation of the twin, in the layers that spikes reach (b in the
        table); "first": share of the twin's operations in layers with analog input, which cost the same in
        both (c); "ratio": energy of the twin / of the spiking network.
    """
    first = total = additions = 0.0
    for name, counts in dense.items():
        macs = counts.get("macs", 0.0)
        own = layers.get(INSIDE + name, {})
        total += macs
        first += macs if own.get("macs") else 0.0
        additions += own.get("acs", 0.0)
    share, operations = first / total, additions / max(total - first, 1.0)
    return {"operations": operations, "first": share, "ratio": table_5_3_ratio(operations, share)}


def table_5_3_rows(runs: Mapping[str, dict[str, Any]]) -> list[dict[str, str]]:
    """The table's lines: ours, of those runs that have spikes, and the thesis's.

    Args:
        runs: metrics of finished runs by name.
    """
    ours = {name: metrics["energy"]["table_5_3"] for name, metrics in runs.items() if spiking(metrics)}
    rows = [
        line(name, one["operations"], one["first"], one["ratio"], runs[name]["test"].get("accuracy"))
        for name, one in ours.items()
    ]
    thesis = [line(f"thesis 5.3: {name}", *figures, None) for name, figures in TABLE_5_3.items()]
    return rows + thesis if rows else []


def spiking(metrics: dict[str, Any]) -> bool:
    return "table_5_3" in metrics["energy"]


def line(name: str, operations: float, first: float, ratio: float, accuracy: float | None) -> dict[str, str]:
    return {
        "model": name,
        "operations": f"{operations:.3f}",
        "first layer": f"{first:.3f}",
        "ratio": f"{ratio:.1f}",
        "test %": "" if accuracy is None else f"{accuracy:.2f}",
    }
