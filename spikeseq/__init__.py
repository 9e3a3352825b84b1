"""Sequence learning on spiking layers.

`spikeseq.nn` has the layers, `spikeseq.functional` the neuron as a pure function, `spikeseq.swap` replaces
the LSTMs and GRUs of a model, `spikeseq.monitor` watches spike rates, `spikeseq.load` opens a trained run.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from . import functional, nn
from .conversion import to_spiking
from .debugging import debug
from .events import compile_events
from .fold import fold_embeddings
from .monitor import monitor
from .nn import detach_state, project_parameters, reorder_state, select_state
from .ops.build import BackendError, backend_info, build
from .ops.memory import release_memory
from .swap import swap

try:
    __version__ = version("spikeseq")
except PackageNotFoundError:  # run from a source tree that is not installed
    __version__ = "0.0.0"


def load(run: Any) -> Any:
    """The trained model of a run folder: `load(run).predict(texts)` or `load(run).translate(lines)`.

    Returns a `recipes.text.classifier.Classifier` or a `recipes.translation.translator.Translator`.

    Raises:
        ValueError: the folder is not a finished run, or a file in it is damaged or of another model.
        ImportError: the extra `recipes` is not installed.
    """
    try:
        from .recipes.runs import load as load_run
    except ImportError as error:
        raise ImportError(f"load needs more packages ({error}): pip install 'spikeseq[recipes]'") from error

    return load_run(run)


def __getattr__(name: str) -> Any:
    # Namespaces that need more packages than the core are imported when they are used.
    if name in ("evaluation", "models", "recipes", "tokenizers"):
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "BackendError",
    "__version__",
    "backend_info",
    "build",
    "compile_events",
    "debug",
    "detach_state",
    "fold_embeddings",
    "functional",
    "load",
    "monitor",
    "nn",
    "project_parameters",
    "release_memory",
    "reorder_state",
    "select_state",
    "swap",
    "to_spiking",
]
