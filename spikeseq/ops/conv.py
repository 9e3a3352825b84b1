"""3 x 3 convolutions of images by Winograd's algorithm, with a quarter of the multiplications of PyTorch's.

F(4 x 4, 3 x 3) of Lavin and Gray (arXiv 1509.09308): 36 products for 16 pixels of an output instead of 144,
between additions. Results differ from those of a plain convolution by some 1e-5 of the largest, and a value
that is not finite spreads over the tiles of 4 x 4 outputs that read it.
"""

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from . import library
from .dispatch import NO_FIT, Op, dispatch, no_kernel, short, under_autocast, unlike
from .eager import traced

library.define("conv3x3(Tensor x, Tensor points) -> Tensor")
library.define(
    "conv3x3_backward(Tensor grad, Tensor x, Tensor points, bool by_x, bool by_points) -> (Tensor, Tensor)"
)

LANES, MADE = 8, 4  # channels of a vector, outputs of a tile's side: csrc/vectors.h and csrc/tiles.h
FEWEST, LEAST = 32, 1 << 24  # channels, and multiplications of the plain way, below which nothing is gained


def fits(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> str | None:
    """Large float32 images on a CPU, a 3 x 3 kernel that moves by one pixel and leaves them as large."""
    return (
        traced()
        or (None if x.is_cpu else f"on {x.device.type}")
        or under_autocast("cpu")
        or (None if x.dtype == torch.float32 else f"{short(x.dtype)} images")
        or unlike(x, images=x, weight=weight, bias=bias)
        or _other(x, weight, bias, stride, padding, dilation, groups)
        or ("products may be rounded" if _may_round() else None)
        or no_kernel("cpu")
    )


def _may_round() -> bool:
    """Whether torch may round factors of float32 products; set in two ways, it does not tell."""
    try:
        return torch.get_float32_matmul_precision() != "highest"
    except RuntimeError:
        return True


def _other(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: Any, padding: Any, dilation: Any, groups: int
) -> str | None:
    """What is not a convolution for which there is a kernel that gains."""
    once = all(value in (1, (1, 1), [1, 1]) for value in (stride, padding, dilation))
    if not once or groups != 1 or x.dim() != 4 or tuple(weight.shape[2:]) != (3, 3):
        return "a convolution other than 3 x 3 with stride, padding and groups 1"
    (count, inputs, *sides), outputs = x.shape, len(weight)
    if weight.shape[1] != inputs or (bias is not None and bias.shape != (outputs,)):
        return NO_FIT
    if inputs % LANES or outputs % LANES or min(inputs, outputs) < FEWEST:
        return f"channels that are not multiples of {LANES} from {FEWEST} on"
    if min(sides) < MADE or 9 * count * inputs * outputs * sides[0] * sides[1] < LEAST:
        return "too little work to gain"
    return None


@cache
def _kernels() -> Tensor:
    """(36, 9), from the 9 weights of a kernel to its points: G and G, for both sides."""
    rows = [[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]
    side = torch.tensor(rows, dtype=torch.float64) / 24
    return torch.kron(side, side).to(torch.float32)


def _points(weight: Tensor) -> Tensor:
    """(36, C, O) of a weight (O, C, 3, 3)."""
    outputs, inputs = weight.shape[:2]
    return (_kernels() @ weight.permute(2, 3, 1, 0).reshape(9, -1)).view(-1, inputs, outputs)


def _pixels(x: Tensor) -> Tensor:
    """Images with their channels last in memory."""
    return x.contiguous(memory_format=torch.channels_last)


def _is_turned(x: Tensor) -> bool:
    """Whether its channels are last in memory, and not because there is one pixel or channel."""
    return x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return torch.ops.spikeseq.conv3x3(_pixels(x), _points(weight))  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        x, weight = ctx.saved_tensors
        by_x, by_weight = ctx.needs_input_grad
        several = torch._C._functorch.is_legacy_batchedtensor(grads[0])  # type: ignore[attr-defined]
        if (
            torch.is_grad_enabled() or several or traced() or under_autocast("cpu")
        ):  # torch's can do all of it
            ones, zeros = [1, 1], [0, 0]
            return torch.ops.aten.convolution_backward(  # type: ignore[no-any-return]
                grads[0], x, weight, None, ones, ones, ones, False, zeros, 1, [by_x, by_weight, False]
            )[:2]
        of_x, of_points = torch.ops.spikeseq.conv3x3_backward(
            _pixels(grads[0]), _pixels(x), _points(weight), by_x, by_weight
        )
        of_weight = _kernels().t() @ of_points.flatten(1) if by_weight else None
        if of_weight is not None:
            of_weight = of_weight.view(3, 3, *of_points.shape[1:]).permute(3, 2, 0, 1).contiguous()
        return of_x if by_x else None, of_weight


def _by_tiles(x: Tensor, weight: Tensor, bias: Tensor | None, *_: Any) -> Tensor:
    out: Tensor = _Conv.apply(x, weight)  # type: ignore[no-untyped-call]
    out = out if bias is None else out + bias.view(-1, 1, 1)
    # In the order in which torch gives it: where neither has its channels last, a network may count on views.
    return out if _is_turned(x) or _is_turned(weight) else out.contiguous()


CONV = Op("conv3x3", fits, _by_tiles, torch.conv2d)
"""Takes the arguments of `torch.conv2d`."""


class _Convolutions(TorchFunctionMode):
    """Calls of a convolution as nn.Conv2d makes them, of seven arguments, go to the op."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.conv2d and not kwargs and len(args) == 7:
            return dispatch(CONV, *args)
        return function(*args, **(kwargs or {}))


def convolving(rows: Tensor, hold: int) -> AbstractContextManager[Any]:
    """Within it, `torch.conv2d` is our op, where that can gain anything.

    It costs a microsecond at every call of torch, so small work goes without. So does what others watch
    or change by modes of torch: they are to see the convolutions.

    Args:
        rows: (L, B, *) that a network is about to see, each `hold` times.
    """
    pixels = rows[:, :, :1].numel() * hold if rows.dim() == 5 else 0
    small = rows.dtype != torch.float32 or not rows.is_cpu or 9 * FEWEST**2 * pixels < LEAST
    if small or traced() or torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack():
        return nullcontext()
    return _Convolutions()
