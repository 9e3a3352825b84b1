"""Texts to learn a language from: files of text, folders of splits, tables with a column of texts, the hub.

A document is one file of text, or one row of a table. Text is read block by block, so that a file may be
larger than memory. Every failure is one line that names the place.
"""

import gzip
import io
import os
import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from spikeseq.recipes.language import sample
from spikeseq.recipes.shared.errors import DataError, check_one, listed, shown
from spikeseq.recipes.shared.files import parquet
from spikeseq.recipes.shared.files.tables import READERS
from spikeseq.recipes.shared.files.utf8 import decoded

HUB_NAME, HUB_CONFIG = "Salesforce/wikitext", "wikitext-2-raw-v1"
TEXTS = (".txt", ".tokens", ".raw", ".text", ".md")
SPLITS = {
    "train": "train", "training": "train", "unsupervised": "train", "valid": "validation",
    "validation": "validation", "val": "validation", "dev": "validation", "test": "test",
}  # fmt: skip
BLOCK = 2**20

Piece = str | None
"""A block of a document that ends at a line's end or the document's; None: the document is over."""


@dataclass
class Source:
    """Where documents come from, by split; only "train" where it has no splits.

    name: for people. files: of each split, in order. texts: documents that are in memory. left_out: names of
    files that belong to no split, where others do.
    """

    name: str
    files: dict[str, list[Path]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def splits(self) -> set[str]:
        return {split for split, given in (self.files | self.texts).items() if given}

    def pieces(self, split: str, column: str) -> Iterator[Piece]:
        """The documents of a split. column: of a table, that holds the texts."""
        for text in self.texts.get(split, ()):
            yield text
            yield None
        for path in self.files.get(split, ()):
            yield from read(path, column)


def find(source: str) -> Source:
    """The documents of `sample`, `hub`, a folder, a file, or several of them with the path separator between.

    A folder's files belong to the split that their name holds as a word (`train.txt`, `wiki.valid.tokens`,
    `ptb.test.txt.gz`); where none does, all of them are one text to be split.

    Raises:
        DataError: there is none, a file of an unknown kind, or in a folder one split under two words
            (`valid.txt` and `dev.txt`; train and unsupervised go together), or a file and its packed copy.
    """
    if source == "sample":
        return Source("sample", texts=sample.splits())
    if source == "hub":
        return Source(f"{HUB_NAME} {HUB_CONFIG}", texts=_hub())
    parts = [source] if os.path.exists(source) else source.split(os.pathsep)
    paths = [Path(os.path.expanduser(part)) for part in parts if part]
    for path in paths:
        if not path.exists():
            raise DataError(f"{path}: no such file or folder; expected texts, sample or hub")
    if len(paths) == 1 and paths[0].is_dir():
        return _folder(paths[0])
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder; several paths must be files")
        _kind(path)
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Source(Path(paths[0].name.removesuffix(".gz")).stem + more, {"train": paths})


def _folder(folder: Path) -> Source:
    files = sorted(path for path in folder.iterdir() if path.is_file() and _known(path))
    if not files:
        kinds = listed((*TEXTS, *READERS))
        held = listed(sorted(path.name for path in folder.iterdir())) or "nothing"
        raise DataError(
            f"{folder}: no texts; expected files ending in {kinds}, or these and .gz; it holds {held}"
        )
    words = {path: _word_of(path) for path in files}
    apart = {path: SPLITS.get(word) for path, word in words.items()}
    name, named = folder.resolve().name, {split for split in apart.values() if split is not None}
    read = [path for path in files if not named or apart[path] in named]
    _check_once(folder, {path: words[path] for path in read})
    parquet.check_whole(read)
    if not named:
        return Source(name, {"train": files})
    if "train" not in named:
        raise DataError(
            f"{folder}: texts for {listed(sorted(named))} and none to train on; expected a file with train in"
            " its name, or in no file's name a split"
        )
    by_split = {split: [path for path in files if apart[path] == split] for split in SPLITS.values()}
    return Source(name, by_split, left_out=[path.name for path in files if apart[path] is None])


def _word_of(path: Path) -> str:
    """The word in a file's name that says its split; "" for none."""
    words = path.name.lower().replace("_", ".").replace("-", ".").split(".")
    return next((word for word in words if word in SPLITS), "")


def _check_once(folder: Path, words: dict[Path, str]) -> None:
    """No text twice: no file beside its packed copy, no split under two words, but for unsupervised texts."""
    copies = defaultdict[str, list[str]](list)
    firsts = defaultdict[str, dict[str, str]](dict)  # by split and word
    for path, word in words.items():
        copies[_unpacked(path)].append(path.name)
        if word not in ("", "unsupervised"):
            firsts[SPLITS[word]].setdefault(word, path.name)
    for names in (*copies.values(), *(sorted(first.values()) for first in firsts.values())):
        check_one(folder, names)


def _unpacked(path: Path) -> str:
    return path.name.removesuffix(".gz")


def _suffix(path: Path) -> str:
    return Path(_unpacked(path)).suffix.lower()


def _known(path: Path) -> bool:
    packed = path.suffix == ".gz"
    return _suffix(path) in TEXTS or (not packed and _suffix(path) in READERS)


def _kind(path: Path) -> None:
    if not _known(path):
        kinds = listed((*TEXTS, *READERS))
        raise DataError(f"{path}: unknown extension {shown(path.suffix)}; expected one of {kinds}")


def read(path: Path, column: str) -> Iterator[Piece]:
    """The documents of one file."""
    if _suffix(path) == ".parquet":
        yield from _rows_of_parquet(path, column)
    elif _suffix(path) in READERS:
        unit, rows, _ = READERS[_suffix(path)](path, (column,))
        for number, (text,) in rows:
            if not isinstance(text, str):
                raise DataError(f"{path}, {unit} {number}: the text is {shown(text)}; expected a string")
            yield text
            yield None
    else:
        yield from _text(path)
        yield None


def _rows_of_parquet(path: Path, column: str) -> Iterator[Piece]:
    """Row group by row group."""
    with parquet.opened(path) as file:
        parquet.column_of(str(path), file.schema_arrow.names, [column])
        number = 0
        for batch in file.iter_batches(batch_size=1024, columns=[column]):
            for scalar in batch.column(0):
                number += 1
                where = f"{path}, row {number}"
                text = parquet.value(scalar, where, column)
                if not isinstance(text, str):
                    raise DataError(f"{where}: the text is {shown(text)}; expected a string")
                yield text
                yield None


def _text(path: Path) -> Iterator[str]:
    """A file's text in blocks that end at a line's end."""
    line = 1
    try:
        with _opened(path) as file:
            while content := file.read(BLOCK):
                if not content.endswith(b"\n"):
                    content += file.readline()
                text = decoded(content, str(path), line)
                line += content.count(b"\n")
                if text:
                    yield text
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error) or "cut off"
        raise DataError(f"{path}: cannot be read ({reason}); expected a whole file") from None


def _opened(path: Path) -> IO[bytes]:
    return io.BufferedReader(gzip.open(path)) if path.suffix == ".gz" else path.open("rb")  # type: ignore[arg-type]


def _hub() -> dict[str, list[str]]:
    try:
        import datasets

        loaded = datasets.load_dataset(HUB_NAME, HUB_CONFIG)
    except ImportError as error:
        raise DataError(f"hub: no datasets package ({error}); pip install 'spikeseq[recipes]'") from None
    except Exception as error:  # which type says "offline" differs between versions of datasets
        advice = "expected a network, or instead of hub a folder with train, validation and test texts"
        raise DataError(f"hub: {HUB_NAME} cannot be fetched ({shown(str(error), 120)}); {advice}") from error
    return {split: ["".join(loaded[split]["text"])] for split in ("train", "validation", "test")}
