"""What a finished run consists of: `manifest.json`, with the size and SHA-256 of every file that matters.

It is written when the rest is there, and every file that is read from a run folder goes through `checked`.
Runs of versions that wrote none are read as they are. Pictures, reports and whatever else people put into a
run folder are not in it.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from spikeseq.files import size_and_digest, write_whole

MANIFEST_FILE, METRICS_FILE, CONFIG_FILE = "manifest.json", "metrics.json", "config.yaml"
FORMAT = 1
MARK = "manifest"
"""Under this key `metrics.json` has the format of the manifest beside it: one that was lost is missed."""
LARGEST = 2**20  # bytes of a manifest; that of any run has a few thousand


class RunError(ValueError):
    """A run folder that cannot be used; the message names the file and what is expected."""


def write_manifest(folder: Path, names: Iterable[str], coming: Mapping[str, str]) -> None:
    """Writes the manifest of files that are in a folder, and of others that are written next, by content."""
    files = {name: facts_of(folder / name) for name in names if (folder / name).is_file()}
    for name, content in coming.items():
        data = content.encode()
        files[name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    about = {"format": FORMAT, "files": dict(sorted(files.items()))}
    write_whole(folder / MANIFEST_FILE, json.dumps(about, indent=1) + "\n")


def facts_of(path: Path) -> dict[str, Any]:
    """Size and digest of a file."""
    size, digest = size_and_digest(path)
    return {"bytes": size, "sha256": digest}


def check_kind(path: Path) -> None:
    """Raises RunError for pipes and devices, also behind links, which can be read for ever."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise RunError(f"{path} is a pipe or a device; expected a file")


def checked(path: Path) -> Path:
    """`path`, a file of a run folder, or of a folder without a manifest.

    Raises:
        RunError: it is not as the run was finished with, is gone, or came from elsewhere; the manifest is
            damaged or gone.
    """
    check_kind(path)
    listed = read_manifest(path.parent)
    if listed is None:
        return path
    wanted = listed.get(path.name)
    if wanted is None:
        if not path.exists():
            return path
        raise RunError(f"{path} is no part of the run: {MANIFEST_FILE} does not list it; take it away")
    if not path.exists():
        raise RunError(f"{path} is missing; {MANIFEST_FILE} lists it: put it back")
    try:
        found = facts_of(path)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    for key, unit in (("bytes", "bytes"), ("sha256", "SHA-256")):
        if found[key] != wanted[key]:
            one, other = (str(facts[key])[:12] for facts in (found, wanted))
            values = f"{one} {unit}, not {other}" if key == "bytes" else f"{unit} {one}..., not {other}..."
            raise RunError(f"{path} is damaged: it has {values} as in {MANIFEST_FILE}; put the file back")
    return path


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """Size and digest by file name; None for a folder that has no manifest and never had one.

    Raises:
        RunError: the manifest is damaged, or lost.
    """
    path = folder / MANIFEST_FILE
    check_kind(path)
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except (FileNotFoundError, NotADirectoryError):
        if had_manifest(folder):
            raise RunError(f"{path} is missing; {METRICS_FILE} tells of it: put it back") from None
        return None
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    try:
        if len(content) > LARGEST:
            raise ValueError(f"more than {LARGEST:,} bytes")
        about = json.loads(content.decode("utf-8"))
        if about["format"] != FORMAT:
            raise ValueError(f"format {about['format']!r:.40}; this version reads {FORMAT}")
        files = about["files"]
        for name, facts in files.items():
            if type(facts["bytes"]) is not int or type(facts["sha256"]) is not str:
                raise ValueError(f"{name!r:.40} has no size and digest")
        return dict(files)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None


def had_manifest(folder: Path) -> bool:
    """Whether `metrics.json` tells of a manifest; what else may be wrong with it, its own reader says."""
    check_kind(folder / METRICS_FILE)
    try:
        metrics = json.loads((folder / METRICS_FILE).read_text(encoding="utf-8"))
        return isinstance(metrics, dict) and MARK in metrics
    except (OSError, ValueError, RecursionError):
        return False


def read_json(path: Path) -> Any:
    """What a JSON file of a run folder holds.

    Raises:
        RunError: naming the file; it is not the run's, cannot be read, or is no JSON.
    """
    try:
        return json.loads(checked(path).read_text(encoding="utf-8"))
    except RunError:
        raise
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror}); expected a file") from None
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged: {reason(error)}") from None


def reason(error: Exception) -> str:
    """What is wrong with a file's content, in a line."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    text = " ".join(str(error).split())[:200]
    if isinstance(error, KeyError):
        return f"it has no {text}"
    return text or type(error).__name__
