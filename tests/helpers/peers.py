"""Other libraries in tests: left out where they are not installed, but not under `make test-thirdparty`."""

import importlib
import os

import pytest

OLDER_PYTHON = os.environ.get("SPIKESEQ_THIRDPARTY")
"""An interpreter with lava and brian2; set, every library must be there."""


def needs(*modules: str) -> None:
    """Skips the test if a module cannot be imported; under `make test-thirdparty` it fails then."""
    for module in modules:
        if OLDER_PYTHON is None:
            pytest.importorskip(module, exc_type=ImportError)
        else:
            importlib.import_module(module)


def needs_older(library: str) -> str:
    """The interpreter with lava and brian2."""
    if OLDER_PYTHON is None:
        pytest.skip(f"{library} runs in an environment of its own: make test-thirdparty")
    return OLDER_PYTHON
