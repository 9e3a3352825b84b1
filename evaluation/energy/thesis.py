"""The thesis's energy tables (5.3, 6.8, 6.9) and how their figures come about.

The ratios of tables 6.8 and 6.9 do not follow from the equations beside them. Both ways are here, so that
results can be compared like with like; ours go by the equations.
"""

from dataclasses import dataclass

from spikeseq.evaluation.energy.prices import AC, MAC


@dataclass(frozen=True)
class Row:
    """A line of table 6.8 or 6.9.

    Args:
        macs, acs: millions per token; acs before the spike rate is applied.
        spike_rate: None for networks without spikes.
        normalised: energy as printed, relative to the SNN's.
        score: accuracy in %, or BLEU.
    """

    macs: float
    acs: float
    spike_rate: float | None
    normalised: float
    score: float

    @property
    def energy(self) -> float:
        """Microjoules by equations 6.3 to 6.8: every MAC counts, an AC happens at the spike rate."""
        return self.macs * MAC + (self.spike_rate or 0.0) * self.acs * AC

    @property
    def with_scaled_macs(self) -> float:
        """Table 6.8's way: the spike rate also scales the MACs of the first layer, whose input is analog."""
        rate = 1.0 if self.spike_rate is None else self.spike_rate
        return rate * (self.macs * MAC + self.acs * AC)

    @property
    def without_acs(self) -> float:
        """Table 6.9's way: spike rate times MACs, the ACs left out."""
        return (1.0 if self.spike_rate is None else self.spike_rate) * self.macs * MAC


TABLE_6_8 = {
    "rnn": Row(0.06, 0.0, None, 10.5, 82.89),
    "lstm": Row(0.25, 0.0, None, 42.1, 89.26),
    "snn": Row(0.013, 0.017, 0.37, 1.0, 88.54),
}
"""IMDB sentiment."""

UNROUNDED_SNN = Row(100 * 128 / 1e6, (128 * 128 + 128) / 1e6, 0.37, 1.0, 88.54)
"""The SNN of table 6.8 as its layers have it: 100 -> 128 -> 128 -> 1."""

TABLE_6_9 = {
    "gru": Row(15.7, 0.0, None, 28.0, 33),
    "snn": Row(3.1, 2.1, 0.32, 1.8, 15),
    "conv(5)": Row(7.8, 0.0, None, 13.9, 32),
    "convsnn(5)": Row(1.6, 6.3, 0.35, 1.0, 36),
    "conv(10)": Row(15.7, 0.0, None, 28.0, 36),
    "convsnn(10)": Row(1.6, 14.1, 0.36, 1.03, 36),
}
"""Multi30k translation."""

TABLE_5_3 = {
    "VGG6, CIFAR10": (0.14, 0.029, 18.0),
    "VGG16, CIFAR10": (0.39, 0.005, 12.4),
    "VGG16, CIFAR100": (0.40, 0.005, 12.1),
    "VGG16, ImageNet": (0.41, 0.006, 11.7),
    "ResNet20, CIFAR10": (0.76, 0.013, 6.3),
    "ResNet20, CIFAR100": (0.72, 0.013, 6.6),
}
"""Operations of the SNN relative to the ANN's, the first layer's share, and the printed ratio of energies."""


def table_5_3_ratio(operations: float, first: float) -> float:
    """ANN energy / SNN energy: a MAC / (c MAC + (1 - c) b AC), with a = 1."""
    return MAC / (first * MAC + (1 - first) * operations * AC)
