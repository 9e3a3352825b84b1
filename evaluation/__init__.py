"""What a model costs, operations and energy, and how well it translates."""

from .bleu import detokenise, paired_bootstrap, score
from .energy import measure_energy

__all__ = ["detokenise", "measure_energy", "paired_bootstrap", "score"]
