"""Classifiers of sequences of frames: scores for every class after every frame, whole or as frames come."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from ...checks import check_tensor, positive_int
from ...nn.activation import SpikingActivation
from ...nn.network import SpikingNetwork
from ..backbones.parts import Parts
from ..backbones.plain import check_images

NETWORKS = ("snn", "ann", "gru")
State = tuple[Any, ...]


class VotingNet(nn.Module):
    """A network that votes on every frame; the scores are the mean of all votes so far.

    A spiking network (thesis 6.3) remembers: its membranes go on from frame to frame, so that a vote
    depends on the frames before. One with ReLU, or without `memory`, sees each frame alone.

    Args:
        network: frames (N, C, H, W) to votes (N, classes); a `SpikingNetwork` shows each for its `substeps`.
        memory: whether membranes persist between frames.
    """

    def __init__(self, network: nn.Module, memory: bool = True) -> None:
        super().__init__()
        self.network = network
        self.memory = memory and isinstance(network, SpikingNetwork)

    def forward(self, frames: Tensor) -> Tensor:
        """Scores (L, B, classes) after each of the frames (L, B, C, H, W)."""
        return self.advance(frames)[0]

    def advance(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """The same, going on from what an earlier call has returned; None: from the start."""
        inner, total, seen = state or (None, None, 0)
        votes, inner = self.votes(frames, inner)
        sums = votes.cumsum(0)
        if total is not None:
            sums = sums + total
        number = torch.arange(seen + 1, seen + 1 + len(votes), device=votes.device, dtype=votes.dtype)
        return sums / number.view(-1, 1, 1), (inner, sums[-1], seen + len(votes))

    def votes(self, frames: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The vote on each frame (L, B, classes), in at least float32, and the membranes to go on from."""
        check_frames(frames)
        if not self.memory:
            votes = self.network(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
            return votes.to(torch.promote_types(votes.dtype, torch.float32)), None
        network: Any = self.network
        sums, state = network.advance(frames, state, hold=network.substeps)
        # A stream has no end, so what the output has summed up is not kept.
        return torch.cat((sums[:1], sums.diff(dim=0))), (*state[:-1], None)


class RecurrentNet(nn.Module):
    """The baseline with memory: convolutions with ReLU on every frame, then nn.GRU over frames.

    Args:
        network: frames (N, C, H, W) to features (N, F).
        features: F, and the width of the GRU.
    """

    def __init__(self, network: nn.Module, features: int, classes: int) -> None:
        super().__init__()
        self.network = network
        self.rnn = nn.GRU(features, features)
        self.readout = nn.Linear(features, classes)

    def forward(self, frames: Tensor) -> Tensor:
        """As `VotingNet.forward`."""
        return self.advance(frames)[0]

    def advance(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """As `VotingNet.advance`."""
        features = self.network(check_frames(frames).flatten(0, 1)).relu().unflatten(0, frames.shape[:2])
        outputs, hidden = self.rnn(features, None if state is None else state[0])
        return self.readout(outputs), (hidden,)


class GestureNet(nn.Module):
    """Convolutions, each with a pooling (thesis 6.3), then linear maps: (N, C, size, size) to (N, outputs).

    Args:
        channels, size: of a frame. widths: channels of the convolutions.
        kernel: side of their kernels. pool: side of the squares that each pooling averages.
        hidden: widths of the linear layers before the last. outputs: of the last.
        parts: the kind of network.
        leaks: start values of leaks, spread over the channels of a layer; None: one leak a layer.
    Raises:
        ValueError: frames too small for so many poolings.
    """

    def __init__(
        self,
        channels: int,
        size: int,
        outputs: int,
        *,
        widths: Sequence[int],
        kernel: int,
        pool: int,
        hidden: Sequence[int],
        parts: Parts,
        leaks: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.size = channels, size
        side = size // pool ** len(widths)
        if side == 0:
            raise ValueError(f"size must be at least {pool ** len(widths)} for so many poolings, got {size}")

        def fire(width: int) -> nn.Module:
            return parts.fire() if leaks is None else spread_leaks(parts, width, leaks)

        layers: list[nn.Module] = []
        for width in widths:
            layers += [parts.conv(channels, width, kernel), fire(width), nn.AvgPool2d(pool)]
            channels = width
        self.features = nn.Sequential(*layers)
        maps: list[nn.Module] = []
        features = channels * side * side
        for width in hidden:
            norm = parts.normalise(width, nn.BatchNorm1d)
            maps += [parts.linear(features, width), *norm, fire(width), parts.drop()]
            features = width
        self.classifier = nn.Sequential(*maps, parts.linear(features, outputs))

    def forward(self, x: Tensor) -> Tensor:
        check_images(x, self.channels, self.size)
        return self.classifier(self.features(x).flatten(1))  # type: ignore[no-any-return]


def spread_leaks(parts: Parts, channels: int, leaks: tuple[float, float]) -> SpikingActivation:
    """Neurons with a leak for each channel, that start with memories of lengths between two.

    A direction shows in what has been here just now and what a while ago: one leak knows only one while
    (heterogeneous neurons: Perez-Nieves et al., 2021).
    """
    shortest, longest = (1 / (1 - leak) for leak in leaks)  # sub-steps
    with unset_fake_temporarily():
        lengths = torch.logspace(math.log10(shortest), math.log10(longest), channels, device="cpu")
        spread = (1 - 1 / lengths).tolist()
    return SpikingActivation(**{**parts.neuron, "channels": channels, "leak": spread})


def check_frames(frames: Tensor) -> Tensor:
    """Raises ValueError for another layout."""
    if check_tensor("frames", frames).dim() != 5 or 0 in frames.shape:
        raise ValueError(f"frames must be (L, B, C, height, width) and not empty, got {tuple(frames.shape)}")
    return frames


def build_gesture_network(
    name: str,
    *,
    classes: int = 11,
    channels: int = 2,
    size: int = 64,
    widths: Sequence[int] = (16, 32),
    kernel: int = 5,
    pool: int = 2,
    hidden: int = 128,
    dropout: float = 0.2,
    norm: str = "batch",
    substeps: int = 5,
    memory: bool = True,
    leaks: tuple[float, float] | None = None,
    **neuron: Any,
) -> VotingNet | RecurrentNet:
    """A network with fresh weights: a convolution and a pooling for each of `widths`, then linear maps.

    Two of each are those of thesis 6.3, whose widths it does not give.

    Args:
        name: "snn"; "ann", the same with ReLU; "gru", convolutions with ReLU and a GRU.
        channels, size: of a frame, whose height and width are equal.
        widths: channels of the convolutions. kernel: odd, side of their kernels: a hand moves by several
            pixels from frame to frame. pool: side of the squares that each pooling averages.
        hidden: neurons of the linear layer behind, width of the GRU.
        dropout, norm: as `backbones.Parts`.
        substeps: T that a frame is shown for; 5 as in the thesis. memory: as `VotingNet`.
        leaks: start values of leaks, in [0, 1), spread over the channels of each layer; default one `leak`
            a layer, as in the thesis.
        neuron: arguments of `LIF`, and `initial` of `SpikingActivation`, of an "snn" only.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """
    if name not in NETWORKS:
        raise ValueError(f"name must be one of {', '.join(NETWORKS)}, got {name!r}")
    for key, value in (("classes", classes), ("channels", channels), ("size", size), ("hidden", hidden)):
        positive_int(key, value)
    if not widths:
        raise ValueError("widths must name the channels of one convolution or more, got none")
    for width in widths:
        positive_int("widths", width)
    if positive_int("kernel", kernel) % 2 == 0:
        raise ValueError(f"kernel must be odd, got {kernel}")
    positive_int("pool", pool)
    spiking = name == "snn"
    given = [*neuron, *([] if leaks is None else ["leaks"])]
    if given and not spiking:
        raise ValueError(f"{', '.join(given)} go with 'snn', not with {name!r}")
    numbers = leaks is None or all(isinstance(leak, int | float) for leak in leaks)
    if leaks is not None and not (numbers and len(leaks) == 2 and 0 <= leaks[0] <= leaks[1] < 1):
        raise ValueError(f"leaks must be two numbers in [0, 1), the smaller first, got {leaks}")
    parts = Parts("spiking" if spiking else "relu", norm, dropout, substeps, neuron)
    options: dict[str, Any] = {
        "widths": widths,
        "kernel": kernel,
        "pool": pool,
        "parts": parts,
        "leaks": leaks,
    }
    if name == "gru":
        return RecurrentNet(GestureNet(channels, size, hidden, hidden=[], **options), hidden, classes)
    network: nn.Module = GestureNet(channels, size, classes, hidden=[hidden], **options)
    return VotingNet(SpikingNetwork(network, substeps=substeps) if spiking else network, memory)
