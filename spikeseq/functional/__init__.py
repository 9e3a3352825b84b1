"""Pure functions: the spiking neuron, its surrogates, and encoders."""

from ..neuron import READOUTS, RESETS
from ..surrogates import (
    SURROGATES,
    ApproximateLIF,
    ArcTan,
    FastSigmoid,
    PiecewiseLinear,
    Sigmoid,
    SpikeTime,
    Surrogate,
)
from .encoders import direct, poisson
from .lif import lif
from .norm_lif import norm_lif
from .spike import spike_of

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
    "direct",
    "lif",
    "norm_lif",
    "poisson",
    "spike_of",
]
