"""The type that products are computed in."""

from torch import Tensor

from ..checks import autocast_dtype


def cast(x: Tensor) -> Tensor:
    """x as autocast would have it: for what does not cast itself, such as nn.LSTM on a CPU."""
    return x.to(autocast_dtype(x) or x.dtype)
