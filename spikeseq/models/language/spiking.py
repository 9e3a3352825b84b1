"""The spiking language model: blocks of neurons on a residual stream, whose membranes remember the text."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import autocast_dtype, check_shape, check_share, check_tensor, choice, positive_int
from ...nn import LIF
from ...nn.layer import SpikingLayer
from ...nn.start import begin, normal
from ..seq2seq.stacks import spread_leaks
from .base import LanguageModel

DECAYS = ("fixed", "input")
NEURON = ("threshold", "reset", "surrogate", "learn_threshold", "detach_reset")
"""Arguments of `nn.LIF` that a block takes; the others follow from its own."""
INSTEAD = {
    "leak": "leaks=(low, high) spreads them over the neurons",
    "learn_leak": "leaks are learnt, or computed with decay='input'",
    "norm_input": "decay='input' has it, decay='fixed' has not",
    "channels": "every neuron has a leak and a threshold of its own",
    "norm": "a block normalises before its map; behind it, it would undo the neurons' scales",
}


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
        if check_tensor("x", x).dim() != 3 or x.shape[-1] != self.features:
            raise ValueError(f"x must be (L, B, {self.features}), got {tuple(x.shape)}")
        before = self.kernel_size - 1
        past = x.new_zeros((before, *x.shape[1:])) if state is None else state.transpose(0, 1)
        if state is not None:
            dtype = None if autocast_dtype(x) else x.dtype
            check_shape("state of a shift", state, (x.shape[1], before, self.features), x, dtype)
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
        neuron: arguments of `nn.LIF`: threshold, reset, surrogate, learn_threshold, detach_reset.
    Raises:
        TypeError, ValueError: naming the argument, and what stands in its place.
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
        check_neuron(neuron)
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
        membrane, kept = (None, None) if state is None else self.check_state(state)
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
        own = {} if self.to_leak is None else {"leak": torch.sigmoid(self.to_leak(given))}
        found, membrane = self.layer(given, membrane, lengths=None, substeps=T, readout=readout, **own)
        return (found if T == 1 else found * T), membrane

    def check_state(self, state: Any) -> Any:
        """A state if it has the parts of this block's; neurons and shift look at their shapes."""
        pair = isinstance(state, tuple | list) and len(state) == 2
        if not pair or state[0] is None or (state[1] is None) != (self.shift is None):
            kept = "None" if self.shift is None else "the shift's last inputs"
            raise ValueError(f"state of a block must be its membranes and {kept}; got that of another model")
        return state


def check_neuron(neuron: dict[str, Any]) -> None:
    """Refuses what a block says of its neurons itself, and what is no argument of theirs."""
    for name in neuron:
        if name not in NEURON:
            instead = INSTEAD.get(name, f"it takes {', '.join(NEURON)} of nn.LIF")
            raise TypeError(f"{name} is no argument of a spiking block: {instead}")


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


class SpikingBlocks(nn.ModuleList):
    """Blocks on one stream, one after the other.

    Args:
        width: of the stream. neurons: of a block. layers: blocks.
        block: further arguments of `SpikingBlock`.
    """

    def __init__(self, width: int, neurons: int, layers: int, **block: Any) -> None:
        count = positive_int("layers", layers)
        super().__init__(SpikingBlock(width, neurons, depth=count, **block) for _ in range(count))
        self.width = width

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, list[Any]]:
        """The stream (L, B, width) behind the last block, and the state of every block.

        Raises:
            ValueError: `state` is that of other blocks.
        """
        states = [None] * len(self) if state is None else state
        if not isinstance(states, tuple | list) or len(states) != len(self):
            raise ValueError(
                f"state must be a list with one of every block, {len(self)}; got that of another model"
            )
        found = []
        for block, before in zip(self, states, strict=True):
            x, after = block(x, before)
            found.append(after)
        return x, found


class SpikingLanguageModel(LanguageModel):
    """Embedding -> blocks on a residual stream -> normalise -> the tied output map.

    The state is one membrane for each neuron, and for a shift the last inputs: a token costs the same after a
    million tokens as after one.

    Args:
        vocabulary: tokens, V.
        embedding_size: numbers of a token's vector, and of the stream, D.
        neurons: of a block.
        layers: blocks.
        embedding_dropout, output_dropout: shares silenced of the tokens' vectors, and of what the output map
            reads.
        ngrams, ngram_rows: as `LanguageModel`.
        block: further arguments of `SpikingBlock`: substeps, leaks, decay, kernel_size, recurrent, mixer,
            dropout, and those of its neurons.
    """

    def __init__(
        self,
        vocabulary: int,
        *,
        embedding_size: int = 192,
        neurons: int = 384,
        layers: int = 3,
        embedding_dropout: float = 0.0,
        output_dropout: float = 0.0,
        ngrams: Sequence[int] = (),
        ngram_rows: int = 1000,
        **block: Any,
    ) -> None:
        super().__init__(vocabulary, embedding_size, ngrams, ngram_rows)
        self.blocks = SpikingBlocks(embedding_size, neurons, layers, **block)
        self.norm = nn.LayerNorm(embedding_size)
        self.embedding_dropout = nn.Dropout(check_share(embedding_dropout))
        self.output_dropout = nn.Dropout(check_share(output_dropout))

    def hidden(self, x: Tensor, state: Any) -> tuple[Tensor, Any]:
        """As `LanguageModel`; the state is that of every block."""
        x, state = self.blocks(self.embedding_dropout(x), state)
        return self.output_dropout(self.norm(x)), state

    def memory(self, state: Any) -> dict[str, Tensor]:
        """Membranes; what a surrogate remembers comes behind them, in planes before the batch."""
        membranes = [membrane[0] if membrane.dim() == 3 else membrane for membrane, _ in state]
        return {f"block {i}": held.flatten() for i, held in enumerate(membranes)}
