"""What a model costs: operations counted on real inputs, and priced."""

from spikeseq.evaluation.energy.measure import measure_energy

__all__ = ["measure_energy"]
