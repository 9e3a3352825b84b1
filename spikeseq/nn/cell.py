"""SpikingRNNCell: one token at a time."""

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_hx, check_input, check_tensor, choice, positive_int
from ..functional import READOUTS
from .layer import SpikingLayer, inside
from .rnn import NORMS, add_batch


class SpikingRNNCell(nn.Module):
    """One token through one spiking layer: the place of nn.GRUCell.

    Args: as `SpikingRNN`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        substeps: int = 5,
        recurrent: bool = False,
        readout: str = "membrane",
        norm: str | None = None,
        per_channel: bool = False,
        **neuron: Any,
    ) -> None:
        super().__init__()
        self.input_size = positive_int("input_size", input_size)
        self.hidden_size = positive_int("hidden_size", hidden_size)
        self.substeps = positive_int("substeps", substeps)
        self.readout = choice("readout", readout, READOUTS)
        self.bias = bias
        if norm is not None:
            choice("norm", norm, NORMS)
        channels = hidden_size if per_channel else None
        self.layer = SpikingLayer(
            input_size, hidden_size, bias, substeps=substeps, recurrent=recurrent, norm=norm,
            channels=channels, device=device, dtype=dtype, **neuron,
        )  # fmt: skip

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, input_size) or (input_size,) and the state (B, H) or (H,) in; output and state out.

        The output is (B, H), or (T, B, H) for read-out "spikes".
        """
        if check_tensor("input", input).dim() not in (1, 2):
            shape = tuple(input.shape)
            raise ValueError(f"input must be (B, {self.input_size}) or ({self.input_size},), got {shape}")
        layer = inside(self.layer, SpikingLayer)
        if layer is not None:
            check_input(input, *layer.takes())
        batched = input.dim() == 2
        if not batched:
            input, hx = input.unsqueeze(0), add_batch(hx)
        if hx is not None and layer is not None:
            check_hx(hx, layer.state_shape(input.shape[0]), input)
        out, state = self.layer(
            input.unsqueeze(0), hx, lengths=None, substeps=self.substeps, readout=self.readout
        )
        if self.readout != "spikes":
            out = out.squeeze(0)
        return (out, state) if batched else (out.squeeze(-2), state.squeeze(-2))

    def reset_parameters(self) -> None:
        """A fresh cell: start weights drawn anew, the first leak and threshold."""
        self.layer.reset_parameters()

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, substeps={self.substeps}, readout={self.readout!r}"
