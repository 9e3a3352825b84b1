"""Starting without looking for garbage."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Imports make some hundred thousand objects that stay, among which Python looks for garbage again and
    again: a sixth of the time until `spikeseq classify` answers. Inside, it does not look; afterwards, not at
    these objects, where torch was imported inside."""
    first, was = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if first and "torch" in sys.modules:
            gc.freeze()
        if was:
            gc.enable()
