"""Backbones for images, one definition for an ANN and its spiking twin."""

from typing import Any

from torch import nn

from ...functional.lif import positive_int
from ...nn.network import SpikingNetwork
from .parts import ACTIVATIONS, NORMS, Parts
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
        classes, channels, size: of the data; size in pixels (of no account for a resnet).
        width: factor on the channels of convolutions.
        hidden: width of the hidden linear layers; default the published one (4096 in a VGG).
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
    if hidden is not None:
        positive_int("hidden", hidden)
    if not width > 0:
        raise ValueError(f"width must be a positive number, got {width}")
    parts = Parts(activation, norm, dropout, substeps, neuron)
    options: dict[str, Any] = {"classes": classes, "channels": channels, "width": width, "parts": parts}
    if name in PLAIN:
        network: nn.Module = PlainNet(PLAIN[name], size=size, hidden=hidden, **options)
    else:
        network = ResNet(RESIDUAL[name], stem=stem, **options)
    if activation == "relu":
        return network
    return SpikingNetwork(network, substeps=substeps, encoding=encoding)


__all__ = ["ACTIVATIONS", "BACKBONES", "NORMS", "STEMS", "Parts", "PlainNet", "ResNet", "build_backbone"]
