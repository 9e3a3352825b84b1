"""Backbones for images, one definition for an ANN and its spiking twin."""

from typing import Any

from torch import nn

from ...checks import choice, positive_int
from ...nn.network import ENCODINGS, SpikingNetwork
from .parts import ACTIVATIONS, NORMS, Parts, check_width
from .plain import PLANS as PLAIN
from .plain import PlainNet
from .residual import PLANS as RESIDUAL
from .residual import STEMS, ResNet

BACKBONES = (*PLAIN, *RESIDUAL)


def build_backbone(
    name: str,
    *,
    activation: str = "relu",
    classes: int = 10,
    channels: int = 3,
    size: int = 32,
    width: float = 1.0,
    hidden: int | None = None,
    dropout: float = 0.2,
    norm: str = "none",
    stem: str = "three",
    substeps: int = 5,
    encoding: str = "direct",
    **neuron: Any,
) -> nn.Module:
    """A backbone with fresh weights: (N, channels, size, size) images to (N, classes).

    Average pooling, no bias anywhere, and by default no normalisation: the constraints under which an ANN
    can be converted (thesis 4.3, 5.4). The state dicts of an ANN and its spiking twin name the same weights.

    Args:
        name: one of `BACKBONES`: lenet, cifarnet, vgg5, 6, 9, 11, 13, 16, 19, resnet8, 20, 34, 50.
        activation: "relu", or "spiking" for a `SpikingNetwork`.
        classes, channels, size: of the data; size in pixels (a resnet also takes images of others).
        width: factor on the channels of convolutions.
        hidden: width of the hidden linear layers, which resnets have none of; default the published one (4096
            in a VGG).
        dropout, norm: as `parts.Parts`.
        stem: of a resnet, "three" or "imagenet".
        substeps, encoding: as `SpikingNetwork`.
        neuron: arguments of `LIF`, such as leak, threshold, surrogate, and `initial` of `SpikingActivation`.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """
    if name not in BACKBONES:
        raise ValueError(f"name must be one of {', '.join(BACKBONES)}, got {name!r}")
    for key, value in (("classes", classes), ("channels", channels), ("size", size)):
        positive_int(key, value)
    check_width(width)
    choice("stem", stem, STEMS)
    choice("encoding", encoding, ENCODINGS)
    if name in PLAIN and stem != STEMS[0]:
        raise ValueError(f"stem is of a resnet, not of {name}; got {stem!r}")
    if hidden is not None:
        positive_int("hidden", hidden)
        if name in RESIDUAL:
            raise ValueError(f"hidden is not of {name}, which has no hidden linear layers; got {hidden}")
    parts = Parts(activation, norm, dropout, substeps, neuron)
    options: dict[str, Any] = {"classes": classes, "channels": channels, "width": width, "parts": parts}
    if name in PLAIN:
        network: nn.Module = PlainNet(PLAIN[name], size=size, hidden=hidden, **options)
    else:
        smallest = 2 if stem == "three" else 1
        if size < smallest:
            raise ValueError(f"size must be at least {smallest} with this stem, got {size}")
        network = ResNet(RESIDUAL[name], stem=stem, **options)
    if activation == "relu":
        return network
    return SpikingNetwork(network, substeps=substeps, encoding=encoding)


__all__ = ["ACTIVATIONS", "BACKBONES", "NORMS", "STEMS", "Parts", "PlainNet", "ResNet", "build_backbone"]
