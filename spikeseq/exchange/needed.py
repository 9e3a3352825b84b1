"""The package that reads and writes the format, imported when it is needed."""

from importlib import import_module
from typing import Any

FORMAT = 1  # of what we say in a file's metadata; a reader of an older version refuses a newer one


def nir() -> Any:
    """The package `nir`.

    Raises:
        ImportError: it is not there, with the command that helps.
    """
    return needed("nir", "pip install 'spikeseq[exchange]'")


def needed(module: str, install: str) -> Any:
    """A module of somebody else's. Raises ImportError with the command that brings it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} cannot be imported ({error}): {install}") from error
