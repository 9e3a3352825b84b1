"""Encoder-decoders for translation and other sequence-to-sequence work (thesis 6.5).

Families: recurrent without (`vanilla`) and with attention, and convolutional with attention; each side
spiking or not. All are `Seq2Seq`s: encode once, decode in chunks of any size with an explicit state.
"""

from ...nn.lengths import inside
from .base import BOS, EOS, PAD, SPECIALS, UNK, Decoded, Memory, Seq2Seq
from .build import MODELS, build_seq2seq
from .convolutional import ConvSeq2Seq
from .recurrent import RecurrentSeq2Seq
from .search import Hypothesis, beam_search, greedy

__all__ = [
    "BOS",
    "EOS",
    "MODELS",
    "PAD",
    "SPECIALS",
    "UNK",
    "ConvSeq2Seq",
    "Decoded",
    "Hypothesis",
    "Memory",
    "RecurrentSeq2Seq",
    "Seq2Seq",
    "beam_search",
    "build_seq2seq",
    "greedy",
    "inside",
]
