"""Modules around `functional.lif`: they hold the leak and the threshold, never the state."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from ..checks import (
    CURRENT_DTYPES,
    check_dtype,
    check_leak,
    check_module,
    check_tensor,
    check_threshold,
    choice,
    has_values,
    one_or_each,
    positive_int,
    unwrapped,
)  # fmt: skip
from ..functional import RESETS, PiecewiseLinear, Surrogate, lif
from ..modules import check_time_first, of_kind
from ..neuron import Neuron, Run, planes_start
from ..ops.lif import fire
from ..surrogates import check_surrogate
from .like import settings

SMALLEST_THRESHOLD = 1e-3
BOUNDS = {"leak": (0.0, 1.0), "threshold": (SMALLEST_THRESHOLD, math.inf)}
SLACK = 0.05  # how far past its bounds a leak is still taken for an optimiser's step, not for a mistake


def bounded(parameter: Tensor, low: float, high: float) -> Tensor:
    """The parameter inside its bounds, with the gradient passing straight through.

    An optimiser may step over a bound; the layer then works with the bound, and the gradient can still
    bring the parameter back. `project_parameters` moves the parameter itself.
    """
    if parameter.dtype not in CURRENT_DTYPES:
        raise TypeError(
            "leak and threshold must be in float32, float64, bfloat16 or float16 as the currents are, got"
            f" {parameter.dtype}"
        )
    # In this order the difference is exactly zero, so the value is exactly the bound in every dtype. Of an
    # infinite parameter it is NaN, which is refused like any NaN.
    return parameter.detach().clamp(low, high) + (parameter - parameter.detach())


class LIF(nn.Module):
    """A layer of leaky integrate-and-fire neurons with a trained leak and threshold (thesis eq. 6.1-6.2).

    Args:
        channels: None for one leak and one threshold for the whole layer (the thesis saw no gain from
            more), or the size of dimension 2 of the current for one per channel.
        substeps: sub-steps that each row of current lasts; a call may override it.
        leak: start value in [0, 1], or a list of one for each channel. Default 0.95: the membrane forgets
            half of a token in about 14 sub-steps, so the next tokens still see it.
        threshold: start value, > 0, or a list. Default 1.
        reset: "soft" (thesis), "soft_immediate" or "hard".
        surrogate: derivative used for the spike; default thesis eq. 5.12.
        learn_leak, learn_threshold: whether they are trained, as in the thesis, or fixed buffers.
        detach_reset: let no gradient through the reset.
        norm_input: weight the current by (1 - leak), as `functional.lif`. Default False.
    Raises:
        ValueError: at construction and when a state dict with values out of bounds is loaded.

    An optimiser can push a parameter over its bound. The layer works with the bound then; call
    `spikeseq.project_parameters(model)` after the optimiser's step to move the parameter itself.
    `state_dict()` moves it too: its values are the parameters themselves, as everywhere in torch, and can be
    loaded. Loading takes a leak up to 0.05 past its bounds, which an optimiser's step and the rounding of an
    average make, and refuses others, thresholds that are not positive, and what is not finite.
    """

    starts: Mapping[str, float | tuple[float, ...]] = MappingProxyType({})  # of layers pickled without
    norm_input = False  # the same

    def __init__(
        self,
        channels: int | None = None,
        *,
        substeps: int = 1,
        leak: float | Sequence[float] = 0.95,
        threshold: float | Sequence[float] = 1.0,
        reset: str = "soft",
        surrogate: Surrogate | None = None,
        learn_leak: bool = True,
        learn_threshold: bool = True,
        detach_reset: bool = False,
        norm_input: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **others: NoReturn,
    ) -> None:
        super().__init__()
        for name in others:  # layers hand on what they do not know
            known = LIF.__init__.__kwdefaults__ or {}
            raise TypeError(f"neurons take no {name!r}; they take {', '.join(known)}")
        self.channels = None if channels is None else positive_int("channels", channels)
        self.substeps = positive_int("substeps", substeps)
        self.reset = choice("reset", reset, RESETS)
        self.surrogate = check_surrogate(PiecewiseLinear() if surrogate is None else surrogate)
        self.detach_reset, self.norm_input = detach_reset, norm_input
        self.starts = {
            "leak": one_or_each("leak", leak, self.channels, check_leak),
            "threshold": one_or_each("threshold", threshold, self.channels, check_threshold),
        }
        check_dtype(dtype)
        for name, learn in (("leak", learn_leak), ("threshold", learn_threshold)):
            tensor = torch.empty(self.channels or 1, device=device, dtype=dtype)
            if learn:
                self.register_parameter(name, nn.Parameter(tensor))
            else:
                self.register_buffer(name, tensor)
        LIF.reset_parameters(self)

    leak: Tensor
    threshold: Tensor

    @classmethod
    def like(
        cls,
        library: str,
        channels: int | None = None,
        *,
        threshold: float | Sequence[float] = 1.0,
        reset: str | None = None,
        norm_input: bool | None = None,
        dtype: torch.dtype | None = None,
        **arguments: Any,
    ) -> "LIF":
        """Neurons that fire the spikes of another library's, one a step (docs/neurons.md).

        Args:
            library: "snntorch", "norse", "spikingjelly", "sinabs", "rockpool", "brian2", "bindsnet", "lava".
            threshold: theirs; where they fire at the threshold, too, ours is the number before it.
            reset, norm_input: where a library has several; default, its own default.
            channels, dtype, arguments: as `LIF`, such as `leak`.
        Raises:
            ValueError: another library, or a reset or input that it has not, with those that it has.
        """
        as_theirs = settings(library, threshold, reset, norm_input, dtype)
        return cls(channels, dtype=dtype, **as_theirs, **arguments)

    @property
    def planes(self) -> int:
        """Values of a neuron's state beside its membrane."""
        return len(planes_start(self.reset, self.surrogate))

    def neuron(self, leak: Tensor | float | None = None) -> Neuron:
        """The neurons that this layer stands for; with `leak` in the place of its own, if one is given."""
        return Neuron(
            bounded(self.leak, *BOUNDS["leak"]) if leak is None else leak,
            bounded(self.threshold, *BOUNDS["threshold"]),
            self.reset,
            self.surrogate,
            self.detach_reset,
            self.norm_input,
        )

    def forward(
        self,
        current: Tensor,
        state: Tensor | None = None,
        *,
        leak: Tensor | float | None = None,
        lengths: Tensor | None = None,
        substeps: int | None = None,
        readout: str = "spikes",
        window: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `functional.lif`: currents (L, B, *) in, spikes (L * substeps, B, *) and state out.

        Args:
            leak: what holds at this call in the place of the layer's own leak, which then gets no gradient:
                whatever `functional.lif` takes, such as (L, B, *), a leak for every token. Default None.
            Others: as `functional.lif`.
        """
        if self._forward_hooks:
            check_time_first(self)
        steps = self.substeps if substeps is None else substeps
        return fire(current, state, self.neuron(leak), Run(steps, window, readout, lengths))

    def emits(self, call: Mapping[str, Any]) -> float | None:
        """The height of a spike in what a call with these arguments gives first; None: analog values."""
        readout, window = call.get("readout", "spikes"), call.get("window")
        if readout == "membrane":
            return None
        return 1.0 if readout == "spikes" else 1 / (window or call.get("substeps") or self.substeps)

    def reset_parameters(self) -> None:
        """Leak and threshold go back to the start values that the layer was made with."""
        with torch.no_grad():
            for name, tensor in self._own():
                tensor.copy_(self.start_of(name))

    def start_of(self, name: str) -> Tensor:
        """What "leak" or "threshold" starts from, on the CPU, in the shape and type of the parameter."""
        like = getattr(self, name)
        if name not in self.starts:
            return like.detach().cpu()  # type: ignore[no-any-return]
        start = torch.tensor(self.starts[name], dtype=like.dtype, device="cpu")
        return start.expand(like.shape).clone()

    def project(self) -> None:
        """Moves leak and threshold into their bounds, in place; not what a parametrization makes."""
        for name, tensor in self._own():
            low, high = BOUNDS[name]
            readable = tensor.device.type == "cpu" and has_values(tensor)
            if readable and bool(((tensor >= low) & (tensor <= high)).all()):
                continue  # nothing is written where nothing changes: the memory may be read-only
            writing: AbstractContextManager[Any] = (
                torch.inference_mode() if tensor.is_inference() else torch.no_grad()
            )
            with writing:
                tensor.clamp_(low, high)

    def _own(self) -> Iterator[tuple[str, Tensor]]:
        """Leak and threshold where they are tensors of this layer, and not made anew at every call."""
        for name in BOUNDS:
            tensor = self._parameters.get(name, self._buffers.get(name))
            if tensor is not None:
                yield name, tensor

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        if not keep_vars:  # what is saved is what the layer works with
            self.project()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for name, check, slack in (("leak", check_leak, SLACK), ("threshold", check_threshold, 0.0)):
            values = state_dict.get(prefix + name)
            if not (isinstance(values, Tensor) and has_values(values)):
                continue
            low, high = BOUNDS[name]
            for value in unwrapped(values).flatten().tolist():
                if low - slack <= value <= high + slack and math.isfinite(value):
                    continue
                try:
                    check(value)
                except ValueError as error:
                    raise ValueError(
                        f"{prefix}{name}: {error}; after an optimiser's step, spikeseq.project_parameters"
                        " moves it to its bound"
                    ) from None
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        def shown(p: Tensor) -> str:
            if p.numel() > 1:
                return "(per channel)"
            readable = p.device.type == "cpu" and has_values(p)
            return f"{p.item():.3g}" if readable else f"(on {p.device})"

        leak, threshold = shown(self.leak), shown(self.threshold)
        norm = ", norm_input=True" if self.norm_input else ""
        return f"leak={leak}, threshold={threshold}, substeps={self.substeps}, reset={self.reset!r}{norm}"


def row_of(leak: Any, current: Tensor) -> Any:
    """The leak of a cell's call for a current (B, *) in time: (1, B, *) if it is the token's own."""
    return leak.unsqueeze(0) if isinstance(leak, Tensor) and leak.shape == current.shape else leak


class LIFCell(LIF):
    """One token at a time: current (B, *) in, (substeps, B, *) spikes or (B, *) read-out and state out.

    Takes the arguments of `LIF`. Streaming a sequence through it gives bit for bit what `LIF` gives.
    """

    def forward(  # type: ignore[override]
        self,
        current: Tensor,
        state: Tensor | None = None,
        *,
        leak: Tensor | float | None = None,
        readout: str = "spikes",
    ) -> tuple[Tensor, Tensor]:
        """Spikes (substeps, B, *), or the rate or membrane (B, *), and the state.

        Args:
            leak: as `LIF`; a tensor in current's shape (B, *) is the token's own.
        """
        check_tensor("current", current)
        row, leak = current.unsqueeze(0), row_of(leak, current)
        out, state = super().forward(row, state, leak=leak, readout=readout)
        return (out if readout == "spikes" else out.squeeze(0)), state


class Integrator(nn.Module):
    """A neuron that never fires: u[t] = u[t-1] + I[t], the read-out ("accumulator") of the thesis.

    Args:
        substeps: sub-steps that each row of current lasts.
    """

    def __init__(self, substeps: int = 1) -> None:
        super().__init__()
        self.substeps = positive_int("substeps", substeps)

    def forward(
        self, current: Tensor, state: Tensor | None = None, *, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The membrane after each row (L, B, *), zero past a sequence's end, and the final membrane (B, *).

        Args:
            current: (L, B, *).
            state: (B, *), the membrane so far; default zeros.
            lengths: (B,) rows of current that count.
        """
        check_tensor("current", current)
        dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
        # The thesis's own way: an IF neuron whose threshold is never reached. A gradient through its reset
        # would be multiplied by that threshold and overflow.
        return lif(
            current,
            state,
            leak=1.0,
            threshold=torch.finfo(dtype).max,
            substeps=self.substeps,
            lengths=lengths,
            readout="membrane",
            detach_reset=True,
        )

    def emits(self, call: Mapping[str, Any]) -> None:
        """As `LIF.emits`: analog values, whatever it is called with."""

    def extra_repr(self) -> str:
        return f"substeps={self.substeps}"


def project_parameters(model: nn.Module) -> None:
    """Moves every leak of `model` into [0, 1] and every threshold to at least 0.001, in place.

    To be called after each optimiser step (projected gradient descent). A sigmoid would do without, but
    then leak 1, an integrator, could not be reached. What a parametrization makes is left to it; the layer
    works with the bound.
    """
    for module in of_kind(check_module("model", model), LIF).values():
        module.project()
