"""NIR files: looked through before `nir` reads them, so that what is wrong is told in one line."""

from pathlib import Path
from typing import Any

from .needed import needed, nir
from .nodes import KNOWN

DEFLATED = 1032
"""Bytes that one byte can hold at most as HDF5 packs arrays, by zlib."""


def read_nir(path: str | Path) -> Any:
    """The `nir.NIRGraph` of a file.

    Raises:
        ValueError: no NIR file, one that is damaged, one of a newer version than the installed `nir`, or with
            nodes that we do not know, naming them and those that we do.
        OSError: it cannot be read.
    """
    library, h5py = nir(), needed("h5py", "pip install h5py")
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is not a file; expected a NIR file")
    check_heaps(path)
    try:
        with h5py.File(path, "r") as file:
            check_size(file, path)
            whole = "node" in file and "version" in file
            version = as_text(file["version"][()]) if whole else ""
            kinds = dict(nodes_of(file["node"])) if whole else {}
    except TooLargeError:
        raise
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        # h5py raises, of any of these classes, what HDF5 stumbles over.
        told = " ".join(str(error).strip("'\"").partition("(")[0].split())
        raise ValueError(f"{path} is no whole NIR file: {told or type(error).__name__}") from None
    if not whole:
        raise ValueError(f"{path} holds no NIR graph (an HDF5 file with `node` and `version`)")
    if newer(version, library.version):
        raise ValueError(
            f"{path} was written by nir {version}, newer than the installed {library.version}:"
            " pip install -U nir"
        )
    for name, kind in kinds.items():
        if kind not in (*KNOWN, "NIRGraph"):
            raise ValueError(
                f"{path}: {name or 'the graph'} is a {kind}, which is not among the nodes we know:"
                f" {', '.join(KNOWN)}"
            )
    if kinds.get("") != "NIRGraph":
        raise ValueError(f"{path} holds a single {kinds.get('')}; expected a graph")
    try:
        return library.read(path, type_check=False)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, OSError, RuntimeError,
            TypeError, ValueError) as error:  # fmt: skip
        told = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path} cannot be read by nir {library.version}: {told}") from error


class TooLargeError(ValueError):
    """A file says that it holds more than it can."""


def check_size(file: Any, path: Path) -> None:
    """Refuses a file whose arrays take more memory than they can have been packed from.

    Raises:
        TooLargeError: naming both sizes.
    """
    held, most = 0, DEFLATED * path.stat().st_size

    def add(_name: str, found: Any) -> None:
        nonlocal held
        held += getattr(found, "nbytes", 0)

    file.visititems(add)
    if held > most:
        raise TooLargeError(f"{path} says that it holds {held:,} bytes of arrays; expected at most {most:,}")


def check_heaps(path: Path) -> None:
    """Refuses heaps of strings whose objects do not add up: HDF5 can look through one for ever.

    A heap is GCOL, a version, its size, and objects of 2 bytes number, 6 others, 8 size, and their content in
    units of 8 bytes; number 0 is what is free, its size that of all of it.

    Raises:
        ValueError: naming the place.
    """
    content = path.read_bytes()
    start = content.find(b"GCOL\1\0\0\0")
    while start >= 0:
        place, end = start + 16, start + int.from_bytes(content[start + 8 : start + 16], "little")
        while place + 16 <= min(end, len(content)):
            number = int.from_bytes(content[place : place + 2], "little")
            size = int.from_bytes(content[place + 8 : place + 16], "little")
            place += 16 + -(-size // 8) * 8 if number else size
            if place > end or not (number or size):
                raise ValueError(f"{path} is no whole NIR file: the strings at byte {start} do not add up")
        start = content.find(b"GCOL\1\0\0\0", start + 4)


def nodes_of(group: Any, path: str = "") -> Any:
    """Path and type of every node below."""
    yield path, as_text(group["type"][()]) if "type" in group else "node without a type"
    for name, inner in group.get("nodes", {}).items():
        yield from nodes_of(inner, f"{path}.{name}" if path else name)


def newer(version: str, than: str) -> bool:
    """Whether a version, as of a release, is a later one; what is no number counts as none."""

    def numbers(text: str) -> tuple[int, ...]:
        return tuple(int(part) if part.isdigit() else 0 for part in text.split(".")[:3])

    return numbers(version) > numbers(than)


def as_text(value: Any) -> str:
    """A string of the file."""
    return value.decode() if isinstance(value, bytes) else str(value)
