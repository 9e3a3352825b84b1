"""Nothing is timed that disagrees with the oracle."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from spikeseq.functional import PiecewiseLinear
from spikeseq.ops.reference import lif_reference

TOLERANCE = 2e-4  # of a float32 gradient, relative to its largest entry


def compare(
    what: str,
    ours: Callable[[], tuple[Tensor, Tensor]],
    oracle: Callable[[], tuple[Tensor, Tensor]],
    leaves: Sequence[Tensor],
    tolerance: float = TOLERANCE,
) -> None:
    """A RuntimeError unless output and state are equal bit for bit, and gradients to the tolerance."""
    mine, theirs = ours(), oracle()
    for name, a, b in zip(("output", "state"), mine, theirs, strict=True):
        if a.shape != b.shape:
            refuse(what, f"its {name} has shape {tuple(a.shape)}, not {tuple(b.shape)}")
        if not torch.equal(a, b):
            share, most = (a != b).double().mean(), (a - b).abs().max()
            refuse(what, f"{share:.3%} of its {name} differs, by up to {most:.3g}")
    random = torch.Generator().manual_seed(2)
    grads = [torch.randn(result.shape, generator=random).to(result) for result in theirs]
    found = (torch.autograd.grad(results, leaves, grads) for results in (mine, theirs))
    for number, (a, b) in enumerate(zip(*found, strict=True)):
        error = ((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item()
        if not error <= tolerance:  # NaN is an error too
            refuse(what, f"its gradient {number} has relative error {error:.3g} > {tolerance:g}")


def refuse(what: str, difference: str) -> None:
    """The error that keeps a wrong result from being timed."""
    raise RuntimeError(f"{what} disagrees with the oracle and is not timed: {difference}")


@torch.no_grad()
def check_stream(model: Callable[..., tuple[Tensor, Any]], given: Tensor, tolerance: float) -> None:
    """A RuntimeError unless row by row, the state handed on, is the whole (L, B, *)."""
    whole, _ = model(given)
    state, found = None, []
    for row in given:
        out, state = model(row.unsqueeze(0), state)
        found.append(out)
    if not torch.allclose(torch.cat(found), whole, rtol=tolerance, atol=tolerance):
        refuse("streaming", "token by token differs from the whole")


def oracle(
    current: Tensor, leak: Tensor, threshold: Tensor, substeps: int, readout: str
) -> tuple[Tensor, Tensor]:
    """`lif_reference` as a fresh call of `lif` with default surrogate and soft reset; state (1, B, *)."""
    s = PiecewiseLinear()
    window = 1 if readout == "spikes" else substeps
    state = torch.zeros_like(current[:1]).detach()
    return lif_reference(
        current,
        state,
        leak,
        threshold,
        None,
        substeps,
        window,
        "soft",
        readout,
        s.name,
        s.height,
        s.width,
        False,
    )
