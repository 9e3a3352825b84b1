"""A block of a convolutional sequence model: neurons, then a convolution that adds to the current."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from ...checks import check_share
from ...ops.packed import masked
from ..dropout import dropout_mask
from ..lengths import cut
from ..normalised import NormalisedLIF, NormalisedReLU
from .tokens import TokenConv1d

Attend = Callable[[Tensor], Tensor]
"""From the current of a token, its mean over the sub-steps, to another current; both (L, B, C)."""


class BlockState(NamedTuple):
    """What a causal block hands on to the next chunk; the batch is dimension 1."""

    membrane: Tensor | None  # (1, B, C) where membranes persist
    inputs: Tensor  # ((K - 1) * T, B, C), the last inputs of the convolution


class ConvBlock(nn.Module):
    """current -> neurons -> dropout -> convolution over tokens -> + current.

    The residual is kept on the current, so that what travels from layer to layer through weights is spikes:
    I[l+1] = conv(spikes(norm(I[l]))) + I[l].

    Args:
        activation: `NormalisedLIF` or `NormalisedReLU`.
        conv: the convolution.
        dropout: share of the neurons silenced per token, by one mask for all its sub-steps.
        residual: whether the current is added.
    """

    batch_first = False

    def __init__(
        self, activation: NormalisedLIF | NormalisedReLU, conv: TokenConv1d, dropout: float, residual: bool
    ) -> None:
        super().__init__()
        self.activation, self.conv, self.residual = activation, conv, residual
        self.dropout = check_share(dropout)

    def forward(
        self,
        current: Tensor,
        state: BlockState | None = None,
        *,
        lengths: Tensor | None = None,
        attend: Attend | None = None,
        integrate: bool = False,
    ) -> tuple[Tensor, BlockState | None]:
        """Currents (L, T, B, C), or (L, 1, B, C) held for all sub-steps, to currents (L, T, B, C).

        Args:
            state: as a former call returned it; only for causal blocks.
            lengths: (B,) tokens that count; later ones are silent.
            attend: adds what it makes of the current to the current of every sub-step that comes out. It asks
                by what an integrator's membrane would hold, divided by T, as thesis 6.5.2 asks by accumulated
                membranes: spikes are too coarse a question.
            integrate: end in integrators: the sum over sub-steps comes out, (L, 1, B, C). The map is linear,
                so spikes are summed before it; the bias and what `attend` gives are added once.
        """
        membrane = None if state is None or state.membrane is None else state.membrane[0]
        active, membrane = self.activation(current, membrane, lengths=lengths)
        plus = current if self.residual else None
        if integrate:
            if plus is not None:
                plus = plus.sum(1, keepdim=True) * (active.shape[1] / plus.shape[1])
            active = active.sum(1, keepdim=True)
        if attend is not None:
            context = attend(cut(current.mean(1), lengths)).unsqueeze(1)
            plus = context if plus is None else plus + context
        if self.training and self.dropout:
            mask = dropout_mask((active.shape[0], 1, *active.shape[2:]), self.dropout, active)
            active = masked(active, mask)
        before = None if state is None else state.inputs.unflatten(0, (-1, active.shape[1]))
        out, inputs = self.conv(active, before, plus=plus)
        if inputs is None:
            return out, None
        return out, BlockState(None if membrane is None else membrane.unsqueeze(0), inputs.flatten(0, 1))


class SpikingConvBlock(ConvBlock):
    """A `ConvBlock` of LIF neurons (thesis 6.5.3).

    Args:
        channels: neurons of a token, C.
        kernel_size: tokens that the convolution spans; default 3 as in the thesis.
        causal: it ends with the token itself (decoder) or lies around it (encoder).
        substeps: T.
        stream: membranes persist from token to token; else every token starts from rest.
        norm: normalisation of currents, as `NormalisedLIF`.
        residual, dropout: as `ConvBlock`.
        neuron: arguments of `LIF`.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        *,
        causal: bool = True,
        substeps: int = 5,
        stream: bool = False,
        norm: str = "layer",
        residual: bool = True,
        dropout: float = 0.0,
        **neuron: Any,
    ) -> None:
        lif = NormalisedLIF(channels, substeps=substeps, norm=norm, persist=stream, **neuron)
        conv = TokenConv1d(channels, channels, kernel_size, causal=causal)
        super().__init__(lif, conv, dropout, residual)

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        return ("conv",)


class ReLUConvBlock(ConvBlock):
    """The same block with rectified linear units: the baseline.

    Args: as `SpikingConvBlock`.
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        *,
        causal: bool = True,
        norm: str = "layer",
        residual: bool = True,
        dropout: float = 0.0,
    ) -> None:
        conv = TokenConv1d(channels, channels, kernel_size, causal=causal)
        super().__init__(NormalisedReLU(channels, norm=norm), conv, dropout, residual)
