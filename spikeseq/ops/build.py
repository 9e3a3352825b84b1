"""Building and loading the native kernels: on first use, once per machine, safely from many processes.

Environment:
    SPIKESEQ_BACKEND: `auto` (default: native, or the Python loop after one warning), `native` (an error
        where the kernels cannot be built) or `python` (never build).
    SPIKESEQ_CACHE: where built kernels are kept; default spikeseq in $XDG_CACHE_HOME or ~/.cache.
    SPIKESEQ_SANITIZE: compiles the CPU kernel with sanitizers of the compiler, such as `address,undefined`;
        their libraries must be loaded before Python's (`make sanitize`).
"""

import contextlib
import hashlib
import os
import pkgutil
import platform
import re
import shutil
import sys
import sysconfig
import threading
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from .cache import building_place, cache_folder, check_private, is_whole, keep, one_process
from .shipped import FOLDER, SHIPPED_LEVEL, shipped, shipped_path

CSRC = Path(__file__).resolve().parent.parent / "csrc"
# No fast-math and no contraction into fused multiply-add: results must not depend on the compiler's mood.
CFLAGS = ["-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fopenmp"]
CUDA_FLAGS = ["-O3", "--fmad=false"]
# Files of C++ that a kernel is compiled as: torch's headers, read once a file, take more time than our code.
# The same number everywhere, so that all machines compile what is tested.
PARTS = 3
SOURCES = (".h", ".cpp", ".cu")  # and nothing that Python or a builder leaves beside them
# vptr, which they then leave out, needs run-time types of torch, which hides them.
SANITIZE = ["-O1", "-g1", "-fno-omit-frame-pointer"]

_lock = threading.Lock()
_loaded: dict[str, Path] = {}
_failed: dict[str, str] = {}


class BackendError(RuntimeError):
    """The native kernels are asked for and cannot be built or loaded."""


def requested_backend() -> str:
    """`auto`, `native` or `python`, from SPIKESEQ_BACKEND."""
    backend = os.environ.get("SPIKESEQ_BACKEND", "auto")
    if backend not in ("auto", "native", "python"):
        raise ValueError(f"SPIKESEQ_BACKEND must be auto, native or python, got {backend!r}")
    return backend


def ensure_native(device: str, own: bool = False) -> bool:
    """Whether a native kernel serves `device` ("cpu", "cuda"); finds or builds it at the first call.

    With `own`, one that came with the package is passed over.

    Raises:
        BackendError: SPIKESEQ_BACKEND is `native` and the kernel cannot be had.
    """
    with _lock:
        # Another thread may have loaded it while this one waited; the caller then dispatches again.
        if device in _loaded:
            return True
        backend = requested_backend()
        if backend == "python":
            return False
        if device not in _failed:
            try:
                _loaded[device] = _load(device, own)
                return True
            except Exception as error:
                _failed[device] = reason(str(error))
                if backend == "auto":
                    warnings.warn(
                        f"spikeseq: no native {device} kernel ({_failed[device]}); the much slower Python"
                        " loop runs instead. SPIKESEQ_BACKEND=native makes this an error.",
                        stacklevel=4,
                    )
        if backend == "native":
            raise BackendError(f"spikeseq: no native {device} kernel: {_failed[device]}")
        return False


def reason(text: str, most: int = 600) -> str:
    """What an error of a build is about, on one line: the compiler's own errors, or else its last words."""
    errors = [line for line in text.splitlines() if re.search(r"\b(fatal )?error\b\s*:", line)]
    return " ".join(" ".join(errors).split())[:most] or " ".join(text.split())[-most:]


def missing(device: str) -> str:
    """Why there is no native kernel for `device`."""
    return _failed.get(device, "SPIKESEQ_BACKEND=python")


def is_loaded(device: str) -> bool:
    """Whether native kernels for `device` are there already."""
    return device in _loaded


def build(device: str | None = None, *, own: bool = False) -> None:
    """Loads the native kernels now instead of at the first call, building them where none are there yet.

    Args:
        device: "cpu" or "cuda"; by default the CPU, and CUDA where there is a GPU.
        own: build for this very machine and Python even where a kernel came with the package. Default False;
            from then on the built one is taken, in which streams cost less (`docs/installing.md`).
    Raises:
        BackendError: a kernel cannot be built, the message holds the compiler's errors; or, with `own`,
            another is loaded already, which cannot be exchanged while the process lives.
    """
    devices = [device] if device else ["cpu"] + (["cuda"] if torch.cuda.is_available() else [])
    for name in devices:
        _sources(name)
        if own and name in _loaded and _loaded[name].parent == FOLDER:
            raise BackendError(
                f"spikeseq: {_loaded[name]} is loaded already; call build(own=True) before it is used"
            )
        if not ensure_native(name, own):
            raise BackendError(f"spikeseq: no native {name} kernel: {missing(name)}")


def backend_info() -> dict[str, Any]:
    """What runs: the requested backend, the loaded kernels by device, and why others are missing."""
    return {
        "backend": requested_backend(),
        "native": {device: str(path) for device, path in _loaded.items()},
        "failed": dict(_failed),
        "cache": str(cache_folder()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The processor's features: `-march=native` code must not be found by another kind of machine."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                return line
    return platform.processor() or platform.machine()


def _python() -> list[str]:
    """Where Python's headers are, `csrc/cpu/plan.cpp` is compiled with them, for this Python alone."""
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        return []
    return [f"-DSPIKESEQ_PYTHON={sysconfig.get_config_var('SOABI')}"]


def _sanitizers() -> list[str]:
    asked = os.environ.get("SPIKESEQ_SANITIZE")
    return [*SANITIZE, f"-fsanitize={asked}", "-fno-sanitize=vptr"] if asked else []


def _march(level: str) -> list[str]:
    return [f"-march={level}"] if platform.machine() in ("x86_64", "AMD64") else []


def _sources_digest() -> Any:
    """Of all sources, the headers in all folders among them."""
    key = hashlib.sha256()
    for path in sorted(one for one in CSRC.rglob("*") if one.suffix in SOURCES):
        key.update(f"{path.relative_to(CSRC)}\n".encode() + path.read_bytes())
    return key


def _sources(device: str) -> list[Path]:
    """What is compiled: every source file in the device's folder and those in it."""
    if device not in ("cpu", "cuda"):
        raise BackendError(f"there are kernels for cpu and cuda, not for {device!r}")
    return sorted(path for path in (CSRC / device).rglob("*") if path.suffix in (".cpp", ".cu"))


def _load(device: str, own: bool = False) -> Path:
    """Loads the kernels, and defines every op that they are for.

    They are those that were built for this machine, else those that came with the package (not with `own`),
    else they are built.
    """
    _define()
    flags = [*CFLAGS, *_march("native")]
    if device == "cpu":
        flags = [*flags, *_python(), *_sanitizers()]
    key = _sources_digest()
    digest = key.hexdigest()
    versions = (torch.__version__, torch.version.cuda)
    identity = (device, flags, CUDA_FLAGS, *versions, _processor(), platform.machine())
    key.update(repr(identity).encode())
    if device == "cuda":
        # torch builds for these, whichever card is current.
        cards = [torch.cuda.get_device_capability(i) for i in range(torch.cuda.device_count())]
        key.update(repr((sorted(set(cards)), os.environ.get("TORCH_CUDA_ARCH_LIST"))).encode())
    library = cache_folder() / f"spikeseq_{device}_{key.hexdigest()[:16]}.so"
    if not (own or _sanitizers() or is_whole(library)):
        came, why = shipped(device, digest, _processor())
        if came is not None:
            torch.ops.load_library(came)
            return came
        if why:
            print(f"spikeseq: {why}", file=sys.stderr, flush=True)

    with one_process(library.with_suffix(".lock")):
        check_private(library)
        if is_whole(library):
            torch.ops.load_library(library)
        else:
            print(
                f"spikeseq: building the {device} kernel, once, one or two minutes of computing, kept in"
                f" {library.parent}; SPIKESEQ_BACKEND=python does without, slowly ...",
                file=sys.stderr,
                flush=True,
            )
            _compile(_sources(device), flags, library)
    return library


def ship() -> Path:
    """Compiles the CPU kernel for this torch into the package (`ops/shipped.py`), for every Python: without
    what is compiled with one's headers.

    Raises:
        BackendError: none are shipped for this kind of machine.
    """
    library = shipped_path(_sources_digest().hexdigest())
    if library is None:
        raise BackendError(f"no kernels are shipped for {platform.machine()}")
    library.parent.mkdir(exist_ok=True)
    _define()
    _compile(_sources("cpu"), [*CFLAGS, *_march(SHIPPED_LEVEL)], library)
    return library


def _define() -> None:
    """The schemas of all ops, which kernels are registered for as they are loaded."""
    for found in pkgutil.iter_modules([str(Path(__file__).parent)]):
        import_module(f"{__package__}.{found.name}")


def _compile(sources: list[Path], flags: list[str], library: Path) -> None:
    """Compiles and loads a library, and keeps it there."""
    from torch.utils import cpp_extension  # late: where a kernel is there already, nothing needs it

    with building_place(library) as folder, ninja_on_path():
        cpp_extension.load(
            library.stem,
            [str(path) for path in _joined(sources, folder)],
            extra_cflags=flags,
            extra_cuda_cflags=CUDA_FLAGS,
            build_directory=str(folder),
            is_python_module=False,
        )
        # The process keeps using the file it has loaded; others find the finished copy.
        shutil.copyfile(folder / f"{library.stem}.so", folder / "finished")
        keep(folder / "finished", library)


def _joined(sources: list[Path], folder: Path) -> list[Path]:
    """The same code in `PARTS` files of C++ of like sizes, which include the sources; CUDA's as they are."""
    parts: list[list[Path]] = [[] for _ in range(PARTS)]
    joined = [path for path in sources if path.suffix == ".cpp"]
    for path in sorted(joined, key=lambda one: -one.stat().st_size):
        min(parts, key=lambda part: sum(one.stat().st_size for one in part)).append(path)
    files = [path for path in sources if path not in joined]
    for number, part in enumerate(filter(None, parts)):
        files.append(folder / f"part_{number}.cpp")
        files[-1].write_text("".join(f'#include "{path}"\n' for path in sorted(part)), encoding="utf-8")
    return files


@contextlib.contextmanager
def ninja_on_path() -> Iterator[None]:
    """torch looks for ninja on PATH, where it is not if a virtual environment is used unactivated."""
    import ninja

    before = os.environ.get("PATH", "")
    os.environ["PATH"] = os.pathsep.join(filter(None, (ninja.BIN_DIR, before)))
    try:
        yield
    finally:
        os.environ["PATH"] = before
