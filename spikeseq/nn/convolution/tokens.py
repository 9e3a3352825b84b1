"""Convolutions over tokens, time first, with an explicit state: the last inputs of the chunk before."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...checks import check_tensor, positive_int
from ...functional.taps import add_taps
from ...modules import check_time_first
from ...ops.eager import traced


def over_tokens(
    conv: Any, x: Tensor, state: Tensor | None, plus: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """The forward pass of a convolution over tokens, however it multiplies: `conv.add(base, inputs, before)`.

    Args:
        conv: with `in_channels`, `out_channels`, `kernel_size`, `causal`, `bias` and `add`.
        x, state, plus: as `TokenConv1d.forward`.
    """
    if check_tensor("x", x).dim() < 2 or x.shape[-1] != conv.in_channels:
        raise ValueError(f"x must be (L, *, {conv.in_channels}), got {tuple(x.shape)}")
    kept = conv.kernel_size - 1
    before = kept if conv.causal else conv.kernel_size // 2
    given = x
    if state is not None:
        if not conv.causal:
            raise ValueError("state goes with a causal convolution; this one sees later tokens too")
        if tuple(state.shape) != (kept, *x.shape[1:]):
            raise ValueError(f"state must be {(kept, *x.shape[1:])}, got {tuple(state.shape)}")
        given, before = torch.cat((state, x)), 0
    shape = (*x.shape[:-1], conv.out_channels)
    base = _own(x, plus, conv.bias, shape)
    out = conv.add(base, given, before)
    if not conv.causal:
        return out, None
    rows = given.shape[0]
    if state is None and (traced() or rows < kept):  # not asked while traced: it would fix the number
        given = torch.cat((given.new_zeros((kept, *given.shape[1:])), given))
    return out, given[given.shape[0] - kept :]


def _own(x: Tensor, plus: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """plus + bias in a tensor of our own, which the taps are added to in place."""
    if plus is None and bias is None:
        return x.new_zeros(shape)
    if plus is not None and bias is not None:
        total = plus + bias
        if traced() is None and total.shape == shape and total.is_contiguous():
            return total  # nobody else has it
    else:
        total = bias if plus is None else plus  # type: ignore[assignment]
    return total.expand(shape).clone(memory_format=torch.contiguous_format)


class TokenConv1d(nn.Module):
    """Convolution over the tokens of (L, *, in_channels), zero padding, as many tokens out as in.

    Args:
        in_channels, out_channels: features of a token before and after.
        kernel_size: K tokens that an output sees; default 3, as in the thesis (6.5.3).
        causal: whether they end with the token itself, or lie around it (K odd).
        bias: add a constant.

    The weight is (K, in_channels, out_channels), one matrix per tap.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, causal: bool, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_channels = positive_int("in_channels", in_channels)
        self.out_channels = positive_int("out_channels", out_channels)
        self.kernel_size = positive_int("kernel_size", kernel_size)
        if not causal and kernel_size % 2 == 0:
            raise ValueError(
                f"kernel_size must be odd where the kernel lies around a token, got {kernel_size}"
            )
        self.causal = causal
        self.weight = nn.Parameter(torch.empty(kernel_size, in_channels, out_channels))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal with deviation 1 / sqrt(K in_channels), under which unit variance stays; bias zero."""
        nn.init.normal_(self.weight, std=1 / math.sqrt(self.kernel_size * self.in_channels))
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, plus: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """(L, *, in_channels) to (L, *, out_channels), and the state after it.

        Args:
            x: real values or spikes.
            state: (K - 1, *, in_channels), the inputs before x; only if causal. Default zeros.
            plus: something to add, such as a residual; broadcast to the output.
        """
        if self._forward_hooks:
            check_time_first(self)
        return over_tokens(self, x, state, plus)

    def add(self, base: Tensor, x: Tensor, before: int) -> Tensor:
        """`functional.taps.add_taps` with the own weight."""
        return add_taps(base, x, self.weight, before)

    def extra_repr(self) -> str:
        kind = "causal" if self.causal else "centred"
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, {kind}"


class CausalConv1d(TokenConv1d):
    """A convolution that never sees a later token: whole = chunked = one token at a time, by its state.

    Args: as `TokenConv1d`.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, bias: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, causal=True, bias=bias)
