"""Language models: tokens and a state in, logits of the next token and the state out."""

from collections.abc import Mapping
from typing import Any

from ..arguments import with_surrogate
from .base import LanguageModel
from .baselines import RNNS, RecurrentLanguageModel, TransformerLanguageModel
from .ngrams import NGramEmbedding
from .sampling import check_sampling, draw
from .spiking import SpikingBlock, SpikingLanguageModel, TokenShift
from .stream import StreamedLanguageModel

LANGUAGE_MODELS = ("snn", *RNNS, "transformer")


def build_language_model(config: Mapping[str, Any], vocabulary: int) -> LanguageModel:
    """A language model from the section `model` of a configuration: its `name`, and arguments by name.

    The surrogate of an `snn` is given as `surrogate`, `height` and `surrogate_width`.

    Raises:
        ValueError: for an unknown name.
    """
    arguments = {str(key): value for key, value in config.items() if value is not None}
    name = arguments.pop("name")
    if name == "snn":
        leak = arguments.pop("leak")
        leaks = list(arguments.pop("leaks")) or [leak, leak]
        return SpikingLanguageModel(vocabulary, leaks=leaks, **with_surrogate(arguments))
    if name == "transformer":
        return TransformerLanguageModel(vocabulary, **arguments)
    if name in RNNS:
        return RecurrentLanguageModel(vocabulary, kind=name, **arguments)
    raise ValueError(f"model must be one of {', '.join(LANGUAGE_MODELS)}, got {name!r}")


__all__ = [
    "LANGUAGE_MODELS",
    "LanguageModel",
    "NGramEmbedding",
    "RecurrentLanguageModel",
    "SpikingBlock",
    "SpikingLanguageModel",
    "StreamedLanguageModel",
    "TokenShift",
    "TransformerLanguageModel",
    "build_language_model",
    "check_sampling",
    "draw",
]
