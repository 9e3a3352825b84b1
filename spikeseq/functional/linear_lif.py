"""A linear map and the neurons behind it in one call."""

from typing import Any

from torch import Tensor

from ..neuron import described
from ..ops.dispatch import dispatch
from ..ops.linear_lif import LINEAR_LIF


def linear_lif(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    state: Tensor | None = None,
    *,
    recompute: bool = False,
    **neuron: Any,
) -> tuple[Tensor, Tensor]:
    """`lif(linear(x, weight, bias), state, ...)`, with less to keep for the backward pass.

    On a CPU, in float32 and float64, spikes that come in are kept as bits, and where few neurons fire only
    their weights are read. Sums then have another order, and how many fire is counted over the whole
    input: results agree to rounding, and in float32 a change at one token may round those before it
    otherwise, as a matrix product of another size does. Everywhere else the two are called one after the
    other, and `recompute` has no effect.

    Args:
        x: (L, B, I). Whether it is spikes (one value beside zero) is seen, not assumed.
        weight: (H, I). bias: (H,) or None.
        state: (B, H), as `lif`.
        recompute: compute the currents (L, B, H) again in the backward pass instead of keeping them: 4 bytes
            less per row and neuron, for one more product.
        neuron: `leak`, `threshold` and the other arguments of `lif`.
    Returns:
        As `lif`.
    Raises:
        TypeError, ValueError: as `lif`. RuntimeError: a second derivative.
    """
    return dispatch(LINEAR_LIF, x, weight, bias, state, *described(**neuron), recompute)  # type: ignore[no-any-return]
