"""Text files of word vectors (GloVe's or word2vec's format): written, or read by torchtext 0.6, with a cache.

torchtext does the parsing. What it leaves open is done here: the file is checked first, so that an error
names its line; the cache belongs to one version of one file and is never half-written; it is read back as
tensors and plain containers only (`weights_only=True`); and the process's TLS settings, which torchtext
changes, are put back.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import logging
import os
import pickle
import ssl
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.files import size_and_digest, write_whole
from spikeseq.ops.cache import cache_folder, passing_folder

MARK = "\ufeff"
LARGEST = torch.finfo(torch.float32).max
LEAST_DIMENSION = 3  # torchtext does not count rows of one or two numbers, and fails without saying why


def read_vector_file(path: Path, cache: Path | None) -> tuple[dict[str, int], Tensor]:
    """Words with the number of their row, and the rows (N, dim) float32, of all that is in the file.

    path: text, or text compressed as `.gz`: per line a word and its numbers, separated by single spaces.
        A first line "rows dim", as word2vec writes it, is a header.
    cache: folder for the parsed copy; None means `vectors` in the user's cache folder (`SPIKESEQ_CACHE`, else
        `spikeseq` in `$XDG_CACHE_HOME` or `~/.cache`), or no copy at all where that cannot be written.

    Raises what `load_vectors` documents.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file of word vectors at {path}")
    kept_as = f"{path.name}-{size_and_digest(path)[1][:16]}.pt"
    with contextlib.ExitStack() as stack:
        if cache is not None:
            cache.mkdir(parents=True, exist_ok=True)
        else:
            cache = _user_cache()
            if cache is None:
                cache = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kept = _read_cache(cache / kept_as)
        if kept is not None:
            return _without_mark(*kept)
        check_vector_file(path)
        work = stack.enter_context(passing_folder(cache, ".vectors-"))
        stoi, rows = _parse(path, work)
        (written,) = work.iterdir()
        os.replace(written, cache / kept_as)
    return _without_mark(stoi, rows)


def write_vector_file(path: Path, words: Sequence[str], rows: Tensor) -> None:
    """A line "rows dim", then a line for each word with its numbers, in six digits; `.gz` is compressed.

    Raises what `save_vectors` documents.
    """
    if rows.dim() != 2 or len(rows) != len(words) or not len(rows) or rows.shape[1] < LEAST_DIMENSION:
        shape = f"rows has the shape {tuple(rows.shape)} for {len(words)} words"
        raise ValueError(f"{shape}; expected a row for each, of {LEAST_DIMENSION} numbers or more")
    if len(set(words)) < len(words):
        twice = next(word for place, word in enumerate(words) if word in words[:place])
        raise ValueError(f"the word {twice!r} is there twice; expected one row for each word")
    lines = [f"{len(words)} {rows.shape[1]}"]
    for word, row in zip(words, rows.detach().cpu().float(), strict=True):
        if word.split() != [word] or word.startswith(MARK):
            raise ValueError(f"the word {word!r} cannot stand in a file whose fields are parted by spaces")
        if not row.isfinite().all():
            raise ValueError(f"the vector of {word!r} has numbers that are not finite")
        lines.append(f"{word} {' '.join(map('%.6g'.__mod__, row.tolist()))}")
    content = ("\n".join(lines) + "\n").encode()
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def _without_mark(stoi: dict[str, int], rows: Tensor) -> tuple[dict[str, int], Tensor]:
    """The first word without the byte-order mark that some editors put before a file."""
    for word, row in stoi.items():
        if row == 0 and word.startswith(MARK):
            own = word.removeprefix(MARK)
            return {own: 0} | {other: place for other, place in stoi.items() if other != word}, rows
    return stoi, rows


def check_vector_file(path: Path) -> None:
    """Go through the file once. ValueError, naming the line, for what is not UTF-8, for rows of unequal or
    too small length, for numbers that are none or not finite and for fewer rows than a header promises; also
    for an empty or damaged file."""
    dimension, rows, promised = 0, 0, None
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    raise ValueError(f"{path}, line {number}: not UTF-8 ({error})") from error
                if number == 1:
                    line = line.removeprefix(codecs.BOM_UTF8)
                fields = line.rstrip().split(b" ")
                if number == 1 and len(fields) == 2 and all(field.isdigit() for field in fields):
                    promised = int(fields[0])
                    continue
                found = len(fields) - 1
                if not rows:
                    dimension = found
                    if dimension < LEAST_DIMENSION:
                        raise ValueError(
                            f"{path}, line {number}: {found} numbers after the word; expected a word and "
                            f"at least {LEAST_DIMENSION} numbers, separated by single spaces"
                        )
                elif found != dimension:
                    raise ValueError(
                        f"{path}, line {number}: {found} numbers after the word, "
                        f"but {dimension} in the rows before"
                    )
                for field in fields[1:]:
                    _check_number(path, number, field)
                rows += 1
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: damaged or cut off ({error})") from error
    if not rows:
        raise ValueError(f"{path}: the file holds no word vectors")
    if promised is not None and promised != rows:
        raise ValueError(f"{path}: the first line promises {promised} rows, but there are {rows}")


def _check_number(path: Path, line: int, field: bytes) -> None:
    try:
        good = abs(float(field)) <= LARGEST  # which no NaN is
    except ValueError:
        good = False
    if not good:
        shown = field.decode("utf-8", "replace")
        raise ValueError(f"{path}, line {line}: {shown!r} after the word; expected a finite number")


def _parse(path: Path, cache: Path) -> tuple[dict[str, int], Tensor]:
    """Parse with torchtext, which leaves its own cache file, the only one, in `cache`."""
    try:
        from torchtext.vocab import Vectors
    except (ImportError, OSError) as error:
        raise ImportError(
            "reading word vectors needs torchtext 0.6: pip install 'spikeseq[torchtext]'"
        ) from error
    with _side_effects_undone():
        try:
            read: Any = Vectors(str(path), cache=str(cache))
        except (ValueError, RuntimeError) as error:  # a field that is no number
            raise ValueError(f"{path}: {error}") from error
    return read.stoi, read.vectors


@contextlib.contextmanager
def _side_effects_undone() -> Iterator[None]:
    """torchtext 0.6 turns off the checking of certificates for the whole process, even where it downloads
    nothing: turn it on again. It also warns of an ordinary header line: keep that quiet."""
    context, logger = ssl._create_default_https_context, logging.getLogger("torchtext.vocab")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        ssl._create_default_https_context = context
        logger.setLevel(level)


def _read_cache(path: Path) -> tuple[dict[str, int], Tensor] | None:
    """The cached copy, or None where there is none or it cannot be read (it is then made again)."""
    try:
        _, stoi, rows, _ = torch.load(path, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, TypeError, ValueError):
        return None
    return (stoi, rows) if isinstance(stoi, dict) and isinstance(rows, Tensor) else None


def _user_cache() -> Path | None:
    folder = cache_folder() / "vectors"
    try:
        folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # kernels may be kept there, too
        folder.mkdir(exist_ok=True)
        return folder if os.access(folder, os.W_OK) else None
    except OSError:
        return None
