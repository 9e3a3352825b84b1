"""Ready-made models, each built from the library's layers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from .arguments import with_surrogate
from .sentiment import BagOfWords, RecurrentClassifier, SpikingClassifier

CLASSIFIERS = ("snn", "lstm", "gru", "rnn", "bow")


def build_classifier(config: Mapping[str, Any], vocabulary: int, classes: int) -> nn.Module:
    """A text classifier from the section `model` of a configuration: its `name`, and arguments by name.

    The surrogate of an `snn` is given as `surrogate`, `height` and `surrogate_width`.

    Raises:
        ValueError: for an unknown name.
    """
    arguments = {str(key): value for key, value in config.items() if value is not None}
    name = arguments.pop("name")
    if name == "snn":
        return SpikingClassifier(vocabulary, classes, **with_surrogate(arguments))
    if name == "bow":
        return BagOfWords(vocabulary, classes)
    if name in CLASSIFIERS:
        return RecurrentClassifier(vocabulary, classes, kind=name, **arguments)
    raise ValueError(f"model must be one of {', '.join(CLASSIFIERS)}, got {name!r}")


__all__ = ["CLASSIFIERS", "BagOfWords", "RecurrentClassifier", "SpikingClassifier", "build_classifier"]
