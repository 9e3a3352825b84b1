"""Parallel texts for translation: the generated sample, a folder, two files, or Multi30k from the hub.

`load_parallel_data(source)` gives a ParallelData of raw text. Line i of one file belongs
to line i of the other, so lines end at "\\n" alone: a form feed inside a sentence must not shift all others.
Whatever is wrong with the input is a one-line DataError.
"""

import gzip
import io
import os
import random
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from spikeseq.recipes.shared.errors import DataError, check_one, listed, shown
from spikeseq.recipes.shared.files.utf8 import lines, read_bytes
from spikeseq.recipes.translation import sample as parallel_sample
from spikeseq.recipes.translation.lines import clean

__all__ = ["DataError", "Pairs", "ParallelData", "load_parallel_data"]

HUB_NAME = "bentrevett/multi30k"
MULTI30K_TEST = "test_2016_flickr"
VALIDATION_NAMES = ("val", "valid", "validation", "dev")

_Languages = tuple[str, str]  # source, target
_Files = dict[
    str, dict[str, list[Path]]
]  # by stem and language: train.de and train.de.gz are ["train"]["de"]


class NoSuchTest(DataError):
    """There are tests, but none of the name that was asked for."""


@dataclass(frozen=True)
class Pairs:
    """Sentences, and for each its translation: cased, untokenised, with single spaces only."""

    sources: list[str]
    targets: list[str]

    def __len__(self) -> int:
        return len(self.sources)


@dataclass(frozen=True)
class ParallelData:
    """`test_split` is the name of the test set; `skipped` counts the training pairs with an empty side."""

    train: Pairs
    validation: Pairs
    test: Pairs
    name: str
    source_language: str
    target_language: str
    test_split: str
    skipped: int


class _Parts(NamedTuple):
    """What was read; a split that is None is cut from `train`."""

    name: str
    test_split: str
    skipped: int
    train: Pairs
    validation: Pairs | None = None
    test: Pairs | None = None


def load_parallel_data(
    source: str | os.PathLike[str],
    *,
    source_language: str = "de",
    target_language: str = "en",
    test_split: str = MULTI30K_TEST,
    validation_share: float = 0.05,
    test_share: float = 0.05,
    seed: int = 1,
    limit: int | None = None,
) -> ParallelData:
    """Read pairs of sentences from `source`.

    - `"sample"`: the corpus of `parallel_sample` (4,000, 400 and 400 pairs, always the same), in either
      direction.
    - `"hub"`: Multi30k, German and English, through the `datasets` package.
    - a folder with `train.de` and `train.en` and, if there are such, `val`, `valid`, `validation` or `dev`
      and test files, named after their split: `test.de` or, as in Multi30k, `test_2016_flickr.de`. All may be
      gzipped (`train.de.gz`). Or a folder that holds such a folder as `raw`, `multi30k` or `multi30k/raw`.
    - two files, given by what their names share: `corpus` for `corpus.de` and `corpus.en`, gzipped or not.
      (A file or folder that is itself called `sample` or `hub` is reached as `./sample`.)

    `test_split` chooses among a folder's test files; for the default, Multi30k's usual one, a plain `test`
    will also do. Splits that are not there are cut from the training pairs at random, by default 5 % for
    each; pairs with the same source stay on one side. A test file is taken as it is, even where it repeats
    training pairs.

    A training pair with an empty side is left out and counted. In validation and test files it is an error,
    for a score over fewer lines than the file has would be another score. `limit` keeps a random choice of
    that many pairs of each split, for quick runs; a larger limit adds pairs.

    Raises DataError for anything that cannot be read or used.
    """
    source = os.fspath(source)
    languages = (source_language, target_language)
    if source_language == target_language:
        raise DataError(f"source and target language are both {shown(source_language)}; expected two of them")
    if not (validation_share > 0 and test_share > 0 and validation_share + test_share < 1):
        shares = f"validation_share={validation_share}, test_share={test_share}"
        raise DataError(f"{shares}: expected shares above 0, and below 1 together")
    if limit is not None and limit < 1:
        raise DataError(f"limit={limit}: expected at least 1, the pairs to keep of each split")
    if source in ("sample", "hub"):
        if {*languages} != {"de", "en"}:
            raise DataError(f"{source}: {listed(map(shown, languages))}; expected the languages de and en")
        _chosen_test(test_split, ["test"], source)
        parts = _sample(languages) if source == "sample" else _hub(languages)
    else:
        parts = _local(Path(os.path.expanduser(source)), languages, test_split)
    train, validation, test = parts.train, parts.validation, parts.test
    if test is None:
        leave = 2 if validation is None else 1
        train, test = _hold_out(train, round(test_share * len(parts.train)), leave, seed, parts.name)
    if validation is None:
        train, validation = _hold_out(train, round(validation_share * len(parts.train)), 1, seed, parts.name)
    if limit is not None:
        train, validation, test = (_limited(split, limit, seed) for split in (train, validation, test))
    return ParallelData(train, validation, test, parts.name, *languages, parts.test_split, parts.skipped)


def _hold_out(pairs: Pairs, wanted: int, leave: int, seed: int, origin: str) -> tuple[Pairs, Pairs]:
    """(rest, held out), both in their former order: about `wanted` pairs, but `leave` sources stay."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, sentence in enumerate(pairs.sources):
        groups[sentence].append(row)
    if len(groups) <= leave:
        expected = f"expected {leave + 1} or more to cut splits from"
        raise DataError(f"{origin}: different sentences of the source language: {len(groups)}; {expected}")
    candidates = list(groups.values())
    random.Random(seed).shuffle(candidates)
    held: set[int] = set()
    for rows in candidates[leave:]:
        if len(held) + len(rows) <= wanted:
            held.update(rows)
    smallest = min(candidates, key=len)
    held = held or set(smallest)  # where every sentence makes too many pairs
    everything = range(len(pairs))
    return _rows(pairs, [row for row in everything if row not in held]), _rows(pairs, sorted(held))


def _limited(pairs: Pairs, limit: int, seed: int) -> Pairs:
    rows = list(range(len(pairs)))
    random.Random(seed).shuffle(rows)
    return _rows(pairs, sorted(rows[:limit]))


def _rows(pairs: Pairs, rows: Iterable[int]) -> Pairs:
    rows = list(rows)
    return Pairs([pairs.sources[row] for row in rows], [pairs.targets[row] for row in rows])


def _sample(languages: _Languages) -> _Parts:
    splits = []
    for pairs in parallel_sample.sample_pairs():
        sides = {"de": [german for german, _ in pairs], "en": [english for _, english in pairs]}
        splits.append(Pairs(sides[languages[0]], sides[languages[1]]))
    return _Parts("sample", "test", 0, *splits)


def _hub(languages: _Languages) -> _Parts:
    try:
        import datasets

        loaded = datasets.load_dataset(HUB_NAME)
    except ImportError as error:
        raise DataError(f"hub: no datasets package ({error}); pip install 'spikeseq[recipes]'") from None
    except Exception as error:  # which type says "offline" differs between versions of datasets
        advice = "expected a network, or instead of hub a folder with train.de and train.en"
        raise DataError(f"hub: {HUB_NAME} cannot be fetched ({shown(str(error), 120)}); {advice}") from error
    splits = {}
    for role in ("train", "validation", "test"):
        sides = [[clean(sentence or "") for sentence in loaded[role][language]] for language in languages]
        origins = [f"{HUB_NAME} {role}.{language}" for language in languages]
        splits[role] = _paired(sides, origins, training=role == "train")
    skipped = len(loaded["train"]["de"]) - len(splits["train"])
    return _Parts(HUB_NAME, MULTI30K_TEST, skipped, **splits)


def _local(path: Path, languages: _Languages, test_split: str) -> _Parts:
    if os.path.isdir(path):
        return _folder(path, languages, test_split)
    stem, files = path.name.removesuffix("."), _files(path.parent)  # a shell completes to "corpus."
    if stem not in files:
        if os.path.isfile(path):
            raise DataError(f"{path}: one file; expected what two have in common: x for x.de and x.en")
        parent = next((parent for parent in path.parents if os.path.isdir(parent)), Path())
        there = listed(_names(parent)) or "nothing"
        problem = f"no such folder, nor such files with .{languages[0]} and .{languages[1]}"
        raise DataError(f"{shown(str(path), 200)}: {problem}; {parent} holds {there}")
    _chosen_test(test_split, [], str(path))
    train, skipped = _read(files, stem, languages, training=True)
    return _Parts(stem, "test", skipped, train)


def _folder(path: Path, languages: _Languages, test_split: str) -> _Parts:
    for folder in (path, path / "raw", path / "multi30k", path / "multi30k" / "raw"):
        files = _files(folder)
        if "train" in files:
            break
    else:
        there = listed(_names(path)) or "nothing"
        expected = f"train.{languages[0]} and train.{languages[1]}"
        raise DataError(f"{path}: no training files; expected {expected}; the folder holds {there}")
    stems = [stem for stem in files if not files[stem].keys().isdisjoint(languages)]
    train, skipped = _read(files, "train", languages, training=True)
    validation, test = None, None
    found = [stem for stem in VALIDATION_NAMES if stem in stems]
    check_one(folder, found)
    if found:
        validation, _ = _read(files, found[0], languages)
    chosen = _chosen_test(test_split, [stem for stem in stems if stem not in ("train", *found)], str(folder))
    if chosen:
        test, _ = _read(files, chosen, languages)
    whole = folder.resolve()
    name = whole.parent.name if whole.name == "raw" else whole.name
    return _Parts(name, chosen or "test", skipped, train, validation, test)


def _chosen_test(wanted: str, there: Sequence[str], origin: str) -> str | None:
    """The test split to read, or None where one must be cut."""
    if wanted in there:
        return wanted
    if wanted == MULTI30K_TEST and "test" in there:
        return "test"
    tests = [name for name in there if "test" in name]
    if wanted in (MULTI30K_TEST, "test") and not tests:
        return None
    known = listed(tests) if tests else "none"
    raise NoSuchTest(f"{origin}: no test split {shown(wanted)}; there is {known}")


def _files(folder: Path) -> _Files:
    """The files of a folder that are called STEM.LANGUAGE or STEM.LANGUAGE.gz."""
    files: _Files = {}
    for name in _names(folder):
        stem, _, language = name.removesuffix(".gz").rpartition(".")
        files.setdefault(stem, {}).setdefault(language, []).append(folder / name)
    return files


def _names(folder: Path) -> list[str]:
    if not os.path.isdir(folder):
        return []
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise DataError(f"{folder}: cannot be listed ({error.strerror}); expected a folder") from None


def _read(files: _Files, stem: str, languages: _Languages, training: bool = False) -> tuple[Pairs, int]:
    """The pairs of a split, and how many of its lines were left out."""
    paths = []
    for language in languages:
        found = files[stem].get(language, [])
        if len(found) != 1:
            there = [path for paths in files[stem].values() for path in paths]
            names = listed(path.name for path in found or there)
            problem = f"both {names}" if found else f"no {stem}.{language}, gzipped or not; there is {names}"
            raise DataError(f"{there[0].parent}: {problem}; expected one file for each language")
        paths += found
    sides = [_lines(path) for path in paths]
    pairs = _paired(sides, [str(path) for path in paths], training)
    return pairs, len(sides[0]) - len(pairs)


def _paired(sides: list[list[str]], origins: list[str], training: bool) -> Pairs:
    """Two lists of lines as pairs; one with an empty side is left out in training, else an error."""
    sources, targets = sides
    if len(sources) != len(targets):
        longer = origins[len(sources) < len(targets)]
        counts = f"{len(sources)} lines in {origins[0]}, {len(targets)} in {origins[1]}"
        alone = min(len(sources), len(targets)) + 1
        raise DataError(f"{counts}; expected as many: line {alone} of {longer} has no partner")
    whole = [row for row, pair in enumerate(zip(sources, targets, strict=True)) if all(pair)]
    if not training and len(whole) < len(sources):
        row = next(row for row in range(len(sources)) if not (sources[row] and targets[row]))
        origin = origins[bool(sources[row])]
        raise DataError(f"{origin}, line {row + 1}: empty; expected a sentence outside of training files")
    if not whole:
        raise DataError(f"{origins[0]}: no line has text both here and in {origins[1]}")
    return _rows(Pairs(sources, targets), whole)


def _lines(path: Path) -> list[str]:
    content = read_bytes(path)
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            damage = f"a damaged or truncated gzip file ({error})"
            raise DataError(f"{path}: {damage}; expected a whole one") from None
    found = [clean(line) for line in lines(io.BytesIO(content), str(path))]
    if not found:
        raise DataError(f"{path}: empty; expected one sentence a line")
    return found
