"""NIR files: looked through before `nir` reads them, so that what is wrong is told in one line."""

from pathlib import Path
from typing import Any

from .needed import needed, nir
from .nodes import KNOWN


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
    try:
        with h5py.File(path, "r") as file:
            if "node" not in file or "version" not in file:
                raise ValueError(f"{path} holds no NIR graph (an HDF5 file with `node` and `version`)")
            version = as_text(file["version"][()])
            kinds = dict(nodes_of(file["node"]))
    except OSError as error:
        raise ValueError(f"{path} is no whole NIR file: {str(error).partition('(')[0].strip()}") from None
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
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read by nir {library.version}: {error or type(error).__name__}"
        ) from error


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
