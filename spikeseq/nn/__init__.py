"""Spiking layers. State is explicit: it goes in and comes out, and no module keeps any between calls."""

from .activation import SpikingActivation, StepBatchNorm, TimedDropout
from .attention import AdditiveAttention, DotAttention
from .cell import SpikingRNNCell
from .chunks import run_in_chunks
from .convolution.block import ConvBlock, ReLUConvBlock, SpikingConvBlock
from .convolution.tokens import CausalConv1d, TokenConv1d
from .dropout import SequenceDropout
from .lif import LIF, Integrator, LIFCell, project_parameters
from .network import SpikingNetwork
from .normalised import NormalisedLIF, NormalisedReLU
from .rnn import SpikingRNN
from .state import detach_state, reorder_state, select_state

__all__ = [
    "LIF",
    "AdditiveAttention",
    "CausalConv1d",
    "ConvBlock",
    "DotAttention",
    "Integrator",
    "LIFCell",
    "NormalisedLIF",
    "NormalisedReLU",
    "ReLUConvBlock",
    "SequenceDropout",
    "SpikingActivation",
    "SpikingConvBlock",
    "SpikingNetwork",
    "SpikingRNN",
    "SpikingRNNCell",
    "StepBatchNorm",
    "TimedDropout",
    "TokenConv1d",
    "detach_state",
    "project_parameters",
    "reorder_state",
    "run_in_chunks",
    "select_state",
]
