"""One direction of one layer of a SpikingRNN."""

import math
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks

from ..checks import has_values
from ..functional import spike_of
from ..functional.linear_lif import linear_lif
from ..ops import recurrent
from ..watch import watched
from .lif import LIF
from .start import begin, normal, orthogonal

SPREAD = 4.0  # thresholds; the first layer then starts with about one spike in ten sub-steps
LONGEST_MEMORY = 0.99  # an integrator (leak 1) sums without end; its weights start as if it forgot this much


def unseen(*modules: nn.Module) -> bool:
    """Whether nothing hangs on the calls of `modules`: hooks, watchers, or a `forward` put in by hand."""
    return (
        not watched(*modules)
        and not any(
            module._forward_hooks
            or module._forward_pre_hooks
            or module._backward_hooks
            or module._backward_pre_hooks
            or "forward" in module.__dict__
            for module in modules
        )
        and not (
            hooks._global_forward_hooks
            or hooks._global_forward_pre_hooks
            or hooks._global_backward_hooks
            or hooks._global_backward_pre_hooks
        )
    )


def start_mean(lif: LIF, name: str) -> float:
    """The mean of what "leak" or "threshold" of `lif` starts from."""
    values = lif.start_of(name)
    if has_values(values):
        return float(values.mean())
    given = lif.starts[name]
    return fmean(given if isinstance(given, tuple) else (given,))


class Passed(nn.Identity):
    """Stands where a map was that is part of something else now; what comes in is its output already."""

    def __init__(self, out_features: int) -> None:
        super().__init__()
        self.in_features = self.out_features = out_features


class SpikingLayer(nn.Module):
    """Linear map, optional normalisation of currents, LIF neurons, optional feedback.

    Args:
        input_size, hidden_size, bias: of the linear map.
        substeps, spiking_input: sub-steps that an analog input is held, or whether the input is spikes;
            they decide the scale of the start weights.
        recurrent: add W_hh * o[t-1] to the current.
        norm: None, or "layer" for a LayerNorm over the currents of a token.
        recompute: as `functional.linear_lif`.
        neuron: arguments of `LIF`.
    """

    recompute = False  # of layers pickled before there was a choice
    batch_first = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        *,
        substeps: int = 1,
        spiking_input: bool = False,
        recurrent: bool = False,
        norm: str | None = None,
        recompute: bool = False,
        device: Any = None,
        dtype: Any = None,
        **neuron: Any,
    ) -> None:
        super().__init__()
        factory = {"device": device, "dtype": dtype}
        self.input_map: nn.Linear | Passed = nn.Linear(input_size, hidden_size, bias=bias, **factory)
        self.norm = nn.LayerNorm(hidden_size, **factory) if norm == "layer" else None
        self.feedback = nn.Linear(hidden_size, hidden_size, bias=False, **factory) if recurrent else None
        self.lif = LIF(**neuron, **factory)
        self.substeps, self.spiking_input, self.recompute = substeps, spiking_input, recompute
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """A fresh layer: weights under which spikes neither die out nor take over, from layer to layer.

        Leak and threshold go back to what they were made with, and decide the weights.

        Analog input of unit variance, held for T sub-steps: a membrane that is never reset gets a
        deviation of `SPREAD` thresholds; the closer the leak to one, the more is summed, the smaller the
        weights.
        Spikes: with the soft reset every spike removes one threshold, so that a neuron's rate is its
        rectified mean current per threshold; sqrt(2 pi / inputs) keeps it (the analogue of He et al. 2015).
        """
        self.lif.reset_parameters()
        if self.norm is not None:
            self.norm.reset_parameters()
        leak, threshold = (start_mean(self.lif, name) for name in ("leak", "threshold"))
        if isinstance(self.input_map, nn.Linear):
            begin(self.input_map, normal, std=self._spread(min(leak, LONGEST_MEMORY), threshold))
        if isinstance(self.feedback, nn.Linear):
            begin(self.feedback, orthogonal, gain=0.5 * threshold)

    def _spread(self, leak: float, threshold: float) -> float:
        """The deviation of the map's start weights."""
        if self.spiking_input:
            scale = math.sqrt(2 * math.pi)
        else:
            held = leak**self.substeps
            scale = SPREAD * (1 - leak) / (1 - held) * math.sqrt(1 - held**2)
        return threshold * scale / math.sqrt(self.input_map.in_features)

    def release_map(self) -> nn.Linear:
        """Hands out the map, for others to build from; from now on what comes in are currents."""
        linear = self.input_map
        if not isinstance(linear, nn.Linear):
            raise TypeError("the map of this layer was released already")
        self.input_map = Passed(linear.out_features)
        return linear

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        given = ("input_map",) if self.spiking_input else ()
        return given if self.feedback is None else (*given, "feedback")

    def current_maps(self) -> tuple[str, ...]:
        """The parts whose output is currents of the neurons."""
        return ("input_map",) if self.feedback is None else ("input_map", "feedback")

    def state_shape(self, batch: int) -> tuple[int, ...]:
        """(B, H), or (1 + planes, B, H) for a surrogate with memory."""
        planes = self.lif.surrogate.memory_planes
        return (*([1 + planes] if planes else []), batch, self.input_map.out_features)

    def forward(
        self,
        x: Tensor,
        state: Tensor | None,
        *,
        lengths: Tensor | None,
        substeps: int,
        readout: str,
        window: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(L, B, input_size) in; the read-out of the neurons, as `functional.lif`, and their state out."""
        if self._fused():
            return linear_lif(
                x, self.input_map.weight, self.input_map.bias, state, recompute=self.recompute,  # type: ignore[arg-type]
                lengths=lengths, substeps=substeps, readout=readout, window=window, **self.lif.neuron(),
            )  # fmt: skip
        current = self.input_map(x)
        if self.norm is not None:
            current = self.norm(current)
        if self.feedback is None:
            return self.lif(
                current, state, lengths=lengths, substeps=substeps, readout=readout, window=window
            )
        return self._with_feedback(current, state, lengths, substeps, readout, window or substeps)

    def _fused(self) -> bool:
        """Whether map and neurons are one call: nothing between them, and nobody who looks there."""
        plain = self.norm is None and self.feedback is None
        return (
            plain
            and type(self.input_map) is nn.Linear
            and type(self.lif) is LIF
            and unseen(self.input_map, self.lif)
        )

    def _plain(self) -> bool:
        """Whether nobody looks at single sub-steps: no hooks, and feedback by a linear map without bias."""
        return (
            type(self.feedback) is nn.Linear
            and self.feedback.bias is None
            and type(self.lif) is LIF
            and unseen(self.feedback, self.lif)
        )

    def _with_feedback(
        self,
        current: Tensor,
        state: Tensor | None,
        lengths: Tensor | None,
        substeps: int,
        readout: str,
        window: int,
    ) -> tuple[Tensor, Tensor]:
        """I[t] = W_ih x + W_hh o[t-1]: fused where the op serves, else one sub-step at a time."""
        assert self.feedback is not None
        neuron = self.lif.neuron()
        surrogate, leak, threshold = neuron["surrogate"], neuron["leak"], neuron["threshold"]
        weight = self.feedback.weight
        if self._plain() and recurrent.serves(
            current, state, weight, leak, threshold, surrogate.memory_planes
        ):
            rows = 1 if readout == "spikes" else window
            return recurrent.lif_recurrent(
                current, state, weight, leak, threshold, lengths, substeps, rows,
                neuron["reset"], readout, surrogate.name, float(surrogate.height), float(surrogate.width),
                neuron["detach_reset"],
            )  # fmt: skip
        if state is None:
            spike = torch.zeros_like(current[0])
        else:
            spike = spike_of(state, threshold=threshold, surrogate=surrogate).to(current.dtype)
        outs = []
        for t in range(len(current) * substeps):
            row = (current[t // substeps] + self.feedback(spike)).unsqueeze(0)
            alive = None if lengths is None else (lengths * substeps > t).to(torch.int64)
            spikes, state = self.lif(row, state, lengths=alive, substeps=1)
            spike = spikes[0]
            if readout != "membrane":
                outs.append(spike)
            elif (t + 1) % window == 0:
                membrane = state[0] if self.lif.surrogate.memory_planes else state
                outs.append(
                    membrane if alive is None else membrane * alive.view(-1, *[1] * (membrane.dim() - 1))
                )
        assert state is not None
        out = torch.stack(outs).to(current.dtype)
        return (out.unflatten(0, (-1, window)).mean(1) if readout == "rate" else out), state
