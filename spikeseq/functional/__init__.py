"""Pure functions: the spiking neuron and its surrogates."""

from .lif import READOUTS, RESETS, lif
from .norm_lif import norm_lif
from .spike import spike_of
from .surrogates import (
    SURROGATES,
    ApproximateLIF,
    ArcTan,
    FastSigmoid,
    PiecewiseLinear,
    Sigmoid,
    SpikeTime,
    Surrogate,
)

__all__ = [
    "READOUTS",
    "RESETS",
    "SURROGATES",
    "ApproximateLIF",
    "ArcTan",
    "FastSigmoid",
    "PiecewiseLinear",
    "Sigmoid",
    "SpikeTime",
    "Surrogate",
    "lif",
    "norm_lif",
    "spike_of",
]
