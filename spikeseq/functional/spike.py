"""The spike that follows from a membrane."""

from torch import Tensor

from ..ops.reference import Spike, spread
from ..surrogates import Surrogate


def spike_of(state: Tensor, *, threshold: Tensor, surrogate: Surrogate) -> Tensor:
    """o[t] of a LIF state, with the surrogate's gradient: 1 where the membrane exceeds the threshold.

    Args:
        state: (B, *) as `lif` returns it, or (1 + planes, B, *) for a surrogate with memory.
        threshold: (1,) or (C,).
    Returns:
        (B, *) in the state's dtype.
    """
    membrane, memory = (state[0], state[1:]) if surrogate.memory_planes else (state, state[:0])
    threshold = spread(threshold.to(state.dtype), membrane)
    given = membrane.detach() / threshold.detach() - 1
    by_z = surrogate.slope(given, memory.detach()).expand_as(membrane)
    return Spike.apply(membrane, threshold, by_z)  # type: ignore[no-any-return]
