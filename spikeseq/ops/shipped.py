"""Kernels that came with the package, so that nobody needs a compiler: `make wheel` puts them there.

A kernel is compiled for a minor release of torch, whose patches share its C++ interface, and for a level of
processors. Torch's stable interface, which would serve several releases, has no allocator and nothing of the
dispatcher's state, which the kernels use.
"""

import platform
from pathlib import Path

import torch

from .cache import is_whole

FOLDER = Path(__file__).resolve().parent.parent / "kernels"
SHIPPED_LEVEL = "x86-64-v3"
"""What `-march=` is given: processors with AVX2, since 2013."""
ASKED = frozenset({"abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"})
"""What it asks of a processor, in the words of /proc/cpuinfo."""


def shipped_path(digest: str) -> Path | None:
    """Where a kernel of these sources stands for the torch that runs; None on other kinds of machines."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return None
    release = ".".join(torch.__version__.split(".")[:2])
    return FOLDER / f"spikeseq_cpu_{digest[:12]}_torch{release}.so"


def shipped(device: str, digest: str, processor: str) -> tuple[Path | None, str]:
    """The kernel that came with the package and fits, or None and why none does; "" where none came.

    Args:
        device: "cpu"; none are shipped for others.
        digest: of the sources, so that a kernel of other ones is not taken.
        processor: its features, with spaces between.
    """
    came = sorted(FOLDER.glob("*.so")) if device == "cpu" else []
    if not came:
        return None, ""
    path = shipped_path(digest)
    if path is None:
        return None, f"the kernels that came are for x86-64, not for {platform.machine()}"
    lacks = ASKED.difference(processor.split())
    if lacks:
        return None, f"the kernels that came ask for a processor with {', '.join(sorted(lacks))}"
    if path not in came:
        return None, f"the kernels that came are {', '.join(one.stem for one in came)}, not {path.stem}"
    return (path, "") if is_whole(path) else (None, f"{path} is damaged")
