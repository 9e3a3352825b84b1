"""Language models: tokens and a state in, logits of the next token and the state out."""

from collections.abc import Mapping
from typing import Any

from ...nn import LIF
from ..arguments import by_name, check_arguments, with_surrogate
from ..ngrams import NGramEmbedding
from .base import LanguageModel
from .baselines import RNNS, RecurrentLanguageModel, TransformerLanguageModel
from .sampling import check_sampling, draw
from .spiking import SpikingBlock, SpikingLanguageModel, TokenShift
from .stream import StreamedLanguageModel

LANGUAGE_MODELS = ("snn", *RNNS, "transformer")


def build_language_model(config: Mapping[str, Any], vocabulary: int) -> LanguageModel:
    """A language model from the section `model` of a configuration: its `name`, and arguments by name.

    The surrogate of an `snn` is given as `surrogate`, `height` and `surrogate_width`.

    Raises:
        ValueError: for an unknown name. TypeError: for an argument that this model has not.
    """
    name, arguments = by_name(config, LANGUAGE_MODELS)
    if name == "snn":
        check_arguments(name, arguments, SpikingLanguageModel, SpikingBlock, LIF)
        leak, leaks = arguments.pop("leak", None), list(arguments.pop("leaks", []))
        if leaks or leak is not None:
            arguments["leaks"] = leaks or [leak, leak]
        return SpikingLanguageModel(vocabulary, **with_surrogate(arguments))
    kind = TransformerLanguageModel if name == "transformer" else RecurrentLanguageModel
    check_arguments(name, arguments, kind)
    given: dict[str, Any] = {} if name == "transformer" else {"kind": name}
    return kind(vocabulary, **given, **arguments)


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
