"""Convolution over tokens, time first."""

from torch import Tensor

from ..ops.dispatch import dispatch
from ..ops.taps import TAPS
from .precision import cast


def add_taps(base: Tensor, x: Tensor, weight: Tensor, before: int) -> Tensor:
    """base[l] + sum over k of x[l + k - before] @ weight[k]; rows of x that do not exist count as zero.

    Under autocast the products are of half precision, as those of linear maps; they are added to `base` in
    its own type.

    Args:
        base: (L, *, O), contiguous; overwritten, so it must be a tensor of the caller's own making.
        x: (L', *, I), any middle dimensions, the same as those of base.
        weight: (K, I, O).
        before: K - 1 for a causal convolution, K // 2 for a centred one, 0 where x begins K - 1 rows earlier.
    """
    x = cast(x).contiguous()
    weight = weight.to(x.dtype).contiguous()
    return dispatch(TAPS, base, x, weight, before)  # type: ignore[no-any-return]
