"""Checks of arguments: each returns what it was given, or raises an error that names the argument, its value
and what is accepted."""

import math
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.amp.autocast_mode import is_autocast_available
from torch.fx.experimental.proxy_tensor import get_proxy_mode
from torch.nn import Module

CURRENT_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
WHOLE_NUMBERS = (torch.int64, torch.int32)


def positive_int(name: str, value: int) -> int:
    """`value` if it is an integer of at least 1; else a TypeError or ValueError that names it."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")
    return value


def strings(name: str, values: Iterable[str]) -> list[str]:
    """`values` as a list if they are strings; a TypeError for one string, or what holds something else."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of strings, got {one_of(values)}")
    found = list(values)
    for value in found:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be strings, got {value!r} ({type(value).__name__})")
    return found


def one_of(value: object) -> str:
    """How an error calls what came in the place of many."""
    return "one string" if isinstance(value, str) else f"{value!r:.40} ({type(value).__name__})"


def choice(name: str, value: str, choices: tuple[str | None, ...]) -> str:
    """`value` if it is one of `choices`; else a ValueError that lists them."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}")
    return value


def check_tensor(name: str, value: Tensor) -> Tensor:
    """`value` if it is a Tensor; else a TypeError that names its type."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a Tensor, got {type(value).__name__}")
    return value


def check_module(name: str, value: Module) -> Module:
    """`value` if it is an nn.Module; else a TypeError that names its type."""
    if not isinstance(value, Module):
        kind = f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
        raise TypeError(f"{name} must be an nn.Module, got {kind}")
    return value


def check_leak(value: float) -> float:
    """A leak given as a number, which must lie in [0, 1]."""
    check_number("leak", value)
    if not 0 <= value <= 1:
        raise ValueError(f"leak must lie in [0, 1], got {value}")
    return float(value)


def check_threshold(value: float) -> float:
    """A threshold given as a number, which must be positive and finite."""
    check_number("threshold", value)
    if not 0 < value <= sys.float_info.max:
        raise ValueError(f"threshold must be positive and finite, got {value}")
    return float(value)


def check_number(name: str, value: float, expected: str = "a number") -> float:
    """`value` if it is a number; else a TypeError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be {expected}, got {value!r}")
    return value


def check_share(p: float) -> float:
    """`p` if it is a share that dropout can silence; else a TypeError or ValueError."""
    check_number("p", p)
    if not 0 <= p < 1:
        raise ValueError(f"p must lie in [0, 1), got {p}")
    return p


def check_initial(share: float) -> float:
    """`share` if it is a number in [0, 1]; else a TypeError or ValueError that names it."""
    check_number("initial", share)
    if not 0 <= share <= 1:
        raise ValueError(f"initial must lie in [0, 1], a share of the threshold, got {share}")
    return float(share)


def one_or_each(
    name: str, value: object, count: int | None, check: Callable[[float], float]
) -> float | tuple[float, ...]:
    """A number, or a list of one for each of `count` channels, each of which passes `check`."""
    if not isinstance(value, list | tuple):
        return check(value)  # type: ignore[arg-type]
    if len(value) != count:
        many = "a number without channels" if count is None else f"a number, or {count} of them"
        raise ValueError(f"{name} must be {many}, got {len(value)} numbers")
    return tuple(map(check, value))


def has_values(tensor: Tensor) -> bool:
    """Whether a tensor has values that can be read: not on "meta", not fake, not while code is traced."""
    return not (tensor.is_meta or isinstance(tensor, FakeTensor) or torch.compiler.is_compiling())


def unwrapped(tensor: Tensor) -> Tensor:
    """The values that something was put around: by torch.func, of all samples that are mapped; by FSDP2, this
    process's part."""
    inside = torch._C._functorch
    while inside.is_functorch_wrapped_tensor(tensor):
        tensor = inside.get_unwrapped(tensor)
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def only_shapes(tensor: Tensor) -> bool:
    """Whether nothing but shapes is wanted of a call: on "meta", or fake and not while code is traced."""
    bare = isinstance(tensor, FakeTensor) and get_proxy_mode() is None and not torch.compiler.is_compiling()
    return tensor.is_meta or bare


def check_dtype(dtype: torch.dtype | None) -> torch.dtype | None:
    """`dtype` if neurons can be of it, or None; else a TypeError that names it."""
    if dtype is not None and dtype not in CURRENT_DTYPES:
        raise TypeError(f"dtype must be float32, float64, bfloat16 or float16, got {dtype}")
    return dtype


def check_current(current: Tensor) -> None:
    """Refuses what no neuron takes as its currents (L, B, *)."""
    check_tensor("current", current)
    if current.layout != torch.strided:
        raise TypeError(f"current must be a dense tensor, got layout {current.layout}")
    if current.dtype not in CURRENT_DTYPES:
        raise TypeError(f"current must be float32, float64, bfloat16 or float16, got {current.dtype}")
    if current.dim() < 2:
        raise ValueError(f"current must be (L, B, *), got {tuple(current.shape)}")
    if current.shape[0] == 0:
        raise ValueError(f"current must have at least one row, got {tuple(current.shape)}")


def check_parameter(name: str, value: Tensor | float, current: Tensor, dtype: torch.dtype) -> Tensor:
    """The leak or the threshold as (1,) or (C,) of type `dtype`, C the size of dimension 2 of `current`; or a
    leak for every token, in the shape of `current`."""
    if isinstance(value, Tensor):
        check_device(name, value, current)
        if not value.is_floating_point():
            raise TypeError(f"{name} must be a floating-point tensor, got {value.dtype}")
        if name == "leak" and value.dim() > 1 and value.shape == current.shape:
            return value.to(dtype)
        channels = current.shape[2] if current.dim() > 2 else 1
        if value.dim() > 1 or (value.numel() != 1 and value.numel() != channels):
            rows = f", or current's {tuple(current.shape)}" if name == "leak" else ""
            accepted = f"(), (1,) or ({channels},){rows}"
            raise ValueError(f"{name} must have shape {accepted}, got {tuple(value.shape)}")
        return value.reshape(-1).to(dtype)
    check_number(name, value, "a number or a Tensor")
    number = check_leak(value) if name == "leak" else check_threshold(value)
    if number > torch.finfo(dtype).max:
        raise ValueError(f"{name} must fit {dtype}, got {value}")
    return current.new_full((1,), number, dtype=dtype)


def check_state(state: Tensor, current: Tensor, dtype: torch.dtype, planes: int) -> Tensor:
    """A state (B, *), or (1 + planes, B, *) of neurons that remember something, as (1 + planes, B, *)."""
    check_shape("state", state, (*([1 + planes] if planes else []), *current.shape[1:]), current, dtype)
    return state if planes else state.unsqueeze(0)


def check_shape(
    name: str, value: Tensor, shape: tuple[int, ...], current: Tensor, dtype: torch.dtype | None = None
) -> Tensor:
    """`value` if it is a Tensor of that shape and type on the device of `current`."""
    check_tensor(name, value)
    check_device(name, value, current)
    if dtype is not None and value.dtype != dtype:
        raise TypeError(f"{name} must be {dtype} for {current.dtype} currents, got {value.dtype}")
    if tuple(value.shape) != shape:
        raise ValueError(f"{name} must have shape {shape}, got {tuple(value.shape)}")
    return value


def check_device(name: str, value: Tensor, current: Tensor) -> None:
    """Refuses a tensor on another device than `current`."""
    if value.device != current.device:
        raise ValueError(f"{name} is on {value.device}, current on {current.device}")


def check_lengths(lengths: Tensor, current: Tensor) -> Tensor:
    """The rows of `current` (L, B, *) that count for each sequence, (B,), as int64 on its device."""
    check_tensor("lengths", lengths)
    if lengths.dtype not in WHOLE_NUMBERS:
        raise TypeError(f"lengths must be int64, got {lengths.dtype}")
    if tuple(lengths.shape) != (current.shape[1],):
        raise ValueError(f"lengths must have shape ({current.shape[1]},), got {tuple(lengths.shape)}")
    return lengths.to(device=current.device, dtype=torch.int64)


def sequence_lengths(lengths: Any, x: Tensor) -> Tensor | None:
    """`check_lengths` for a batch of sequences `x` (L, B, *), which takes lists of numbers too, or None.

    Their values are checked as well, where reading them does not wait for a device.
    """
    if lengths is None:
        return None
    most, batch = x.shape[:2]

    def wanted() -> str:  # where it is needed: to write sizes down fixes them in a trace
        return f"lengths must be {batch} integers in [0, {most}], one per sequence"

    if not isinstance(lengths, Tensor):
        try:
            lengths = torch.as_tensor(lengths)
        except (RuntimeError, TypeError, ValueError):
            raise TypeError(f"{wanted()}, got {lengths!r}") from None
    if lengths.dtype not in WHOLE_NUMBERS or lengths.shape != (batch,):
        raise ValueError(f"{wanted()}, got shape {tuple(lengths.shape)} of {lengths.dtype}")
    # The feedback loop of `recurrent=True` hides the values from the op's own check.
    if lengths.device.type == "cpu" and has_values(lengths):
        for value in unwrapped(lengths).flatten().tolist():
            if not 0 <= value <= most:
                raise ValueError(f"{wanted()}, got {value}")
    return check_lengths(lengths, x)


def check_alike(**tensors: Tensor | None) -> None:
    """Refuses tensors of several devices, and sparse ones: they would find no kernel, or the wrong one."""
    given = {name: t for name, t in tensors.items() if t is not None}
    (first, like), *_ = given.items()
    for name, t in given.items():
        if t.layout != torch.strided:
            raise TypeError(f"{name} must be dense, got layout {t.layout}")
        if t.device != like.device:
            raise ValueError(f"{name} is on {t.device}, {first} on {like.device}")


def check_values(rows: int, leak: Tensor, threshold: Tensor, lengths: Tensor | None) -> None:
    """What the native CPU kernel checks too; values on another device, or of fake tensors, are not read."""
    if leak.device.type != "cpu" or type(leak) not in (Tensor, torch.nn.Parameter):
        return
    counts = lengths if lengths is not None and has_values(lengths) else None
    if leak.dim() > 1 and counts is not None:  # rows past a sequence's end do not count
        leak = leak.where(
            (torch.arange(len(leak)).unsqueeze(1) < counts).view(*leak.shape[:2], *[1] * (leak.dim() - 2)), 0
        )
    for value in unwrapped(leak).flatten().tolist():
        if not 0 <= value <= 1:
            raise ValueError(f"leak must lie in [0, 1], got {value}")
    for value in unwrapped(threshold).flatten().tolist():
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"threshold must be positive and finite, got {value}")
    for value in [] if counts is None else unwrapped(counts).flatten().tolist():
        if not 0 <= value <= rows:
            raise ValueError(f"lengths must lie in [0, {rows}] (the rows of current), got {value}")


def check_input(x: Tensor, features: int, like: Tensor) -> None:
    """Refuses an input with other features than the layer's, or another device or type than `like`'s."""
    if x.is_nested or x.layout != torch.strided:
        kind = "a nested tensor" if x.is_nested else f"layout {x.layout}"
        raise TypeError(f"input must be a dense tensor, or a PackedSequence, got {kind}")
    if x.shape[-1] != features:
        raise ValueError(f"input must have {features} features, got {tuple(x.shape)}")
    if x.device != like.device:
        raise ValueError(f"input is on {x.device}, the layer on {like.device}")
    if x.dtype != like.dtype:
        # Half precision and float32 are converted by the linear map, under autocast.
        converted = x.dtype in (torch.float32, torch.bfloat16, torch.float16)
        if not (converted and autocast_dtype(x)):
            raise TypeError(f"input must be {like.dtype} as the layer is, got {x.dtype}")


def check_hx(hx: Tensor, expected: tuple[int, ...], x: Tensor) -> None:
    """Refuses a state of another shape, or another device or type than an input `x` wants."""
    if tuple(check_tensor("hx", hx).shape) != expected:
        raise ValueError(f"hx must have shape {expected}, got {tuple(hx.shape)}")
    if hx.layout != torch.strided:
        raise TypeError(f"hx must be dense, got layout {hx.layout}")
    if hx.device != x.device:
        raise ValueError(f"hx is on {hx.device}, the input on {x.device}")
    wanted = torch.promote_types(x.dtype, torch.float32)
    if hx.dtype != wanted:
        raise TypeError(f"hx must be {wanted} for an input in {x.dtype}, got {hx.dtype}")


def autocast_dtype(x: Tensor) -> torch.dtype | None:
    """What autocast turns `x` into before a product; None where it is off, as it always is on "meta"."""
    device = x.device.type
    if device != "meta" and is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return None
