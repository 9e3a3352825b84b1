"""Time and memory, against recurrent layers and other spiking libraries."""

from spikeseq.evaluation.bench.run import run_bench

__all__ = ["run_bench"]
