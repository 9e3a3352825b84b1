"""What neurons are and what one call asks of them: checked once, and handed to every op in one order."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .checks import (
    check_current,
    check_lengths,
    check_parameter,
    check_state,
    check_values,
    choice,
    positive_int,
)
from .debugging import debugging
from .surrogates import PiecewiseLinear, Surrogate, check_surrogate

RESETS = ("soft", "soft_immediate", "hard")
READOUTS = ("spikes", "rate", "membrane")
MOST_SUBSTEPS = 2**31 - 1


class Run(NamedTuple):
    """One call: how long, and what comes out. The arguments of `lif` of the same names."""

    substeps: int = 1
    window: int | None = None
    readout: str = "spikes"
    lengths: Tensor | None = None


class Neuron(NamedTuple):
    """A layer's neurons. The arguments of `lif` of the same names."""

    leak: Any  # Tensor, or a number; of a layer, a Tensor
    threshold: Any
    reset: str = "soft"
    surrogate: Surrogate = PiecewiseLinear()
    detach_reset: bool = False
    norm_input: bool = False

    def kind(self) -> tuple[str, str, float, float, bool]:
        """What is not a tensor, in the order in which every schema has it; `lif` has `norm_input`, too."""
        s = self.surrogate
        return self.reset, s.name, float(s.height), float(s.width), self.detach_reset

    @property
    def planes(self) -> int:
        """Values of a neuron's state beside its membrane."""
        return len(planes_start(self.reset, self.surrogate))

    def check(self) -> None:
        """Refuses a reset or surrogate that no kernel knows, and switches that are neither on nor off."""
        choice("reset", self.reset, RESETS)
        check_surrogate(self.surrogate)
        for name in ("detach_reset", "norm_input"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")

    def arguments(self, current: Tensor, state: Tensor | None, run: Run) -> tuple[Any, ...]:
        """What the op takes behind `current` (of which only the form counts), checked, in its schema's order:
        state (1 + planes, B, *), leak, threshold, lengths, then the fields of `ops.reference.Options`."""
        check_current(current)
        substeps = positive_int("substeps", run.substeps)
        readout = choice("readout", run.readout, READOUTS)
        self.check()
        steps = current.shape[0] * substeps
        window = run.window
        if readout == "spikes":
            if window not in (None, 1):
                raise ValueError(f"window only goes with readout 'rate' or 'membrane', got {window!r}")
            window = 1
        window = substeps if window is None else positive_int("window", window)
        # Asked while shapes are traced, it would bound them for ever; the kernel asks again.
        if not torch.compiler.is_compiling() and steps > MOST_SUBSTEPS:
            rows = current.shape[0]
            raise ValueError(f"substeps {substeps} times {rows} rows are more than {MOST_SUBSTEPS}")
        if steps % window:
            raise ValueError(f"window {window} does not divide the {steps} sub-steps")

        dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
        leak = check_parameter("leak", self.leak, current, dtype)
        threshold = check_parameter("threshold", self.threshold, current, dtype)
        rows = leak.dim() > 1
        if not rows and leak.numel() != threshold.numel():  # one of them per layer, the other per channel
            channels = threshold.numel() if leak.numel() == 1 else leak.numel()
            leak, threshold = leak.expand(channels), threshold.expand(channels)
        full = self.rest(current, dtype) if state is None else check_state(state, current, dtype, self.planes)
        lengths = None if run.lengths is None else check_lengths(run.lengths, current)
        if not torch.compiler.is_compiling() and debugging():
            counted = None if lengths is None else lengths.cpu()
            check_values(current.shape[0], leak.cpu(), threshold.cpu(), counted)
        reset, *rest = self.kind()
        return (full, leak, threshold, lengths, substeps, window, reset, readout, *rest, self.norm_input)

    def rest(self, current: Tensor, dtype: torch.dtype) -> Tensor:
        """The state (1 + planes, B, *) of neurons that have never fired."""
        full = current.new_zeros((1 + self.planes, *current.shape[1:]), dtype=dtype)
        for plane, start in enumerate(planes_start(self.reset, self.surrogate), 1):
            full[plane] = start
        return full


def planes_start(reset: str, surrogate: Surrogate) -> tuple[float, ...]:
    """What a neuron's state holds beside its membrane, for one that has never fired."""
    return surrogate.memory_start


def described(**arguments: Any) -> tuple[Neuron, Run]:
    """The keyword arguments of `lif` as what they describe."""
    run = {name: arguments.pop(name) for name in Run._fields if name in arguments}
    return Neuron(**arguments), Run(**run)
