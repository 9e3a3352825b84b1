"""What a model costs, operations and energy, and how well it translates.

Names are imported when they are used: who scores translations does not wait for the energy account.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spikeseq.evaluation.bleu import detokenise, paired_bootstrap, score
    from spikeseq.evaluation.energy.measure import measure_energy

_FROM = {
    "detokenise": "bleu",
    "measure_energy": "energy.measure",
    "paired_bootstrap": "bleu",
    "score": "bleu",
}


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FROM[name]}"), name)


__all__ = ["detokenise", "measure_energy", "paired_bootstrap", "score"]
