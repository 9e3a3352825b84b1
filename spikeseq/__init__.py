"""Sequence learning on spiking layers.

`spikeseq.nn` has the layers, `spikeseq.functional` the neuron as a pure function, `spikeseq.swap` replaces
the LSTMs and GRUs of a model, `spikeseq.monitor` watches spike rates, `spikeseq.load` opens a trained run,
`spikeseq.exchange` hands networks to other libraries, `spikeseq.deploy` writes models that run without this.

Names are imported when they are first used, so that the command line answers before torch is there.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import deploy, evaluation, exchange, functional, models, nn, recipes, stdp, tokenizers
    from .conversion import to_spiking
    from .debugging import debug
    from .events import compile_events
    from .explain import explain
    from .fold import fold_embeddings
    from .monitor import monitor
    from .nn import detach_state, project_parameters, reorder_state, select_state
    from .ops.build import BackendError, backend_info, build
    from .ops.memory import release_memory
    from .swap import swap

    __version__: str

_NAMESPACES = (
    "deploy",
    "evaluation",
    "exchange",
    "functional",
    "models",
    "nn",
    "recipes",
    "stdp",
    "tokenizers",
)
_FROM = {
    "BackendError": "ops.build",
    "backend_info": "ops.build",
    "build": "ops.build",
    "compile_events": "events",
    "debug": "debugging",
    "detach_state": "nn",
    "explain": "explain",
    "fold_embeddings": "fold",
    "monitor": "monitor",
    "project_parameters": "nn",
    "release_memory": "ops.memory",
    "reorder_state": "nn",
    "select_state": "nn",
    "swap": "swap",
    "to_spiking": "conversion",
}


def load(run: Any = None) -> Any:
    """The trained model of a run folder: `load(run).predict(texts)` or `load(run).translate(lines)`.

    Without a folder it is the one that comes with the package, which tells good film reviews from bad ones:
    `load().predict(["a moving, beautifully acted film"])`.

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
    if name in _NAMESPACES:
        return import_module(f".{name}", __name__)
    if name in _FROM:
        value = getattr(import_module(f".{_FROM[name]}", __name__), name)
    elif name == "__version__":
        value = _version()
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("spikeseq")
    except PackageNotFoundError:  # run from a source tree that is not installed
        return "0.0.0"


class _Package(ModuleType):
    """Some functions have the name of the file they stand in; importing the file must not hide them."""

    def __setattr__(self, name: str, value: Any) -> None:
        if _FROM.get(name) == name and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package

__all__ = [
    "BackendError",
    "__version__",
    "backend_info",
    "build",
    "compile_events",
    "debug",
    "deploy",
    "detach_state",
    "evaluation",
    "exchange",
    "explain",
    "fold_embeddings",
    "functional",
    "load",
    "models",
    "monitor",
    "nn",
    "project_parameters",
    "recipes",
    "release_memory",
    "reorder_state",
    "select_state",
    "stdp",
    "swap",
    "to_spiking",
    "tokenizers",
]
