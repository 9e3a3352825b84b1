"""One problem for the LIF op, run by the op and by the oracle."""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from spikeseq.functional import PiecewiseLinear, Surrogate, lif
from spikeseq.ops.reference import lif_reference

DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class Inputs(NamedTuple):
    current: Tensor
    state: Tensor  # (1 + planes, B, *)
    leak: Tensor
    threshold: Tensor
    lengths: Tensor | None

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        return self[:4]


@dataclass(frozen=True)
class Case:
    rows: int = 7
    shape: tuple[int, ...] = (5, 6)  # (B, *)
    dtype: torch.dtype = torch.float32
    substeps: int = 1
    reset: str = "soft"
    surrogate: Surrogate = PiecewiseLinear()  # noqa: RUF009  a frozen value
    readout: str = "spikes"
    window: int | None = None
    ragged: bool = False
    channels: tuple[int, int] = (1, 1)  # of leak and of threshold
    detach_reset: bool = False
    leak_rows: bool = False  # a leak for every token, (L, B, *)
    norm_input: bool = False
    device: str = "cpu"

    @property
    def state_dtype(self) -> torch.dtype:
        return torch.float64 if self.dtype == torch.float64 else torch.float32

    @property
    def options(self) -> tuple:
        """Those of the op's schema."""
        window = self.window or (1 if self.readout == "spikes" else self.substeps)
        s = self.surrogate
        return (
            self.substeps, window, self.reset, self.readout, s.name, s.height, s.width, self.detach_reset,
            self.norm_input,
        )  # fmt: skip

    def inputs(self, seed: int = 0) -> Inputs:
        """Random leaves that need gradients. Some supplied membranes lie above the threshold."""
        random = torch.Generator().manual_seed(seed)
        batch = self.shape[0]
        current = torch.randn(self.rows, *self.shape, generator=random, dtype=torch.float64) * 0.7
        state = torch.randn(
            1 + self.surrogate.memory_planes, *self.shape, generator=random, dtype=torch.float64
        )
        if self.surrogate.name == "approximate_lif":  # n spikes so far, and their leaky sum f <= n
            state[2] = torch.randint(0, 4, self.shape, generator=random)
            state[1] = state[2] * torch.rand(self.shape, generator=random, dtype=torch.float64)
        if self.surrogate.name == "spike_time":  # sub-steps since the last spike
            state[1] = torch.randint(0, 300, self.shape, generator=random)
        leaks = (self.rows, *self.shape) if self.leak_rows else (self.channels[0],)
        leak = torch.rand(leaks, generator=random, dtype=torch.float64)
        threshold = 0.3 + torch.rand(self.channels[1], generator=random, dtype=torch.float64)
        lengths = None
        if self.ragged:  # none, all, and what lies between
            lengths = (torch.arange(batch) * self.rows // max(1, batch - 1)).roll(1).to(self.device)
        return Inputs(
            current.to(self.device, self.dtype).requires_grad_(),
            *(x.to(self.device, self.state_dtype).requires_grad_() for x in (state, leak, threshold)),
            lengths,
        )

    def op(self, x: Inputs) -> tuple[Tensor, Tensor]:
        """Output and state (1 + planes, B, *) of the op under test."""
        planes = self.surrogate.memory_planes
        out, state = lif(
            x.current, x.state if planes else x.state[0], leak=x.leak, threshold=x.threshold,
            lengths=x.lengths, substeps=self.substeps, window=self.window, reset=self.reset,
            readout=self.readout, surrogate=self.surrogate, detach_reset=self.detach_reset,
            norm_input=self.norm_input,
        )  # fmt: skip
        return out, state if planes else state.unsqueeze(0)

    def oracle(self, x: Inputs) -> tuple[Tensor, Tensor]:
        return lif_reference(*x, *self.options)

    def oracle_forward(self, seed: int = 0) -> tuple[Tensor, Tensor]:
        """The oracle's results without gradients, of `inputs(seed)`: surrogates without memory share them."""
        shared = self if self.surrogate.memory_planes else replace(self, surrogate=PiecewiseLinear())
        return _forward(shared, seed)


@lru_cache(maxsize=64)
@torch.no_grad()
def _forward(case: Case, seed: int) -> tuple[Tensor, Tensor]:
    return case.oracle(case.inputs(seed))


def random_grads(out: Tensor, state: Tensor, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Gradients for both results; the surrogate's memory has none. Exact in half precision."""
    random = torch.Generator().manual_seed(seed)
    grad_out = torch.randn(out.shape, generator=random).bfloat16().to(out)
    grad_state = torch.randn(state.shape, generator=random).to(state)
    grad_state[1:] = 0
    return grad_out, grad_state


def gradients(results: tuple[Tensor, Tensor], x: Inputs, grads: tuple[Tensor, Tensor]) -> list[Tensor]:
    """Of current, state, leak and threshold."""
    found = torch.autograd.grad(results, x.leaves, grads, allow_unused=True)
    return [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, x.leaves, strict=True)]


def assert_gradients_close(ours: list[Tensor], theirs: list[Tensor], tolerance: float) -> None:
    """Relative to the largest entry of each gradient."""
    for name, a, b in zip(("current", "state", "leak", "threshold"), ours, theirs, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, name
        scale = max(1e-3, b.abs().max().item()) if b.numel() else 1.0
        error = (a - b).abs().max().item() / scale if b.numel() else 0.0
        assert error <= tolerance, f"gradient of {name}: relative error {error:.2g} > {tolerance:.2g}"
