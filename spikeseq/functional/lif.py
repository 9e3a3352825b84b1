"""The leaky integrate-and-fire neuron as a pure function: state in, state out."""

from typing import Any

import torch
from torch import Tensor

from .. import ops
from ..checks import check_leak, check_tensor, check_threshold, choice, positive_int
from ..debugging import debugging
from .surrogates import PiecewiseLinear, Surrogate, check_surrogate

RESETS = ("soft", "soft_immediate", "hard")
READOUTS = ("spikes", "rate", "membrane")
MOST_SUBSTEPS = 2**31 - 1
_CURRENT_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


def lif(
    current: Tensor,
    state: Tensor | None = None,
    *,
    leak: Tensor | float,
    threshold: Tensor | float,
    substeps: int = 1,
    reset: str = "soft",
    surrogate: Surrogate = PiecewiseLinear(),  # noqa: B008  a frozen value
    lengths: Tensor | None = None,
    detach_reset: bool = False,
    readout: str = "spikes",
    window: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire over a sequence (thesis eq. 6.1-6.2).

    With the default soft reset, at every sub-step ``u[t] = leak * u[t-1] + I[t] - threshold * o[t-1]`` and
    ``o[t] = 1 if u[t] > threshold else 0``. `soft_immediate` resets before the leak,
    ``u[t] = leak * (u[t-1] - threshold * o[t-1]) + I[t]``, and `hard` resets to zero,
    ``u[t] = leak * u[t-1] * (1 - o[t-1]) + I[t]``. Leak 1 is an integrate-and-fire neuron.

    Args:
        current: (L, B, *), input current; float32, float64, bfloat16 or float16.
        state: (B, *), the membrane before its reset, as a former call returned it; float64 for float64
            currents, else float32. A supplied membrane above the threshold is reset at the first sub-step
            without emitting a spike. Default: zeros. With a surrogate that remembers, (1 + planes, B, *), and
            by default its `memory_start` beside the zeros.
        leak: in [0, 1]; a number, or a tensor (), (1,) or (C,) with C the size of dimension 2 of current.
        threshold: positive, as leak.
        substeps: sub-steps that every row of current lasts (direct coding), without copying the row.
        reset: "soft", "soft_immediate" or "hard".
        surrogate: derivative that stands in for that of the spike in the backward pass.
        lengths: (B,) int64, rows of current that count for each sequence; 0 is allowed. Past its end a
            sequence emits zeros and its state stays.
        detach_reset: let no gradient through the o[t-1] of the reset.
        readout: what comes out: "spikes", every sub-step; "rate", the share of sub-steps with a spike in
            each window; "membrane", the membrane at the last sub-step of each window. The latter two never
            make the spikes in memory.
        window: sub-steps that each row of "rate" or "membrane" covers; default `substeps` (one per token).
    Returns:
        (L * substeps, B, *) spikes, row l * substeps + t, in current's dtype; or
        (L * substeps / window, B, *) for the other read-outs; and the final state, shaped as `state`.
        All carry gradients, to current, state, leak and threshold. There is no second derivative.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted. The values of CUDA
            tensors are only checked under `spikeseq.debug()`, because reading them waits for the device.
    """
    arguments = op_arguments(
        current,
        state,
        leak=leak,
        threshold=threshold,
        substeps=substeps,
        reset=reset,
        surrogate=surrogate,
        lengths=lengths,
        detach_reset=detach_reset,
        readout=readout,
        window=window,
    )
    out, final, _ = ops.lif(current, *arguments)
    return out, final if surrogate.memory_planes else final[0]


def op_arguments(
    current: Tensor,
    state: Tensor | None = None,
    *,
    leak: Tensor | float,
    threshold: Tensor | float,
    substeps: int = 1,
    reset: str = "soft",
    surrogate: Surrogate = PiecewiseLinear(),  # noqa: B008  a frozen value
    lengths: Tensor | None = None,
    detach_reset: bool = False,
    readout: str = "spikes",
    window: int | None = None,
) -> tuple[Any, ...]:
    """Those of `lif`, checked, as the op takes them behind `current`, of which only the form counts."""
    _check_current(current)
    substeps = positive_int("substeps", substeps)
    choice("reset", reset, RESETS)
    choice("readout", readout, READOUTS)
    check_surrogate(surrogate)
    if not isinstance(detach_reset, bool):
        raise TypeError(f"detach_reset must be True or False, got {detach_reset!r}")
    dtype = torch.float64 if current.dtype == torch.float64 else torch.float32
    if readout == "spikes":
        if window not in (None, 1):
            raise ValueError(f"window only goes with readout 'rate' or 'membrane', got {window!r}")
        window = 1
    window = substeps if window is None else positive_int("window", window)
    if current.shape[0] * substeps > MOST_SUBSTEPS:
        raise ValueError(f"substeps {substeps} times {current.shape[0]} rows are more than {MOST_SUBSTEPS}")
    if current.shape[0] * substeps % window:
        raise ValueError(f"window {window} does not divide the {current.shape[0] * substeps} sub-steps")
    leak = _parameter("leak", leak, current, dtype)
    threshold = _parameter("threshold", threshold, current, dtype)
    if leak.numel() != threshold.numel():  # one of them per layer, the other per channel
        channels = threshold.numel() if leak.numel() == 1 else leak.numel()
        leak, threshold = leak.expand(channels), threshold.expand(channels)
    planes = surrogate.memory_planes
    if state is None:
        full = current.new_zeros((1 + planes, *current.shape[1:]), dtype=dtype)
        for plane, start in enumerate(surrogate.memory_start, 1):
            full[plane] = start
    else:
        full = _check_state(state, current, dtype, planes)
    if lengths is not None:
        lengths = _check_lengths(lengths, current)
    if debugging() and not torch.compiler.is_compiling():
        ops._check_values(
            len(current), leak.cpu(), threshold.cpu(), None if lengths is None else lengths.cpu()
        )
    return (
        full, leak, threshold, lengths, substeps, window, reset, readout,
        surrogate.name, float(surrogate.height), float(surrogate.width), detach_reset,
    )  # fmt: skip


def _check_current(current: Tensor) -> None:
    check_tensor("current", current)
    if current.layout != torch.strided:
        raise TypeError(f"current must be a dense tensor, got layout {current.layout}")
    if current.dtype not in _CURRENT_DTYPES:
        raise TypeError(f"current must be float32, float64, bfloat16 or float16, got {current.dtype}")
    if current.dim() < 2:
        raise ValueError(f"current must be (L, B, *), got {tuple(current.shape)}")
    if current.shape[0] == 0:
        raise ValueError(f"current must have at least one row, got {tuple(current.shape)}")


def _parameter(name: str, value: Tensor | float, current: Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(value, bool) or not isinstance(value, Tensor | int | float):
        raise TypeError(f"{name} must be a number or a Tensor, got {value!r}")
    if not isinstance(value, Tensor):
        checked = check_leak(value) if name == "leak" else check_threshold(value)
        if checked > torch.finfo(dtype).max:
            raise ValueError(f"{name} must fit {dtype}, got {value}")
        return current.new_full((1,), checked, dtype=dtype)
    _same_device(name, value, current)
    if not value.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {value.dtype}")
    channels = current.shape[2] if current.dim() > 2 else 1
    if value.dim() > 1 or value.numel() not in (1, channels):
        raise ValueError(f"{name} must have shape (), (1,) or ({channels},), got {tuple(value.shape)}")
    return value.reshape(-1).to(dtype)


def _check_state(state: Tensor, current: Tensor, dtype: torch.dtype, planes: int) -> Tensor:
    expected = (*([1 + planes] if planes else []), *current.shape[1:])
    check_tensor("state", state)
    _same_device("state", state, current)
    if state.dtype != dtype:
        raise TypeError(f"state must be {dtype} for {current.dtype} currents, got {state.dtype}")
    if tuple(state.shape) != expected:
        raise ValueError(f"state must have shape {expected}, got {tuple(state.shape)}")
    return state if planes else state.unsqueeze(0)


def _check_lengths(lengths: Tensor, current: Tensor) -> Tensor:
    check_tensor("lengths", lengths)
    if lengths.dtype not in (torch.int64, torch.int32):
        raise TypeError(f"lengths must be int64, got {lengths.dtype}")
    if tuple(lengths.shape) != (current.shape[1],):
        raise ValueError(f"lengths must have shape ({current.shape[1]},), got {tuple(lengths.shape)}")
    return lengths.to(device=current.device, dtype=torch.int64)


def _same_device(name: str, value: Tensor, current: Tensor) -> None:
    if value.device != current.device:
        raise ValueError(f"{name} is on {value.device}, current on {current.device}")
