"""What stands in an image network where an ANN has its activation, dropout or normalisation."""

from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_initial, check_share, has_values, positive_int
from ..neuron import planes_start
from ..ops.eager import transformed
from .clock import Clock, current_clock
from .dropout import dropout_mask
from .layer import inside
from .lif import LIF


def with_time(x: Tensor, rows: int) -> Tensor:
    """(rows * B, *) as (rows, B, *)."""
    return x.unflatten(0, (rows, x.shape[0] // rows))


def by_pixels(x: Tensor) -> bool:
    """Whether x holds images whose channels are last in memory."""
    return x.dim() == 4 and not transformed() and x.is_contiguous(memory_format=torch.channels_last)


class SpikingActivation(nn.Module):
    """LIF neurons in the place of an activation: currents (N, *) in, spikes (N', *) out, time in the batch.

    It only runs inside a `SpikingNetwork`, which knows how N divides into sub-steps and sequences: N' is one
    row per sub-step, N that or one row per input, which is then held (direct coding).

    Args:
        calls: how often a pass calls it; each call has neurons of its own.
        initial: share of the threshold, in [0, 1], that membranes start at. Default 0, as in the thesis. At
            0.5 a spike is due after half of the current that one stands for: spikes round it instead of
            cutting it off, and the layers behind hear of it sooner (Bu et al., 2022).
        neuron: arguments of `LIF`. Thesis 5.3: one leak and one threshold a layer.

    `heights` (calls,) are what a spike counts downstream: 1, unless a conversion makes spikes as high as
    thresholds, so that all layers stay in the units of the ANN (`spikeseq.to_spiking`).
    """

    heights: Tensor

    def __init__(self, calls: int = 1, *, initial: float = 0.0, **neuron: Any) -> None:
        super().__init__()
        self.initial = check_initial(initial)
        self.neurons = nn.ModuleList(LIF(**neuron) for _ in range(positive_int("calls", calls)))
        factory = {key: neuron[key] for key in ("device", "dtype") if key in neuron}
        self.register_buffer("heights", torch.ones(calls, **factory))
        self.scaled = False  # whether any height is not 1, without asking the device

    def reset_parameters(self) -> None:
        """Fresh neurons, whose spikes count 1."""
        for lif in self.neurons:
            lif.reset_parameters()  # type: ignore[operator]
        self.heights.fill_(1.0)
        self.scaled = False

    def forward(self, input: Tensor) -> Tensor:
        clock = current_clock()
        if clock is None:
            raise RuntimeError(
                "SpikingActivation runs inside a SpikingNetwork, which keeps its time and state"
            )
        call = clock.count(self)
        if call >= len(self.neurons):
            raise RuntimeError(f"SpikingActivation was made for {len(self.neurons)} calls a pass, got more")
        spikes = fire(self.neurons[call], input, clock, self.initial)  # type: ignore[arg-type]
        return spikes * self.heights[call].to(spikes.dtype) if self.scaled else spikes

    def set_height(self, call: int, height: float) -> None:
        """Makes the spikes of a call so high."""
        self.heights[call] = height
        self._see_heights()

    def _see_heights(self) -> None:
        if has_values(self.heights):
            self.scaled = bool((self.heights != 1).any())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._see_heights()

    def extra_repr(self) -> str:
        initial = f", initial={self.initial:.3g}" if self.initial else ""
        return f"calls={len(self.neurons)}{initial}" + (", scaled" if self.scaled else "")


def first_state(lif: LIF, current: Tensor, share: float) -> Tensor:
    """The state of `lif` before currents (L, B, *), with membranes at a share of its threshold."""
    threshold = lif.neuron().threshold
    if lif.channels is not None:
        threshold = threshold.view(-1, *[1] * (current.dim() - 3))
    wide = torch.promote_types(current.dtype, torch.float32)
    membrane = (share * threshold).to(wide).expand(current.shape[1:])
    if not lif.planes:
        return membrane
    rest = [torch.full_like(membrane, start) for start in planes_start(lif.reset, lif.surrogate)]
    return torch.stack([membrane, *rest])


def fire(lif: LIF, x: Tensor, clock: Clock, initial: float = 0.0) -> Tensor:
    """The spikes of `lif` for currents x (N, *), with the clock's state; `initial` as `SpikingActivation`."""
    clock.show(x)
    rows, hold = clock.layout(x)
    neurons = inside(lif, LIF)  # something may be put around them
    if neurons is None:
        raise ValueError(f"neurons ({type(lif).__name__}) hold no nn.LIF, which says what their state is")
    # Neurons do not see each other: pixels before channels is as good an order, and saves two copies.
    turned = neurons.channels is None and by_pixels(x)
    state, memory = clock.recall(), neurons.planes > 0
    if state is not None and memory:  # all that a clock keeps has the batch first
        state = state.transpose(0, 1)
    if turned:
        x = x.permute(0, 2, 3, 1)
        state = None if state is None else state.movedim(-3, -1)
    current = with_time(x, rows)
    if state is None and initial:
        state = first_state(neurons, current, initial)
    spikes, state = lif(current, state, substeps=hold)
    state = state.movedim(-1, -3) if turned else state
    clock.remember(state.transpose(0, 1) if memory else state)
    spikes = spikes.flatten(0, 1)
    return spikes.permute(0, 3, 1, 2) if turned else spikes


class TimedDropout(nn.Module):
    """Dropout with one mask for all sub-steps of an input (thesis 4.5, 5.4); ordinary dropout in an ANN.

    Args:
        p: share of the values that are silenced, in [0, 1).
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = check_share(p)

    def forward(self, input: Tensor) -> Tensor:
        clock = current_clock()
        mask = None if clock is None else clock.recall()
        if self.training and self.p:
            rows = 1 if clock is None else clock.layout(input)[0]
            turned = by_pixels(input)
            input = with_time(input, rows)
            if mask is None:
                mask = dropout_mask(input[0].shape, self.p, input)
                if turned:  # a product of two orders takes twice as long
                    mask = mask.contiguous(memory_format=torch.channels_last)
            input = (input * mask).flatten(0, 1)
        if clock is not None:
            clock.remember(mask)
        return input

    def extra_repr(self) -> str:
        return f"p={self.p}"


class StepBatchNorm(nn.Module):
    """Batch normalisation of currents with statistics of its own for every sub-step.

    The currents of a first sub-step, when most neurons are silent, are unlike those of the last. Gain and
    offset are shared, as the neurons behind are. Before the first neurons all sub-steps are alike, and share
    the first statistics.

    Args:
        features: channels C of (N, C) or (N, C, H, W).
        steps: sub-steps with statistics; later ones use the last.
    """

    def __init__(self, features: int, steps: int) -> None:
        super().__init__()
        norms = (nn.BatchNorm2d(features, affine=False) for _ in range(positive_int("steps", steps)))
        self.norms = nn.ModuleList(norms)
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def reset_parameters(self) -> None:
        """Gain one, offset zero, no statistics."""
        for norm in self.norms:
            norm.reset_parameters()  # type: ignore[operator]
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        clock = current_clock()
        pixels = input if input.dim() == 4 else input[..., None, None]
        if clock is None or clock.fired == 0:
            parts = [self.norms[0](pixels)]
        else:
            done = clock.recall()  # sub-steps so far, one number for each sequence as all state has
            start, last = (0 if done is None else int(done[0])), len(self.norms) - 1
            steps = with_time(pixels, clock.layout(input)[0]).unbind()
            parts = [self.norms[min(start + t, last)](row) for t, row in enumerate(steps)]
            clock.remember(torch.full((clock.batch,), start + len(steps), device=input.device))
        out = torch.cat(parts) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)
        return out.view_as(input) if input.dim() == 2 else out
