"""Corpora that are ready to train on, kept in the cache: the slow part of a start, done once."""

import hashlib
import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from spikeseq.files import size_and_digest
from spikeseq.ops.cache import cache_folder, made_cache_folder, passing_folder
from spikeseq.recipes.manifest import write_manifest


def corpus_folder(facts: Any) -> Path:
    """Where a corpus is kept that depends on `facts`, which JSON can hold."""
    key = hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]
    return cache_folder() / "corpora" / key


def content_of(path: Path) -> str:
    """What tells the content of a file from any other: its digest. A date could have been put back.

    Of what cannot be read, or not twice as a pipe, nothing is known: each time it is another.
    """
    try:
        if path.is_file():
            return size_and_digest(path)[1]
    except OSError:  # which its reader will say
        pass
    return secrets.token_hex()


def state_of(path: Path) -> list[Any]:
    """What tells a file from others and from what it was without reading it, as sets of images are large.

    Its path is the given one, not what a link leads to: names in it say roles and classes. Its date may have
    been put back (`rsync -t`, `cp -p`); the time of its last change, and its number on the disk, are not.

    That time changes with its rights and the number of its hard links, too: a corpus is then made anew for
    nothing. Without it, arrays of one size and date (idx files always have one size) would stand for others.
    """
    stat = path.stat()
    return [str(path.absolute()), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]


def keep_corpus(folder: Path, write: Callable[[Path], None], say: Callable[[str], None]) -> None:
    """Lets `write` fill a folder of the cache; where that fails it is said, as the cache only saves time."""
    try:
        write_folder(folder, write)
    except (OSError, SafetensorError) as error:
        say(f"the corpus is not kept for later runs: {error}")


def write_folder(folder: Path, write: Callable[[Path], None]) -> None:
    """Calls `write` with a new folder, adds a manifest and renames that to `folder`: what is in the cache is
    whole. What kills left of others is taken away."""
    made_cache_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with passing_folder(folder.parent, "tmp") as place:
        new = place / "new"
        new.mkdir(mode=0o700)
        write(new)
        write_manifest(new, [path.name for path in new.iterdir()], {})
        try:
            os.replace(new, folder)
        except OSError:  # there is one already, damaged or of another process
            if not folder.exists():
                raise
            os.replace(folder, place / "old")
            os.replace(new, folder)
