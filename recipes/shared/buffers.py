"""Memory that is kept: fresh pages cost a training step more than the work done in them."""

import contextlib
import ctypes

KEEP_BELOW = 32 << 20  # bytes; the C library takes no more
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt's names for them


def keep_buffers() -> bool:
    """Lets the C library keep freed buffers of up to 32 MiB instead of giving them back to the system.

    A step allocates the same tensors as the one before. By default each comes as fresh pages, which are
    cleared on their first touch, which costs many times the work. Returns whether the C library has such a
    switch (glibc has).
    """
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        return bool(mallopt(MMAP_THRESHOLD, KEEP_BELOW) and mallopt(TRIM_THRESHOLD, 2**31 - 1))
    return False
