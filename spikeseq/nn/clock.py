"""Time inside a network whose layers do not know of it: (L * T * B, *) tensors, and who remembers what.

A network for images has no place for time in its signature. `SpikingNetwork` folds time into the batch, so
that convolutions, pooling and normalisation run as they are; the few layers with a memory ask the clock.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from torch import Tensor, nn

NetworkState = tuple[Tensor | None, ...]
"""What the layers of a network remember, in the order in which they are called."""


@dataclass
class Clock:
    """One pass over `rows` inputs of `batch` sequences, each held for `hold` sub-steps.

    before: the state that the pass starts from; None at the start of a sequence.
    after: filled by the layers as they are called.
    calls: how often each layer has been called in this pass.
    tap: shown the currents of every layer of neurons, with its place in the pass, before they fire.
    """

    rows: int
    hold: int
    batch: int
    before: NetworkState | None = None
    after: list[Tensor | None] = field(default_factory=list)
    calls: dict[nn.Module, int] = field(default_factory=dict)
    tap: Callable[[int, Tensor], None] | None = None
    fired: int = 0

    def show(self, currents: Tensor) -> None:
        """To be called by neurons, once a call."""
        if self.tap is not None:
            self.tap(self.fired, currents)
        self.fired += 1

    def layout(self, x: Tensor) -> tuple[int, int]:
        """How many rows `x` (N, *) has for each sequence, and the sub-steps that each of them lasts.

        Behind the first neurons there is a row for every sub-step; before them, one for every input.

        Raises:
            ValueError: N is neither.
        """
        count = x.shape[0]
        if count == self.rows * self.batch:
            return self.rows, self.hold
        if count == self.rows * self.hold * self.batch:
            return self.rows * self.hold, 1
        inputs = f"{self.rows} inputs of {self.hold} sub-steps for {self.batch} sequences"
        raise ValueError(f"a layer got {count} rows, which are not those of {inputs}")

    def recall(self) -> Tensor | None:
        """What the layer that is called now remembers of earlier passes."""
        if self.before is None:
            return None
        if len(self.after) >= len(self.before):
            raise ValueError(f"state has {len(self.before)} parts, the network has more layers that remember")
        return self.before[len(self.after)]

    def remember(self, memory: Tensor | None) -> None:
        """To be called once for every `recall`."""
        self.after.append(memory)

    def count(self, module: nn.Module) -> int:
        """How often `module` has been called before in this pass; counts this call."""
        self.calls[module] = self.calls.get(module, 0) + 1
        return self.calls[module] - 1


_running: ContextVar[Clock | None] = ContextVar("spikeseq_clock", default=None)


@contextmanager
def running(clock: Clock) -> Iterator[Clock]:
    """Layers called inside see `clock`; outside there is none, so nothing is kept between calls."""
    token = _running.set(clock)
    try:
        yield clock
    finally:
        _running.reset(token)


def current_clock() -> Clock | None:
    """The clock of the pass under way, None outside of one."""
    return _running.get()
