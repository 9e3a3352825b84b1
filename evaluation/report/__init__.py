"""One page for a run or for runs side by side, that opens from a disk without a network."""

from spikeseq.evaluation.report.page import write_report

__all__ = ["write_report"]
