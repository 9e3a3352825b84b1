"""Checks that wait for the device, where a user asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_enabled: ContextVar[bool] = ContextVar("spikeseq_debug", default=False)


def debugging() -> bool:
    """Whether `debug` is in force. Not asked while torch.compile traces, which cannot read a ContextVar."""
    return _enabled.get()


@contextmanager
def debug(enabled: bool = True) -> Iterator[None]:
    """Within it, leaks, thresholds and lengths on a GPU are read back and checked at every call.

    On a CPU they are always checked. It is in force in the thread that opens it, and in no other.
    """
    token = _enabled.set(enabled)
    try:
        yield
    finally:
        _enabled.reset(token)
