"""A network of maps and spiking activations, run over time."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_tensor, choice, positive_int
from ..functional.encoders import direct, poisson
from ..modules import of_kind
from ..ops.conv import convolving
from .activation import SpikingActivation
from .clock import Clock, NetworkState, running
from .state import detach_state
from .statistics import OneBatch, by_batch, run_again

ENCODINGS = ("direct", "poisson")
PIECE = 10


class SpikingNetwork(nn.Module):
    """A network with `SpikingActivation`s and an output that integrates (thesis eq. 5.3).

    The network inside is an ordinary one, (N, *) to (N, classes); time is folded into N. An analog input is
    held for all sub-steps, and the maps before the first neurons see it once.

    Args:
        network: with at least one SpikingActivation, such as a backbone or what `to_spiking` makes.
        substeps: sub-steps T that an input is shown for. Default 5, DIET-SNN's (thesis table 5.1).
        encoding: "direct", or "poisson" for spikes at the rate of the input's values (thesis 4.5).
        largest: value that a Poisson spike counts, plus or minus; larger inputs are clipped to it. Default 1,
            as in the thesis, for inputs in [-1, 1].
        batch_first: `advance` takes and gives (B, L, *).
        held: whether the maps before the first neurons see a held input once. Only a network in which some
            path goes around the first neurons needs False: a copy for every sub-step.
    Raises:
        TypeError, ValueError: naming the argument, its value and what is accepted.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        substeps: int = 5,
        encoding: str = "direct",
        largest: float = 1.0,
        batch_first: bool = False,
        held: bool = True,
    ) -> None:
        super().__init__()
        if not any(isinstance(module, SpikingActivation) for module in network.modules()):
            raise ValueError(
                "network has no SpikingActivation; spikeseq.to_spiking puts them in the place of ReLU"
            )
        self.network = network
        self.substeps = positive_int("substeps", substeps)
        self.encoding = choice("encoding", encoding, ENCODINGS)
        if not 0 < largest < math.inf:
            raise ValueError(f"largest must be a positive number, got {largest}")
        self.largest = largest
        self.batch_first, self.held = batch_first, held
        self.conversion: Any = None  # what `to_spiking` did, if it made this network
        self.piece = PIECE  # sub-steps in memory at once, in evaluation without gradients

    def forward(
        self,
        x: Tensor,
        *,
        substeps: int | None = None,
        chunk: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """What the output has accumulated after all sub-steps of x.

        Args:
            x: (B, *), analog values.
            substeps: other than the network's own.
            chunk: sub-steps that gradients reach back at most (truncated backpropagation): membranes are
                constants at the start of each chunk. Only one chunk is in memory; it is computed twice.
                Batch normalisation in training takes the statistics of a chunk. With a momentum every chunk
                moves the running ones; with `momentum=None` all chunks of a pass are one batch.
            generator: of Poisson spikes, which all inputs then share, so that each gives what it gives alone
                (large convolutions but for rounding: `ops/conv.py`).
        Returns:
            (B, classes), the sum over sub-steps, in at least float32.
        """
        steps = self.substeps if substeps is None else positive_int("substeps", substeps)
        check_tensor("x", x)
        chunk = steps if chunk is None else positive_int("chunk", chunk)
        training = torch.is_grad_enabled()
        if training:
            piece = min(steps, chunk)
        elif by_batch(self):  # pieces would each have statistics of their own
            piece = steps
        else:  # memory need not grow with the number of sub-steps
            piece = min(steps, self.piece)
        if training and piece < steps:
            return self._in_chunks(x, steps, piece, generator)
        state: NetworkState | None = None
        for done in range(0, steps, piece):
            rows, hold = self._shown(x, min(piece, steps - done), generator)
            out, state = self._advance(rows, state, hold)
        return out[-1]

    def _in_chunks(self, x: Tensor, steps: int, size: int, generator: torch.Generator | None) -> Tensor:
        """Truncated backpropagation: each chunk is run again when its gradient is due."""
        batch = OneBatch(self)
        state: NetworkState | None = None
        for done in range(0, steps, size):
            now = min(size, steps - done)
            rows, hold = self._shown(x, now, generator)
            if state is not None:  # what the output has summed up keeps its gradients
                state = (*detach_state(state[:-1]), state[-1])
            with batch.piece(now):
                out, state = run_again(self, self._advance, rows, state, hold)
        batch.finish()
        return out[-1]

    def _shown(self, x: Tensor, steps: int, generator: torch.Generator | None) -> tuple[Tensor, int]:
        """x (B, *) for so many sub-steps, as rows, and how long each is held."""
        if self.encoding == "poisson":
            return self.encode(x, steps, generator), 1
        return x.unsqueeze(0), steps

    def encode(self, x: Tensor, substeps: int, generator: torch.Generator | None = None) -> Tensor:
        """What the network is shown of x (B, *) at each sub-step, (substeps, B, *), time first."""
        if self.encoding == "poisson":
            shared = generator is not None
            return poisson(x / self.largest, substeps, generator=generator, alike=shared) * self.largest
        return direct(x, substeps)

    def advance(
        self, rows: Tensor, state: NetworkState | None = None, *, hold: int = 1, every: bool = False
    ) -> tuple[Tensor, NetworkState]:
        """Goes on in time: the accumulated output after every row, and the state to go on from.

        Args:
            rows: (L, B, *), or (B, L, *) with `batch_first`: spikes, event frames, analog values.
            state: as returned by the call before; None starts anew.
            hold: sub-steps that each row lasts.
            every: give the output after every sub-step, L * hold of them, not after every row.
        Returns:
            (L, B, classes), or (B, L, classes), in at least float32; and the state.
        Raises:
            ValueError: rows without time or batch, or a state of another network.
        """
        positive_int("hold", hold)
        if check_tensor("rows", rows).dim() < 3 or 0 in rows.shape:
            layout = "(B, L, *)" if self.batch_first else "(L, B, *)"
            raise ValueError(f"rows must be {layout} and not empty, got {tuple(rows.shape)}")
        if self.batch_first:
            rows = rows.transpose(0, 1)
        out, state = self._advance(rows, state, hold, every)
        return (out.transpose(0, 1) if self.batch_first else out), state

    def _advance(
        self, rows: Tensor, state: NetworkState | None, hold: int, every: bool = False
    ) -> tuple[Tensor, NetworkState]:
        if not self.held and hold > 1:
            rows = rows.repeat_interleave(hold, 0)
            out, state = self._advance(rows, state, 1)
            return (out if every else out[hold - 1 :: hold]), state
        length, batch = rows.shape[:2]
        clock = Clock(length, hold, batch, None if state is None else state[:-1])
        with running(clock), convolving(rows, hold):
            out = logits_of(self.network(rows.flatten(0, 1)))
        if state is not None and len(clock.after) != len(state) - 1:
            raise ValueError(f"state has {len(state) - 1} parts, the network remembers {len(clock.after)}")
        per_row, lasts = clock.layout(out)
        out = out.to(torch.promote_types(out.dtype, torch.float32)).unflatten(
            0, (length, per_row // length, batch)
        )
        if every:
            membrane = out.repeat_interleave(lasts, 1).flatten(0, 1).cumsum(0)
        else:
            membrane = (out.sum(1) * lasts).cumsum(0)
        if state is not None and state[-1] is not None:
            membrane = membrane + state[-1]
        return membrane, (*clock.after, membrane[-1])

    def activations(self) -> Iterator[tuple[str, SpikingActivation]]:
        """By name, in the order in which they are defined."""
        yield from of_kind(self.network, SpikingActivation).items()

    def extra_repr(self) -> str:
        largest = f", largest={self.largest:.4g}" if self.encoding == "poisson" else ""
        return f"substeps={self.substeps}, encoding={self.encoding!r}{largest}"


def logits_of(out: Any) -> Tensor:
    """The tensor that a network returns, or the `logits` of what others do."""
    logits = out if isinstance(out, Tensor) else getattr(out, "logits", None)
    if not isinstance(logits, Tensor):
        raise TypeError(
            f"the network must return a Tensor, or something with logits, got {type(out).__name__}"
        )
    return logits
