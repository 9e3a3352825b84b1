"""Checks that wait for the device, where a user asks for them."""

from collections.abc import Iterator
from contextlib import contextmanager

_enabled = False


def debugging() -> bool:
    """Whether `debug` is in force."""
    return _enabled


@contextmanager
def debug(enabled: bool = True) -> Iterator[None]:
    """Within it, leaks, thresholds and lengths on a GPU are read back and checked at every call.

    On a CPU they are always checked.
    """
    global _enabled
    before, _enabled = _enabled, enabled
    try:
        yield
    finally:
        _enabled = before
