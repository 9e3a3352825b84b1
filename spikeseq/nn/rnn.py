"""SpikingRNN: a spiking stand-in for nn.LSTM, nn.GRU and nn.RNN."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ..checks import check_hx, check_input, check_tensor, choice, positive_int, sequence_lengths
from ..functional import READOUTS
from ..ops.dispatch import Op, dispatch
from . import stack
from .dropout import SequenceDropout
from .layer import SpikingLayer, inside
from .lengths import cut

NORMS = ("layer",)


class SpikingRNN(nn.Module):
    """Layers of LIF neurons with the signature of nn.LSTM, whose membranes persist from token to token.

    Args:
        input_size: features of a token.
        hidden_size: neurons per layer and direction, H.
        num_layers: stacked layers; a later layer reads the spikes of the one before, at every sub-step.
        bias: whether the input maps have a bias.
        batch_first: input and output are (B, L, *) instead of (L, B, *). States are not affected.
        dropout: share of neurons silenced between layers, by one mask per sequence and call
            (`SequenceDropout`); chunks of a sequence in training each draw their own.
        bidirectional: a second set of neurons (D = 2) reads each sequence from its own end.
        proj_size: must be 0; there is no projection.
        substeps: sub-steps T for which each token is presented; default 5, as the thesis uses throughout.
        recurrent: add explicit feedback W_hh * o[t-1]. Default False: the membrane is the memory.
        readout: what comes out of the last layer. "membrane" (default) is real-valued, like an LSTM's
            output: the membrane at the last sub-step of each token. "rate": the share of sub-steps with a
            spike. "spikes": every sub-step.
        norm: None, or "layer" for a LayerNorm over the input currents of each token: a safeguard where the
            scale of the input is unknown or layers are many. Costs a mean and a deviation per token.
        leak, threshold, reset, surrogate, learn_leak, learn_threshold, detach_reset, norm_input: as `LIF`.
        per_channel: one leak and threshold per neuron instead of per layer.
        recompute: compute currents again in the backward pass instead of keeping them: less than one byte per
            neuron and sub-step is kept instead of about four, for one more product. Acts on a CPU, in float32
            and float64, on layers without norm and feedback.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.

    Length and batch may be dynamic in torch.export and torch.compile. With `recurrent=True` only the batch: a
    trace holds every sub-step, so that torch.export refuses a dynamic length and torch.compile compiles each
    length anew (`spikeseq.deploy` keeps it one op). What is exported takes padded sequences and `lengths`,
    no PackedSequence.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        substeps: int = 5,
        recurrent: bool = False,
        readout: str = "membrane",
        norm: str | None = None,
        per_channel: bool = False,
        recompute: bool = False,
        **neuron: Any,
    ) -> None:
        super().__init__()
        if proj_size:
            raise ValueError(f"proj_size must be 0 (a spiking layer has no projection), got {proj_size}")
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.num_layers = positive_int("num_layers", num_layers)
        self.substeps = positive_int("substeps", substeps)
        self.readout = choice("readout", readout, READOUTS)
        if norm is not None:
            choice("norm", norm, NORMS)
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        self.recurrent, self.norm, self.dropout = recurrent, norm, dropout
        self.proj_size = 0
        if dropout and num_layers == 1:
            warnings.warn(f"dropout={dropout} acts between layers, and num_layers is 1", stacklevel=2)
        self.between = SequenceDropout(dropout)
        directions = 2 if bidirectional else 1
        self.layers = nn.ModuleList(
            SpikingLayer(
                input_size if index < directions else hidden_size * directions,
                hidden_size,
                bias,
                substeps=substeps,
                spiking_input=index >= directions,
                recurrent=recurrent,
                norm=norm,
                recompute=recompute,
                channels=hidden_size if per_channel else None,
                device=device,
                dtype=dtype,
                **neuron,
            )
            for index in range(num_layers * directions)
        )

    @property
    def num_directions(self) -> int:
        """D: 2 if bidirectional, else 1."""
        return 2 if self.bidirectional else 1

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """Runs the layers over a batch of sequences.

        Args:
            input: (L, B, input_size), or (B, L, input_size) if batch_first, or (L, input_size) without a
                batch, or a PackedSequence. Analog values are direct-coded: the current of every sub-step.
            hx: state (num_layers * D, B, H), or (num_layers * D, H) without a batch; default zeros.
            lengths: (B,) tokens that count in each padded sequence; 0 is allowed. Output is zero and the
                state stays past a sequence's end.
        Returns:
            output: (L, B, D*H) for "membrane" and "rate", (L * T, B, D*H) for "spikes"; batch_first,
                unbatched or packed as the input was. State: as hx.
        """
        if isinstance(input, PackedSequence):
            return self._packed(input, hx, lengths)
        if not isinstance(input, Tensor):
            raise TypeError(f"input must be a Tensor or a PackedSequence, got {type(input).__name__}")
        if input.dim() not in (2, 3):
            shape = "(B, L, {0})" if self.batch_first else "(L, B, {0})"
            expected = f"{shape} or (L, {{0}})".format(self.input_size)
            raise ValueError(f"input must be {expected}, got {tuple(input.shape)}")
        if input.dim() == 2:
            if lengths is not None:
                raise ValueError("lengths goes with a batch of sequences, got an input without a batch")
            hx = add_batch(hx)
            output, state = self._run(input.unsqueeze(1), hx, None)
            return output.squeeze(1), state.squeeze(-2)
        output, state = self._run(input.transpose(0, 1) if self.batch_first else input, hx, lengths)
        return (output.transpose(0, 1) if self.batch_first else output), state

    def _packed(
        self, packed: PackedSequence, hx: Tensor | None, lengths: Tensor | None
    ) -> tuple[Any, Tensor]:
        if lengths is not None:
            raise ValueError("a PackedSequence holds its own lengths; do not pass lengths beside it")
        padded, sizes = pad_packed_sequence(packed)
        output, state = self._run(padded, hx, sizes.to(padded.device))
        rows = sizes * (self.substeps if self.readout == "spikes" else 1)
        if packed.sorted_indices is None:
            return pack_padded_sequence(output, rows), state
        order = packed.sorted_indices
        again = pack_padded_sequence(output.index_select(1, order), rows[order.to(rows.device)])
        return PackedSequence(again.data, again.batch_sizes, order, packed.unsorted_indices), state

    def _run(self, x: Tensor, hx: Tensor | None, lengths: Any) -> tuple[Tensor, Tensor]:
        """(L, B, input_size), time first, through every layer."""
        if lengths is None and not torch.compiler.is_compiling():
            done = stack.again(self, x, hx)
            if done is not None:
                return done
        return dispatch(STACK, self, x, hx, lengths, stack.parts_of(self, x, hx, lengths))  # type: ignore[no-any-return]

    def _layer_by_layer(
        self, x: Tensor, hx: Tensor | None, lengths: Any, _parts: Any
    ) -> tuple[Tensor, Tensor]:
        first = inside(self.layers[0], SpikingLayer)
        if first is not None:
            check_input(x, *first.takes())
        if x.shape[0] == 0:
            raise ValueError(f"input must have at least one token, got {tuple(x.shape)}")
        lengths = sequence_lengths(lengths, x)
        x = cut(x, lengths)
        if hx is not None and first is not None:
            check_hx(hx, (len(self.layers), *first.state_shape(x.shape[1])), x)
        states: list[Tensor | None] = [None] * len(self.layers) if hx is None else list(hx.unbind(0))
        D, T = self.num_directions, self.substeps
        for index in range(self.num_layers):
            # Tokens are repeated T times at the first layer; from there on a row is a sub-step.
            repeat = T if index == 0 else 1
            rows = 1 if index == 0 else T
            readout = self.readout if index == self.num_layers - 1 else "spikes"
            outputs = []
            for direction in range(D):
                slot = index * D + direction
                out, states[slot] = self.layers[slot](
                    reverse_tokens(x, lengths, rows) if direction else x,
                    states[slot],
                    lengths=None if lengths is None else lengths * rows,
                    substeps=repeat,
                    readout=readout,
                    window=None if readout == "spikes" else T,
                )
                per_token = T if readout == "spikes" else 1
                outputs.append(reverse_tokens(out, lengths, per_token) if direction else out)
            x = outputs[0] if D == 1 else torch.cat(outputs, -1)
            if index < self.num_layers - 1:
                x, _ = self.between(x)
        return x, torch.stack([state for state in states if state is not None])

    def reset_parameters(self) -> None:
        """A fresh layer: start weights drawn anew (see `SpikingLayer.reset_parameters`), first leaks and
        thresholds."""
        for layer in self.layers:
            layer.reset_parameters()  # type: ignore[operator]

    def flatten_parameters(self) -> None:
        """Does nothing; nn.LSTM has it."""

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        if self.num_layers > 1:
            parts.append(f"num_layers={self.num_layers}")
        flags = ("batch_first", "bidirectional", "recurrent")
        parts += [f"{flag}=True" for flag in flags if getattr(self, flag)]
        if self.dropout:
            parts.append(f"dropout={self.dropout}")
        return ", ".join([*parts, f"substeps={self.substeps}", f"readout={self.readout!r}"])


STACK = Op("lif_stack", stack.fits, stack.run, SpikingRNN._layer_by_layer)


def add_batch(hx: Tensor | None) -> Tensor | None:
    """A state without a batch as one with a batch of one."""
    if hx is None or check_tensor("hx", hx).dim() == 0:
        return hx  # its shape is refused later
    return hx.unsqueeze(-2)


def reverse_tokens(x: Tensor, lengths: Tensor | None, rows: int = 1) -> Tensor:
    """Each sequence of (L * rows, B, *) with its tokens in reverse order, padding left where it is.

    The order of the `rows` sub-steps inside a token is kept.
    """
    tokens = x.unflatten(0, (-1, rows))
    if lengths is None:
        return tokens.flip(0).flatten(0, 1)
    at = torch.arange(tokens.shape[0], device=x.device).unsqueeze(1)
    index = torch.where(at < lengths, lengths - 1 - at, at)  # (L, B)
    index = index.view(tokens.shape[0], 1, -1, *[1] * (x.dim() - 2)).expand_as(tokens)
    return tokens.gather(0, index).flatten(0, 1)
