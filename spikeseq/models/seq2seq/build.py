"""Encoder-decoders by name: FAMILY-ENCODER-DECODER."""

from collections.abc import Mapping, Sequence
from typing import Any

from ...nn import LIF, NormalisedLIF
from ..arguments import by_name, check_arguments, with_surrogate
from .base import Seq2Seq
from .convolutional import ConvSeq2Seq
from .recurrent import RecurrentSeq2Seq
from .stacks import SpikingStack

RECURRENT = ("snn", "gru", "lstm")
SIDES = {"vanilla": RECURRENT, "attention": RECURRENT, "conv": ("snn", "ann")}
MODELS = tuple(
    f"{family}-{encoder}-{decoder}"
    for family, sides in SIDES.items()
    for encoder in sides
    for decoder in sides
)


def build_seq2seq(config: Mapping[str, Any], source_vocabulary: int, target_vocabulary: int) -> Seq2Seq:
    """A model from the section `model` of a configuration: its `name`, such as "conv-snn-ann", and arguments.

    The surrogate of spiking sides is given as `surrogate`, `height` and `surrogate_width`; a pair
    of leaks as `leaks`, and `start` as `carry_state`.

    Raises:
        ValueError: for an unknown name, or an argument that the model refuses.
        TypeError: for an argument that this model has not.
    """
    name, given = by_name(config, MODELS)
    arguments = {key: plain(value) for key, value in given.items()}
    family, encoder, decoder = name.split("-")
    kinds = (ConvSeq2Seq, NormalisedLIF) if family == "conv" else (RecurrentSeq2Seq, SpikingStack)
    check_arguments(name, arguments, *kinds, LIF, beside=("leaks", "carry_state"))
    arguments = with_surrogate(arguments) | {"encoder": encoder, "decoder": decoder}
    if leaks := arguments.pop("leaks", []):
        arguments["leak"] = leaks
    if "carry_state" in arguments:
        arguments["start"] = arguments.pop("carry_state")
    if family == "conv":
        return ConvSeq2Seq(source_vocabulary, target_vocabulary, **arguments)
    attention = family == "attention"
    return RecurrentSeq2Seq(source_vocabulary, target_vocabulary, attention=attention, **arguments)


def plain(value: Any) -> Any:
    """A configuration's list as a list."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
