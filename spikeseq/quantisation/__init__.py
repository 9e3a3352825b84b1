"""Models of few bits: trained with rounded operands, so that what is deployed scores what was trained."""

from .maps import QuantisedLinear, QuantisedTable
from .recurrent import KINDS, QuantisedRecurrence, QuantisedRNN
from .step import BITS, STATE_BITS, Quantiser, quantised

__all__ = [
    "BITS",
    "KINDS",
    "STATE_BITS",
    "QuantisedLinear",
    "QuantisedRNN",
    "QuantisedRecurrence",
    "QuantisedTable",
    "Quantiser",
    "quantised",
]
