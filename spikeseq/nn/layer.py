"""One direction of one layer of a SpikingRNN."""

import math
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily

from ..checks import check_dtype
from ..functional import spike_of
from ..modules import check_time_first, oddity
from ..neuron import Run
from ..ops import linear_lif, recurrent
from ..ops.dispatch import Op, dispatch
from ..ops.eager import traced
from ..watch import watched
from .lif import LIF
from .start import begin_as_usual, normal, orthogonal

SPREAD = 4.0  # thresholds; the first layer then starts with about one spike in ten sub-steps
LONGEST_MEMORY = 0.99  # an integrator (leak 1) sums without end; its weights start as if it forgot this much


def start_mean(lif: LIF, name: str) -> float:
    """The mean of what "leak" or "threshold" of `lif` starts from."""
    with unset_fake_temporarily():
        return float(lif.start_of(name).mean())


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
        factory = {"device": device, "dtype": check_dtype(dtype)}
        self.input_map: nn.Linear | Passed = nn.Linear(input_size, hidden_size, bias=bias, **factory)
        self.norm = nn.LayerNorm(hidden_size, **factory) if norm == "layer" else None
        self.feedback = nn.Linear(hidden_size, hidden_size, bias=False, **factory) if recurrent else None
        self.lif = LIF(**neuron, **factory)
        self.input_size, self.hidden_size = input_size, hidden_size
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
        With `norm_input` weights are 1 / (1 - leak) of these, so that what reaches the membranes is the same.
        """
        self.lif.reset_parameters()
        if self.norm is not None:
            self.norm.reset_parameters()
        leak, threshold = (start_mean(self.lif, name) for name in ("leak", "threshold"))
        leak = min(leak, LONGEST_MEMORY)
        if self.lif.norm_input:
            threshold /= 1 - leak
        if isinstance(self.input_map, nn.Linear):
            begin_as_usual(self.input_map, normal, std=self._spread(leak, threshold))
        if isinstance(self.feedback, nn.Linear):
            begin_as_usual(self.feedback, orthogonal, gain=0.5 * threshold)

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
        self.input_size = linear.out_features
        return linear

    def spiking_maps(self) -> tuple[str, ...]:
        """The parts whose input is spikes, or sums of them (`spikeseq.modules.spiking_maps`)."""
        given = ("input_map",) if self.spiking_input else ()
        return given if self.feedback is None else (*given, "feedback")

    def current_maps(self) -> tuple[str, ...]:
        """The parts whose output is currents of the neurons."""
        return ("input_map",) if self.feedback is None else ("input_map", "feedback")

    @property
    def neurons(self) -> LIF | None:
        """The layer's LIF neurons: `lif`, or what is inside where something is put around it."""
        return inside(self.lif, LIF)

    def takes(self) -> tuple[int, Tensor]:
        """Features of the input, and a tensor of the type and on the device that it must have."""
        neurons = self.neurons
        own = next(iter(self.parameters())) if neurons is None else neurons.leak
        return getattr(self.input_map, "in_features", self.input_size), own

    def state_shape(self, batch: int) -> tuple[int, ...]:
        """(B, H), or (1 + planes, B, H) for a surrogate with memory."""
        neurons = self.neurons
        planes = 0 if neurons is None else neurons.planes
        return (*([1 + planes] if planes else []), batch, self.hidden_size)

    def forward(
        self,
        x: Tensor,
        state: Tensor | None,
        *,
        lengths: Tensor | None,
        substeps: int,
        readout: str,
        window: int | None = None,
        leak: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """(L, B, input_size) in; the read-out of the neurons, as `functional.lif`, and their state out.

        Args:
            leak: as `LIF.forward`, such as (L, B, hidden_size), one for every token. Not with feedback.
        """
        run = Run(substeps, window, readout, lengths)
        if self.feedback is None:
            return dispatch(LAYER, self, x, state, run, leak)  # type: ignore[no-any-return]
        if leak is not None:
            raise ValueError("leak goes without feedback (recurrent=True); neurons then have their own")
        if recurrent.stays_one_op():
            weight, neuron = self.feedback.weight, self.lif.neuron()
            return recurrent.traced_recurrent(self._currents(x), state, weight, neuron, run)
        return dispatch(FEEDBACK, self, self._currents(x), state, run)  # type: ignore[no-any-return]

    def _currents(self, x: Tensor) -> Tensor:
        check_time_first(self.input_map)
        current = self.input_map(x)
        return current if self.norm is None else self.norm(current)  # type: ignore[no-any-return]

    # Map and neurons: one call where nothing stands between them, and nobody looks there.

    def _fits(self, x: Tensor, state: Tensor | None, _run: Run, leak: Tensor | None) -> str | None:
        if self.norm is not None:
            return f"a norm ({type(self.norm).__name__}) stands between map and neurons"
        return (
            traced()
            or unread("input_map", self.input_map, nn.Linear)
            or unread("lif", self.lif, LIF)
            or linear_lif.tensors_fit(x, self.input_map.weight, self.input_map.bias, state)  # type: ignore[arg-type]
        )

    def _in_one_pass(
        self, x: Tensor, state: Tensor | None, run: Run, leak: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        linear: Any = self.input_map
        neuron = self.lif.neuron(leak)
        return linear_lif.in_one_pass(x, linear.weight, linear.bias, state, neuron, run, self.recompute)

    def _part_by_part(
        self, x: Tensor, state: Tensor | None, run: Run, leak: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        own = {} if leak is None else {"leak": leak}  # what stands for `lif` may know of none
        return self.lif(self._currents(x), state, **run._asdict(), **own)  # type: ignore[no-any-return]

    # Feedback, I[t] = W_ih x + W_hh o[t-1]: one call where it is a map without bias, else step by step.

    def _feedback_fits(self, current: Tensor, state: Tensor | None, _run: Run) -> str | None:
        feedback: Any = self.feedback
        reason = traced() or unread("feedback", feedback, nn.Linear) or unread("lif", self.lif, LIF)
        if reason is not None:
            return reason
        if feedback.bias is not None:
            return ".feedback has a bias"
        return recurrent.tensors_fit(current, state, feedback.weight, self.lif)

    def _feedback_in_one_pass(self, current: Tensor, state: Tensor | None, run: Run) -> tuple[Tensor, Tensor]:
        feedback: Any = self.feedback
        return recurrent.lif_recurrent(current, state, feedback.weight, self.lif.neuron(), run)

    def _step_by_step(self, current: Tensor, state: Tensor | None, run: Run) -> tuple[Tensor, Tensor]:
        assert self.feedback is not None
        substeps, lengths, readout = run.substeps, run.lengths, run.readout
        window = run.window or substeps
        neurons = self.neurons
        if state is None:
            spike = torch.zeros_like(current[0])
        elif neurons is None:
            kind = type(self.lif).__name__
            raise ValueError(f"lif is a {kind} without an nn.LIF inside, which says what in hx spikes")
        else:
            neuron: Any = neurons.neuron()
            spike = spike_of(state, threshold=neuron.threshold, surrogate=neuron.surrogate)
            spike = spike.to(current.dtype)
        outs = []
        for t in range(current.shape[0] * substeps):
            row = (current[t // substeps] + self.feedback(spike)).unsqueeze(0)
            alive = None if lengths is None else (lengths * substeps > t).to(torch.int64)
            spikes, state = self.lif(row, state, lengths=alive, substeps=1)
            spike = spikes[0]
            if readout != "membrane":
                outs.append(spike)
            elif (t + 1) % window == 0:
                membrane = state if state.dim() == spike.dim() else state[0]
                outs.append(
                    membrane if alive is None else membrane * alive.view(-1, *[1] * (membrane.dim() - 1))
                )
        assert state is not None
        out = torch.stack(outs).to(current.dtype)
        return (out.unflatten(0, (-1, window)).mean(1) if readout == "rate" else out), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "hidden_size" not in state:  # of layers pickled before they knew their sizes
            linear: Any = self.input_map
            self.input_size, self.hidden_size = linear.in_features, linear.out_features


M = TypeVar("M", bound=nn.Module)


def inside(module: nn.Module, kind: type[M]) -> M | None:
    """`module` if it is a `kind`, or the first one inside, as in a wrapper."""
    return next((part for part in module.modules() if isinstance(part, kind)), None)


def unread(name: str, part: nn.Module, kind: type[nn.Module]) -> str | None:
    """Why a part of a layer must be called, and cannot be read as one of `kind`; None if it can."""
    reason = oddity(part, kind) or ("is watched" if watched(part) else None)
    return None if reason is None else f".{name} ({type(part).__name__}) {reason}"


LAYER = Op("linear_lif", SpikingLayer._fits, SpikingLayer._in_one_pass, SpikingLayer._part_by_part)
FEEDBACK = Op(
    "lif_recurrent",
    SpikingLayer._feedback_fits,
    SpikingLayer._feedback_in_one_pass,
    SpikingLayer._step_by_step,
)
