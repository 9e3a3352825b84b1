"""Files that commands write: none of them may be one that the command reads, or a part of a run."""

import os
from collections.abc import Iterable
from pathlib import Path

from spikeseq.files import check_place
from spikeseq.recipes.manifest import CONFIG_FILE, MANIFEST_FILE, RunError, read_manifest

SHOWN = (".html", ".htm", ".png", ".pdf", ".svg", ".nir", ".onnx", ".pt2", ".so")
"""Endings of what commands write about runs and data, which may be written again."""


def check_output(path: Path, reads: Iterable[str | Path | None] = ()) -> None:
    """That a file can be written at `path` without a loss. See `check_place` and `check_apart`."""
    check_place(path)
    check_apart(path, reads)


def check_apart(path: Path, reads: Iterable[str | Path | None] = ()) -> None:
    """That a file to be written is apart from what is read, and from runs.

    Args:
        reads: files and folders that the command was given; what is no path is passed over.
    Raises:
        ValueError: it is one of these files, lies in one of these folders, or is a part of a run.
    """
    places = (path.absolute(), path.resolve())  # a link, and what it leads to
    for place in [Path(os.path.expanduser(given)) for given in reads if given]:
        if same(path, place):
            raise ValueError(f"{path} is read by this command; expected the name of another file")
        # A run with a manifest says itself what it consists of.
        whole = os.path.isdir(place) and not (place / MANIFEST_FILE).exists()  # not Path's: any text is given
        if whole and kept(path) and any(one.is_relative_to(place.resolve()) for one in places):
            why = f"it lies in {place}, which this command reads"
            raise ValueError(f"{path} is not written over: {why}; expected the name of a new file")
    for place in places:
        if part_of_run(place):
            why = f"it is a part of the run {place.parent}"
            raise ValueError(f"{path} is not written over: {why}; expected the name of another file")


def same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, through links or not."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):  # one of them is not there, or no path
        return False


def kept(path: Path) -> bool:
    """Whether there is a file that is more than something shown."""
    return path.exists() and path.suffix.lower() not in SHOWN


def part_of_run(path: Path) -> bool:
    """Whether the manifest beside a file lists it; without one, whether it may be a file of the run there."""
    try:
        listed = read_manifest(path.parent)
    except RunError:  # damaged, or a file of others with that name
        listed = None
    if listed is None:
        return (path.parent / CONFIG_FILE).exists() and kept(path)
    return any(path.name == name or same(path, path.with_name(name)) for name in (MANIFEST_FILE, *listed))
