"""Ready-made models, each built from the library's layers."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from ..nn import LIF, SpikingRNN
from .arguments import by_name, check_arguments, with_surrogate
from .bag import BagOfWords
from .sentiment import RecurrentClassifier, SpikingClassifier

CLASSIFIERS = ("snn", "lstm", "gru", "rnn", "bow")


def build_classifier(config: Mapping[str, Any], vocabulary: int, classes: int) -> nn.Module:
    """A text classifier from the section `model` of a configuration: its `name`, and arguments by name.

    The surrogate of an `snn` is given as `surrogate`, `height` and `surrogate_width`.

    Raises:
        ValueError: for an unknown name. TypeError: for an argument that this model has not.
    """
    name, arguments = by_name(config, CLASSIFIERS)
    if name == "snn":
        check_arguments(name, arguments, SpikingClassifier, SpikingRNN, LIF)
        return SpikingClassifier(vocabulary, classes, **with_surrogate(arguments))
    kind = BagOfWords if name == "bow" else RecurrentClassifier
    check_arguments(name, arguments, kind)
    given: dict[str, Any] = {} if name == "bow" else {"kind": name}
    return kind(vocabulary, classes, **given, **arguments)


__all__ = ["CLASSIFIERS", "BagOfWords", "RecurrentClassifier", "SpikingClassifier", "build_classifier"]
