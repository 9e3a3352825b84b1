"""Maps driven by events: they read the weights of neurons that fired, row by row."""

from threading import Lock

import torch
from torch import Tensor, nn

from ..checks import choice
from ..functional.events import add_events
from ..ops.taps import flat, ranges
from .convolution.tokens import TokenConv1d, over_tokens

WEIGHTS = ("float32", "int8")
COUNTING = Lock()  # several threads may use one model


class EventMap(nn.Module):
    """Weights by the neuron that they start from, (K, I, O), read row by row as spikes arrive.

    Args:
        weight: (K, I, O), K matrices of one map.
        bias: (O,) or None.
        weights: "float32", or "int8": a byte each, with one scale per output and matrix, largest weight 127.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, weights: str = "float32") -> None:
        super().__init__()
        weight = weight.detach().clone(memory_format=torch.contiguous_format)
        scale = None
        if choice("weights", weights, WEIGHTS) == "int8":
            scale = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(weight.dtype).tiny)
            weight = (weight / scale.unsqueeze(1)).round().to(torch.int8)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.in_features, self.out_features = weight.shape[1:]
        self.reads = 0  # weights read so far

    weight: Tensor
    scale: Tensor | None
    bias: Tensor | None

    def add_rows(self, base: Tensor, x: Tensor, k: int = 0) -> None:
        """base (R, O) += x (R, I) through matrix k."""
        self.count(add_events(base, x, self.weight[k], None if self.scale is None else self.scale[k]))

    def count(self, reads: int) -> None:
        """Adds to the weights that were read."""
        with COUNTING:
            self.reads += reads

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, {str(self.weight.dtype).removeprefix('torch.')}"


class EventLinear(EventMap):
    """An nn.Linear whose input is spikes, or sums of them.

    Args:
        linear: what it stands for. weights: as `EventMap`.
    """

    def __init__(self, linear: nn.Linear, weights: str = "float32") -> None:
        super().__init__(linear.weight.t().unsqueeze(0), linear.bias, weights)

    def forward(self, x: Tensor) -> Tensor:
        """(*, I) to (*, O)."""
        shape = (*x.shape[:-1], self.out_features)
        if self.bias is None:
            out = x.new_zeros(shape)
        else:
            out = self.bias.to(x.dtype).expand(shape).clone(memory_format=torch.contiguous_format)
        self.add_rows(out.view(-1, self.out_features), x.reshape(-1, self.in_features))
        return out


class EventConv1d(EventMap):
    """A `TokenConv1d` whose input is spikes, or sums of them.

    Args:
        conv: what it stands for. weights: as `EventMap`.
    """

    def __init__(self, conv: TokenConv1d, weights: str = "float32") -> None:
        super().__init__(conv.weight, conv.bias, weights)
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.causal = conv.kernel_size, conv.causal

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, plus: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As `TokenConv1d`."""
        return over_tokens(self, x, state, plus)

    def add(self, base: Tensor, x: Tensor, before: int) -> Tensor:
        """base (L, *, O) += the taps' rows for every spike of x (L', *, I)."""
        x = x.contiguous()
        for k, (rows, made) in enumerate(ranges(len(x), len(base), self.kernel_size, before)):
            self.add_rows(flat(base, made), flat(x, rows), k)
        return base
