"""The two kinds of recurrence that `RecurrentSeq2Seq` is put together from: spiking, and GRU or LSTM.

Both take and return the same: tokens and one state tensor in, outputs and the state out; a `summary` of what
was read, and a state to `start` from.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ...checks import check_leak, choice, only_shapes, positive_int
from ...functional import lif
from ...functional.precision import cast
from ...neuron import planes_start
from ...nn import LIF, Integrator
from ...nn.layer import SPREAD, inside
from ...nn.rnn import reverse_tokens
from ...nn.start import begin, normal, scaled
from ...quantisation.gated import RoundedRNN

RNNS = {"gru": nn.GRU, "lstm": nn.LSTM}
SIDES = ("snn", *RNNS)
NORMS = ("layer", "none")
LONGEST_MEMORY = 0.999  # an integrator (leak 1) sums without end; its scale is as if it forgot this much
Leak = float | tuple[float, float] | list[float]


class LeakyIntegrator(Integrator):
    """Integrators that forget: u[l] = leak * u[l-1] + sqrt(1 - leak^2) * I[l], of the variance of its input.

    Args:
        leak: (C,) in [0, 1], per token. They are not trained: it made no difference.
    """

    leak: Tensor

    def __init__(self, leak: Tensor) -> None:
        super().__init__()
        with unset_fake_temporarily():
            self.start = leak.tolist()
        self.register_buffer("leak", torch.empty(len(leak), dtype=leak.dtype))
        self.reset_parameters()

    start: list[float] | None = None  # of models pickled before it was kept

    def reset_parameters(self) -> None:
        """The leaks that it was made with."""
        if self.start is not None:
            self.leak.copy_(torch.tensor(self.start, device="cpu"))

    def forward(
        self, current: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `Integrator`: the membrane after each token (L, B, C), and the final one (B, C)."""
        current = current * (1 - self.leak.clamp(max=LONGEST_MEMORY).square()).sqrt()
        highest = torch.finfo(torch.promote_types(current.dtype, torch.float32)).max
        return lif(
            current, state, leak=self.leak, threshold=highest, lengths=lengths, readout="membrane",
            detach_reset=True,
        )  # fmt: skip


class SpikingStack(nn.Module):
    """LIF layers whose membranes persist from token to token, and integrators that accumulate their spikes.

    What enters a layer is a map of the spikes of the one before, summed over the sub-steps of a token; with
    `residual` the current of that one is added, so that what goes through maps is spikes all the same. With
    `bidirectional` every layer has twice the neurons, and the second half reads each sequence from its end.
    (`SpikingRNN` has no residual and no read-out by integrators, and learns translation less well.)

    Args:
        input_size: features of a token; they are direct-coded.
        hidden_size: neurons per layer and direction, H.
        layers: of LIF neurons.
        dropout: share of the neurons silenced per token, after each layer.
        substeps: T.
        leak: two numbers: one leak and one threshold per neuron, and leaks that start spread between the two,
            so that some neurons follow a word and others remember a sentence. One number: one leak and one
            threshold per layer (thesis). The integrators have the same leaks.
        norm: "layer" normalises the currents of a token, to a scale that suits the leak; or "none".
        residual: see above.
        bypass: the residual reaches the integrators as well: analog values pass the neurons by. Without, all
            that leaves the stack has been spikes.
        accumulate: what comes out is the membranes of the integrators; without, those of the last LIF layer.
        neuron: arguments of `nn.LIF`.
    """

    batch_first = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        substeps: int = 5,
        leak: Leak = (0.8, 0.999),
        norm: str = "layer",
        residual: bool = True,
        bypass: bool = True,
        accumulate: bool = True,
        **neuron: Any,
    ) -> None:
        super().__init__()
        choice("norm", norm, NORMS)
        self.bidirectional, self.residual, self.bypass = bidirectional, residual, bypass
        self.substeps = positive_int("substeps", substeps)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.size = hidden_size * (2 if bidirectional else 1)
        many = isinstance(leak, tuple | list)
        with unset_fake_temporarily():  # numbers, whatever the weights are
            leaks = spread_leaks(leak, hidden_size).repeat(2 if bidirectional else 1)
            channels, first = (self.size, leaks.tolist()) if many else (None, float(leaks[0]))
            slow = leaks**substeps
        spiking = [
            LIF(channels, substeps=substeps, leak=first, **neuron)
            for _ in range(positive_int("layers", layers))
        ]
        self.spiking_layers = layers
        self.layers = nn.ModuleList([*spiking, *[LeakyIntegrator(slow)] * accumulate])
        # Membranes of each layer, with what a surrogate with memory remembers beside them.
        self.planes = [1 + layer.planes for layer in spiking] + [1] * accumulate
        inputs = [input_size] + [self.size] * (len(self.layers) - 1)
        self.maps = nn.ModuleList(nn.Linear(n, self.size) for n in inputs)
        self.norms = nn.ModuleList(
            nn.LayerNorm(self.size) if norm == "layer" else nn.Identity() for _ in inputs
        )
        self.read = nn.LayerNorm(self.size)
        self.dropout = nn.Dropout(dropout)
        self.start_size = len(self.layers) * self.size
        self._begin(leaks)

    def current_maps(self) -> tuple[str, ...]:
        """As `SpikingLayer.current_maps`."""
        return tuple(f"maps.{i}" for i in range(len(self.maps)))

    def _begin(self, leaks: Tensor) -> None:
        """Start weights as `SpikingLayer.reset_parameters`, for spikes summed over a token."""
        with unset_fake_temporarily():
            short = leaks.clamp(max=LONGEST_MEMORY)
            held = short**self.substeps
            gain = SPREAD * (1 - short) / (1 - held) * (1 - held.square()).sqrt()
            spiking = [layer for layer in self.layers if isinstance(layer, LIF)]
            gains = [(gain * layer.start_of("threshold")).tolist() for layer in spiking]
        for i, (layer, norm, linear) in enumerate(zip(self.layers, self.norms, self.maps, strict=True)):
            assert isinstance(linear, nn.Linear)
            std = linear.in_features**-0.5 if i == 0 else math.sqrt(2 * math.pi / self.size) / self.substeps
            begin(linear, normal, std=std)
            if isinstance(layer, LIF) and isinstance(norm, nn.LayerNorm):
                begin(norm, scaled, gains=gains[i])

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Normalised membranes (L, B, D*H) after each of the tokens (L, B, input_size), and the state.

        Args:
            state: (R, B, D*H), the membranes of all layers; default zeros.
            lengths: (B,) tokens that count.
        """
        olds = [None] * len(self.layers) if state is None else state.split(self.planes)
        news, current = [], None
        for i, (layer, old) in enumerate(zip(self.layers, olds, strict=True)):
            plus, spiking, last = self.maps[i](x), i < self.spiking_layers, i == len(self.layers) - 1
            add = self.residual and (spiking or self.bypass)
            current = current + plus if current is not None and add else plus
            readout = {"readout": "membrane" if last else "rate"} if spiking else {}
            if old is not None and len(old) == 1:
                old = old[0]
            out, new = layer(self._turn(self.norms[i](current), lengths), old, lengths=lengths, **readout)
            news.append(new.view(-1, *out.shape[1:]))
            x = self._turn(out, lengths)
            if not last:
                x = self.dropout(x * self.substeps)  # the sum of the spikes
        return self.read(x), torch.cat(news)

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        return tuple(f"maps.{i}" for i in range(1, len(self.maps)))

    def summary(self, state: Tensor) -> Tensor:
        """(B, D*H), normalised membranes at the end of either direction."""
        last = state[-self.planes[-1]]  # never below float32
        return self.read(last.to(next(self.parameters()).dtype))  # type: ignore[no-any-return]

    def start(self, values: Tensor) -> Tensor:
        """The state whose membranes are `values` (B, start_size), of neurons that have not fired yet."""
        membranes = values.unflatten(1, (-1, self.size)).to(torch.promote_types(values.dtype, torch.float32))
        planes = []
        for layer, membrane in zip(self.layers, membranes.unbind(1), strict=True):
            neurons = inside(layer, LIF)
            memory = () if neurons is None else planes_start(neurons.reset, neurons.surrogate)
            planes += [membrane, *(torch.full_like(membrane, start) for start in memory)]
        return torch.stack(planes)

    def _turn(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The second half of the neurons with its tokens in reverse order: there and back."""
        if not self.bidirectional:
            return x
        forth, back = x.split(self.hidden_size, -1)
        return torch.cat((forth, reverse_tokens(back, lengths)), -1)


class GatedStack(nn.Module):
    """nn.GRU or nn.LSTM, used as a `SpikingStack` is.

    Args:
        kind: "gru" or "lstm".
        Others as `SpikingStack`.
    """

    batch_first = False

    def __init__(
        self,
        kind: str,
        input_size: int,
        hidden_size: int,
        *,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        between = dropout if positive_int("layers", layers) > 1 else 0.0
        self.rnn: nn.Module = RNNS[kind](
            input_size, hidden_size, layers, bidirectional=bidirectional, dropout=between
        )
        self.cells = kind == "lstm"
        self.directions = 2 if bidirectional else 1
        self.size = hidden_size * self.directions
        self.start_size = self.size * layers * (2 if self.cells else 1)

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Outputs (L, B, D*H) and the state (R, B, H), an LSTM's cells after its outputs."""
        x = cast(x)  # torch's LSTM fails on the CPU where it has to cast
        if inside(self.rnn, RoundedRNN) is not None:
            return self.rnn(x, state, lengths=lengths)  # type: ignore[no-any-return]
        hx: Any = None if state is None else state.to(x.dtype).contiguous()
        if hx is not None and self.cells:
            hx = hx.chunk(2)
        if lengths is None or only_shapes(x):
            out, hx = self.rnn(x, hx)
        else:
            packed = pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False)
            out, hx = self.rnn(packed, hx)
            out, _ = pad_packed_sequence(out, total_length=x.shape[0])
        return out, torch.cat(hx) if self.cells else hx

    def summary(self, state: Tensor) -> Tensor:
        """(B, D*H), the last layer's outputs at the end of either direction."""
        outputs = state.chunk(2)[0] if self.cells else state
        return outputs[-self.directions :].transpose(0, 1).flatten(1)

    def start(self, values: Tensor) -> Tensor:
        """The state made of `values` (B, start_size)."""
        return values.tanh().unflatten(1, (-1, self.size // self.directions)).transpose(0, 1)


def spread_leaks(leak: Leak, count: int) -> Tensor:
    """(count,) leaks whose memories 1 / (1 - leak) are spread evenly in logarithm, or `count` times one."""
    if not isinstance(leak, tuple | list):
        return torch.full((count,), check_leak(leak), device="cpu")
    if len(leak) != 2 or not 0 <= check_leak(leak[0]) <= check_leak(leak[1]) < 1:
        raise ValueError(f"leak must be a number, or two rising numbers in [0, 1), got {leak}")
    low, high = (math.log10(1 - value) for value in leak)
    return (1 - torch.logspace(low, high, count, dtype=torch.float64, device="cpu")).to(
        torch.get_default_dtype()
    )
