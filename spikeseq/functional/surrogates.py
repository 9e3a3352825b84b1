"""The surrogates by the name under which models that were pickled before look for them."""

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

__all__ = [
    "SURROGATES",
    "ApproximateLIF",
    "ArcTan",
    "FastSigmoid",
    "PiecewiseLinear",
    "Sigmoid",
    "SpikeTime",
    "Surrogate",
]
