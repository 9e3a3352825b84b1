"""The spiking language model: blocks of neurons on a residual stream, whose membranes remember the text."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_share, choice, positive_int
from ...nn import LIF
from ...nn.layer import SpikingLayer
from ...nn.start import begin, normal
from ..seq2seq.stacks import spread_leaks
from .base import LanguageModel

DECAYS = ("fixed", "input")


class TokenShift(nn.Module):
    """Every feature as a weighted sum of its last K values: a depthwise causal convolution over tokens.

    It starts at random, so that a map behind it sees the last tokens mixed, and can tell their order.

    Args:
        features: D. kernel_size: K.
    """

    def __init__(self, features: int, kernel_size: int) -> None:
        super().__init__()
        self.features, self.kernel_size = features, positive_int("kernel_size", kernel_size)
        self.weight = nn.Parameter(torch.empty(kernel_size, features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal, such that the variance stays."""
        nn.init.normal_(self.weight, std=self.kernel_size**-0.5)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(L, B, D) to (L, B, D), and the last K - 1 inputs (B, K - 1, D)."""
        before = self.kernel_size - 1
        past = x.new_zeros((before, *x.shape[1:])) if state is None else state.transpose(0, 1)
        given = torch.cat((past, x))
        out = given[before:] * self.weight[before]
        for k in range(before):
            out = torch.addcmul(out, given[k : k + x.shape[0]], self.weight[k])
        return out, given[x.shape[0] :].transpose(0, 1)


class SpikingBlock(nn.Module):
    """Normalise, map to currents, neurons, and a map of their spikes back onto the stream.

    The currents of a token hold for all its sub-steps. Neurons forget at different speeds, so that some
    follow letters and some remember a paragraph; weights start so that the membranes of all have one scale.

    Args:
        width: of the stream, D. neurons: N.
        substeps: T; their spikes are added up before the map back.
        leaks: lowest and highest leak at the start, between which time scales are spread evenly in logarithm.
        decay: "fixed", a leak for each neuron; or "input", computed from what comes in for every token and
            neuron, by a map more (after DSN, arXiv 2602.01133).
        kernel_size: tokens that the map sees (`TokenShift`).
        recurrent: neurons hear each other's last spikes.
        mixer: neurons of a second part, which forget everything at each token; 0 for none.
        dropout: share silenced of what goes back onto the stream.
        depth: blocks on the stream, which share its variance at the start.
        neuron: arguments of `nn.LIF`.
    """

    def __init__(
        self,
        width: int,
        neurons: int,
        *,
        substeps: int = 1,
        leaks: Sequence[float] = (0.0, 0.99),
        decay: str = "fixed",
        kernel_size: int = 1,
        recurrent: bool = False,
        mixer: int = 0,
        dropout: float = 0.0,
        depth: int = 1,
        **neuron: Any,
    ) -> None:
        super().__init__()
        choice("decay", decay, DECAYS)
        if recurrent and decay == "input":
            raise ValueError("recurrent=True goes with decay='fixed', got decay='input'")
        if neuron.get("norm") is not None:
            raise ValueError(
                f"norm is no argument of a block, which normalises before its map, got {neuron['norm']!r}"
            )
        positive_int("substeps", substeps)
        if mixer:
            positive_int("mixer", mixer)
        spread = spread_leaks(list(leaks), positive_int("neurons", neurons))
        spread = spread[torch.randperm(neurons, device="cpu")]
        self.norm = nn.LayerNorm(width)
        self.shift = TokenShift(width, kernel_size) if positive_int("kernel_size", kernel_size) > 1 else None
        self.layer = SpikingLayer(
            width, neurons, True, substeps=substeps, recurrent=recurrent, channels=neurons,
            leak=spread.tolist(), learn_leak=decay == "fixed", norm_input=decay == "input", **neuron,
        )  # fmt: skip
        # Behind norm_input a membrane's deviation is sqrt((1 - leak) / (1 + leak)) of its currents', without
        # it 1 / sqrt(1 - leak^2).
        given = self.layer.lif.norm_input
        scales = ((1 + spread) / (1 - spread)).sqrt() if given else (1 - spread**2).sqrt()
        begin(self.layer.input_map, rows, scales=(scales * width**-0.5).tolist())
        self.to_leak = begin(nn.Linear(width, neurons), gate, centres=spread.tolist()) if given else None
        self.to_stream = begin(nn.Linear(neurons, width), normal, std=(neurons * substeps * depth) ** -0.5)
        self.mixer = Mixer(width, mixer, depth, dropout, **neuron) if mixer else None
        self.dropout = nn.Dropout(check_share(dropout))
        self.substeps = substeps

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        return ("to_stream",)

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The stream (L, B, D) after the block, and its state: membranes, and what the shift keeps."""
        membrane, kept = (None, None) if state is None else state
        given = self.norm(x)
        if self.shift is not None:
            given, kept = self.shift(given, kept)
        spikes, membrane = self.fire(given, membrane)
        x = x + self.dropout(self.to_stream(spikes))
        if self.mixer is not None:
            x = self.mixer(x)
        return x, (membrane, kept)

    def fire(self, given: Tensor, membrane: Tensor | None) -> tuple[Tensor, Tensor]:
        """What comes in (L, B, D) to spikes (L, B, N), summed over the sub-steps of a token."""
        readout, T = ("spikes", 1) if self.substeps == 1 else ("rate", self.substeps)
        if self.to_leak is None:
            found, membrane = self.layer(given, membrane, lengths=None, substeps=T, readout=readout)
        else:
            leak = torch.sigmoid(self.to_leak(given))
            found, membrane = self.layer.lif(
                self.layer.input_map(given), membrane, leak=leak, substeps=T, readout=readout
            )
        return (found if T == 1 else found * T), membrane


class Mixer(nn.Module):
    """Normalise, map, neurons that forget everything at each token, and a map of their spikes back.

    Args: of `SpikingBlock`; features: neurons.
    """

    def __init__(self, width: int, features: int, depth: int, dropout: float, **neuron: Any) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.to_neurons = begin(nn.Linear(width, features), normal, std=width**-0.5)
        self.lif = LIF(features, leak=0.0, learn_leak=False, **{**neuron, "reset": "hard"})
        self.to_stream = begin(nn.Linear(features, width), normal, std=(features * depth) ** -0.5)
        self.dropout = nn.Dropout(dropout)

    def spiking_maps(self) -> tuple[str, ...]:
        """As `SpikingBlock.spiking_maps`."""
        return ("to_stream",)

    def forward(self, x: Tensor) -> Tensor:
        """(L, B, D) to (L, B, D). With leak 0 and the hard reset a membrane is its current."""
        spikes, _ = self.lif(self.to_neurons(self.norm(x)))
        return x + self.dropout(self.to_stream(spikes))  # type: ignore[no-any-return]


def rows(module: Any, scales: list[float]) -> None:
    """Normal rows, each with a deviation of its own; a bias of zero."""
    scale = torch.tensor(scales, device=module.weight.device, dtype=module.weight.dtype)
    nn.init.normal_(module.weight).mul_(scale.unsqueeze(1))
    nn.init.zeros_(module.bias)


def gate(module: Any, centres: list[float]) -> None:
    """A map that gives the same leaks to every token at first: `centres` behind a sigmoid."""
    nn.init.zeros_(module.weight)
    start = torch.tensor(centres, dtype=torch.float64).clamp(1e-3, 1 - 1e-4).logit()
    module.bias.copy_(start.to(module.bias))


class SpikingLanguageModel(LanguageModel):
    """Embedding -> blocks on a residual stream -> normalise -> the tied output map.

    The state is one membrane for each neuron, and for a shift the last inputs: a token costs the same after a
    million tokens as after one.

    Args:
        vocabulary: tokens, V.
        embedding_size: numbers of a token's vector, and of the stream, D.
        neurons: of a block.
        layers: blocks.
        substeps: T of every token. Default 1: the membrane goes on over tokens, and more cost as much again.
        leaks, decay, kernel_size, recurrent, mixer: as `SpikingBlock`.
        embedding_dropout, dropout, output_dropout: shares silenced of the tokens' vectors, of what blocks
            add, of what the output map reads.
        neuron: arguments of `nn.LIF`: threshold, reset, surrogate and so on.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding_size: int = 192,
        neurons: int = 384,
        layers: int = 3,
        substeps: int = 1,
        leaks: Sequence[float] = (0.0, 0.99),
        decay: str = "fixed",
        kernel_size: int = 1,
        recurrent: bool = False,
        mixer: int = 0,
        embedding_dropout: float = 0.0,
        dropout: float = 0.0,
        output_dropout: float = 0.0,
        **neuron: Any,
    ) -> None:
        super().__init__(vocabulary, embedding_size)
        self.blocks = nn.ModuleList(
            SpikingBlock(
                embedding_size, neurons, substeps=substeps, leaks=leaks, decay=decay, kernel_size=kernel_size,
                recurrent=recurrent, mixer=mixer, dropout=dropout, depth=layers, **neuron,
            )
            for _ in range(positive_int("layers", layers))
        )  # fmt: skip
        self.norm = nn.LayerNorm(embedding_size)
        self.embedding_dropout = nn.Dropout(check_share(embedding_dropout))
        self.output_dropout = nn.Dropout(check_share(output_dropout))

    def hidden(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """As `LanguageModel`; the state is that of every block."""
        x = self.embedding_dropout(x)
        states = [None] * len(self.blocks) if state is None else state
        found = []
        for block, before in zip(self.blocks, states, strict=True):
            x, after = block(x, before)
            found.append(after)
        return self.output_dropout(self.norm(x)), found
