"""What a model costs, operations and energy, and how well it translates."""

from spikeseq.evaluation.bleu import detokenise, paired_bootstrap, score
from spikeseq.evaluation.energy.measure import measure_energy

__all__ = ["detokenise", "measure_energy", "paired_bootstrap", "score"]
