"""LIF neurons behind a layer normalisation of their currents, for tokens that are processed in parallel."""

import torch
from torch import Tensor

from ..checks import CURRENT_DTYPES, check_lengths, check_shape, check_tensor, positive_int
from ..neuron import Neuron
from ..ops.dispatch import dispatch
from ..ops.norm_lif import EPSILON, NORM_LIF
from ..surrogates import PiecewiseLinear, Surrogate


def norm_lif(
    currents: Tensor,
    state: Tensor | None = None,
    *,
    gain: Tensor,
    offset: Tensor,
    leak: Tensor,
    threshold: Tensor,
    substeps: int,
    persist: bool = False,
    lengths: Tensor | None = None,
    epsilon: float = EPSILON,
    reset: str = "soft",
    surrogate: Surrogate = PiecewiseLinear(),  # noqa: B008  a frozen value
    detach_reset: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """`lif(layer_norm(currents))` in one pass: rows of C currents are normalised before neurons see them.

    Without `persist`, every token has membranes of its own, which start at zero and evolve over its
    sub-steps, so that all tokens are independent (thesis 6.5.3). With it, membranes go on from token to
    token.

    Args:
        currents: (L, T, B, C), a row for every sub-step; or (L, 1, B, C), held for all of them.
        state: (B, C) membranes before the first token, only with `persist`; default zeros. Floating-point
            type as in `lif`.
        gain, offset: (C,) of the normalisation.
        leak, threshold: (1,) or (C,).
        substeps: T.
        lengths: (B,) tokens that count; later ones emit no spikes.
        Others: as `lif`. A surrogate that remembers is not served.
    Returns:
        Spikes (L, T, B, C) in the dtype of the currents, and the state (B, C), None without `persist`.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """
    neuron = Neuron(leak, threshold, reset, surrogate, detach_reset)
    return normalised(currents, state, gain, offset, neuron, lengths, substeps, persist, epsilon)


def check_currents(currents: Tensor, substeps: int) -> Tensor:
    """`currents` if they are floating-point and (L, 1 or `substeps`, B, C)."""
    if check_tensor("currents", currents).dim() != 4 or currents.shape[1] not in (1, substeps):
        rows = "1" if substeps == 1 else f"1 or {substeps}"
        raise ValueError(f"currents must be (L, {rows}, B, C), got {tuple(currents.shape)}")
    if currents.layout != torch.strided or currents.dtype not in CURRENT_DTYPES:
        found = currents.dtype if currents.layout == torch.strided else f"layout {currents.layout}"
        raise TypeError(f"currents must be dense, in float32, float64, bfloat16 or float16, got {found}")
    return currents


def normalised(
    currents: Tensor, state: Tensor | None, gain: Tensor, offset: Tensor, neuron: Neuron,
    lengths: Tensor | None, substeps: int, persist: bool, epsilon: float = EPSILON,
) -> tuple[Tensor, Tensor | None]:  # fmt: skip
    """`norm_lif` of neurons that are described already."""
    check_currents(currents, positive_int("substeps", substeps))
    neuron.check()
    if neuron.planes:
        name = neuron.surrogate.name
        raise ValueError(f"surrogate {name!r} remembers, which norm_lif does not serve; use lif")
    channels = currents.shape[3]
    if state is not None:
        if not persist:
            raise ValueError("state goes with persist=True: otherwise every token starts from rest")
        check_shape("state", state, (currents.shape[2], channels), currents)
    for name, value, sizes in (
        ("gain", gain, (channels,)),
        ("offset", offset, (channels,)),
        ("leak", neuron.leak, (1, channels)),
        ("threshold", neuron.threshold, (1, channels)),
    ):
        if check_tensor(name, value).dim() != 1 or all(value.numel() != n for n in sizes):  # type: ignore[union-attr]
            accepted = " or ".join(f"({size},)" for size in dict.fromkeys(sizes))
            raise ValueError(f"{name} must have shape {accepted}, got {tuple(value.shape)}")  # type: ignore[union-attr]
    if lengths is not None:
        lengths = check_lengths(lengths, currents[:, 0])
    spikes, final = dispatch(
        NORM_LIF, currents, state, gain, offset, neuron, lengths, substeps, persist, epsilon
    )
    return spikes, final if persist else None
