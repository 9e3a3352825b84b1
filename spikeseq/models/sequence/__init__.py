"""Classifiers of long sequences: rows and a state in, logits and the state out."""

from collections.abc import Mapping
from typing import Any

from ...nn import LIF
from ..arguments import by_name, check_arguments, with_surrogate
from ..language.baselines import RNNS
from ..language.spiking import SpikingBlock, SpikingBlocks
from .front import PADDING, Oscillators, TokenFront, ValueFront
from .model import RecurrentBody, SequenceClassifier

SEQUENCE_CLASSIFIERS = ("snn", *RNNS)
VALUES = {"recent": None, "modes": 0, "span": 1000}
TOKENS = {"ngrams": (), "ngram_rows": 1000}
WHOLE = {"readout": "mean", "front_dropout": 0.0, "output_dropout": 0.0}
"""Arguments beside those of the body, and what they are by default."""


def build_sequence_classifier(
    config: Mapping[str, Any], classes: int, *, vocabulary: int | None = None, channels: int = 1
) -> SequenceClassifier:
    """A classifier from the section `model` of a configuration: its `name`, and arguments by name.

    `embedding_size` and `stride` are those of the front, `recent`, `modes`, `span` or `ngrams`, `ngram_rows`
    what it sees; `readout`, `front_dropout`, `output_dropout` are of the whole, all others of the body. The
    surrogate of an `snn` is given as `surrogate`, `height` and `surrogate_width`.

    Args:
        vocabulary: tokens of a sequence, 0 being padding; None where rows are `channels` values.
    Raises:
        ValueError: for an unknown name. TypeError: for an argument that this model has not.
    """
    name, arguments = by_name(config, SEQUENCE_CLASSIFIERS)
    beside = (*VALUES, *TOKENS, *WHOLE, "embedding_size", "stride", "neurons", "layers")
    bodies = (SpikingBlock, LIF) if name == "snn" else (RecurrentBody,)
    check_arguments(name, arguments, *bodies, beside=beside)
    take = {key: arguments.pop(key, default) for key, default in (VALUES | TOKENS | WHOLE).items()}
    width, stride = arguments.pop("embedding_size", 64), arguments.pop("stride", 1)
    of_values, of_tokens, of_whole = ({key: take[key] for key in part} for part in (VALUES, TOKENS, WHOLE))
    front: ValueFront | TokenFront
    if vocabulary is None:
        front = ValueFront(channels, width, stride=stride, **of_values)
    else:
        front = TokenFront(vocabulary, width, stride=stride, **of_tokens)
    if name == "snn":
        leak, leaks = arguments.pop("leak", None), list(arguments.pop("leaks", []))
        if leaks or leak is not None:
            arguments["leaks"] = leaks or [leak, leak]
        neurons, layers = arguments.pop("neurons", 128), arguments.pop("layers", 2)
        body: Any = SpikingBlocks(width, neurons, layers, **with_surrogate(arguments))
    else:
        body = RecurrentBody(width, kind=name, **arguments)
    return SequenceClassifier(front, body, classes, **of_whole)


__all__ = [
    "PADDING",
    "SEQUENCE_CLASSIFIERS",
    "Oscillators",
    "RecurrentBody",
    "SequenceClassifier",
    "TokenFront",
    "ValueFront",
    "build_sequence_classifier",
]
