"""Spiking layers. State is explicit: it goes in and comes out, and no module keeps any between calls."""

from .cell import SpikingRNNCell
from .dropout import SequenceDropout
from .lif import LIF, Integrator, LIFCell, project_parameters
from .rnn import SpikingRNN
from .state import detach_state, reorder_state, select_state

__all__ = [
    "LIF",
    "Integrator",
    "LIFCell",
    "SequenceDropout",
    "SpikingRNN",
    "SpikingRNNCell",
    "detach_state",
    "project_parameters",
    "reorder_state",
    "select_state",
]
