"""Labelled texts for classification: the generated sample, a folder, one file, or IMDB from the hub.

`load_text_data(source)` gives a TextData; its `splits` are what a model is trained, validated and tested on.
Whatever is wrong with the input is a one-line DataError.
"""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikeseq.recipes.shared.errors import DataError, check_one, listed, shown
from spikeseq.recipes.shared.files.tables import READERS
from spikeseq.recipes.shared.texts import sample as text_sample
from spikeseq.recipes.shared.texts.files import Rows, checked, clean, read
from spikeseq.recipes.shared.texts.splits import (
    TextSplit,
    check_share,
    fold_split,
    hold_out,
    stratified,
    validation_split,
)

__all__ = ["DataError", "TextData", "clean", "load_text_data"]

HUB_NAME = "stanfordnlp/imdb"
ROLES = {
    "train": "train", "all": "train", "validation": "validation", "test": "test",
    "unsupervised": "unlabelled", "unlabelled": "unlabelled",
}  # fmt: skip


@dataclass(frozen=True)
class TextData:
    """`classes[label]` is a class's name; `unlabelled` texts can serve to train word vectors.

    validation: None where the source has no such split.
    """

    train: TextSplit
    test: TextSplit
    unlabelled: list[str]
    classes: list[str]
    name: str
    validation: TextSplit | None = None

    def splits(self, validation_share: float, seed: int) -> dict[str, TextSplit]:
        """Training, validation and test texts by name; validation texts are the source's own, or else that
        share of the training texts."""
        check_share("validation_share", validation_share)
        train, validation = self.train, self.validation
        if validation is None:
            train, validation = validation_split(train, validation_share, seed)
        return {"train": train, "validation": validation, "test": self.test}


@dataclass(frozen=True)
class _Parts:
    """The files of a source, as they are; None where there is none."""

    train: Rows
    name: str
    validation: Rows | None = None
    test: Rows | None = None
    unlabelled: Rows | None = None


def load_text_data(
    source: str | os.PathLike[str],
    *,
    text_column: str = "text",
    label_column: str = "label",
    test_share: float = 0.2,
    folds: int | None = None,
    fold: int = 1,
    seed: int = 1,
    limit: int | None = None,
) -> TextData:
    """Read labelled texts from `source`.

    - `"sample"`: the corpus of `text_sample` (4,000 training and 1,000 test texts, always the same).
    - `"hub"`: IMDB through the `datasets` package. The column arguments do not apply to it.
    - a folder with `train` (or `all`) and, if there are such, `validation`, `test` and `unsupervised` or
      `unlabelled`: `.parquet`, `.csv` or `.jsonl` files; or a folder that holds such a folder under the name
      `imdb`.
    - one such file. (A file or folder that is itself called `sample` or `hub` is reached as `./sample`.)

    Labels are integers or strings, and become indices into `classes`: the sorted distinct labels, or the
    names that the `datasets` metadata of a parquet file gives them. Rows with label -1 join `unlabelled`.
    Without a test file, a stratified `test_share` (default 0.2, a common choice) is held out as
    `validation_split` does it; with `folds`, the part `fold` of so many, as `fold_split` does it. `limit`
    keeps a random, stratified choice of that many rows of each split, for quick runs (of the sample, its
    first texts). A test file is taken as it is, even where it repeats training texts, as IMDB's does.

    Raises DataError for anything that cannot be read or used.
    """
    source = os.fspath(source)
    check_share("test_share", test_share)
    if folds is not None and not 1 <= fold <= folds:
        raise DataError(f"data.fold={fold}: expected 1 to {folds}, as data.folds={folds}")
    if limit is not None and limit < 4:
        raise DataError(f"limit={limit}: expected two rows for each class or more, so at least 4")
    if source == "sample":
        return _sample(limit)
    parts = _hub() if source == "hub" else _local(source, (text_column, label_column))
    data = _assemble(parts, test_share, folds, fold, seed)
    return data if limit is None else _limited(data, limit, seed)


def _limited(data: TextData, limit: int, seed: int) -> TextData:
    if limit < 2 * len(data.classes):
        raise DataError(
            f"limit={limit}: expected two rows for each of the {len(data.classes)} classes, or more"
        )
    unlabelled = data.unlabelled
    if limit < len(unlabelled):
        unlabelled = random.Random(seed).sample(unlabelled, limit)
    train, test = stratified(data.train, limit, seed), stratified(data.test, limit, seed)
    validation = None if data.validation is None else stratified(data.validation, limit, seed)
    return replace(data, train=train, test=test, validation=validation, unlabelled=unlabelled)


def _assemble(parts: _Parts, test_share: float, folds: int | None, fold: int, seed: int) -> TextData:
    files = [rows for rows in (parts.train, parts.validation, parts.test, parts.unlabelled) if rows]
    unlabelled = [text for rows in files for text in rows.unlabelled]
    train, origin = parts.train, parts.train.origin
    values = sorted(set(train.labels), key=lambda value: (isinstance(value, str), value))
    if len(values) < 2:
        found = f"one class only, {shown(values[0])}" if values else "no labelled row"
        raise DataError(f"{origin}: {found}; expected two or more classes")
    classes = [_class_name(value, train.class_names) for value in values]
    index = {value: i for i, value in enumerate(values)}

    def indexed(rows: Rows) -> TextSplit:
        if not rows.labels:
            raise DataError(f"{rows.origin}: no labelled row; expected labels as in {origin}")
        for value in rows.labels:
            if value not in index:
                known = listed(map(str, values))
                raise DataError(
                    f"{rows.origin}: label {shown(value)}; expected one that {origin} has: {known}"
                )
        return TextSplit(rows.texts, [index[value] for value in rows.labels])

    learnt = indexed(train)
    validation = None if parts.validation is None else indexed(parts.validation)
    if folds is not None:
        own = parts.test or parts.validation
        if own is not None:
            raise DataError(f"{own.origin}: with a split of its own goes no data.folds={folds}; leave it out")
        learnt, tested = fold_split(learnt, folds, fold, seed, origin, classes)
    elif parts.test is None:
        learnt, tested = hold_out(learnt, test_share, seed, origin, classes)
    else:
        tested = indexed(parts.test)
    return TextData(learnt, tested, unlabelled, classes, parts.name, validation)


def _class_name(value: int | str, names: Sequence[str]) -> str:
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else str(value)


def _sample(limit: int | None) -> TextData:
    sizes = (4000, 1000) if limit is None else (min(4000, limit), min(1000, limit))
    train, test = text_sample.sample_splits(*sizes)
    return TextData(TextSplit(*train), TextSplit(*test), [], list(text_sample.CLASSES), "sample")


def _hub() -> _Parts:
    try:
        import datasets

        loaded = datasets.load_dataset(HUB_NAME)
    except ImportError as error:
        raise DataError(f"hub: no datasets package ({error}); pip install 'spikeseq[recipes]'") from None
    except Exception as error:  # which type says "offline" differs between versions of datasets
        advice = "expected a network, or instead of hub a folder with train.parquet and test.parquet"
        raise DataError(f"hub: {HUB_NAME} cannot be fetched ({shown(str(error), 120)}); {advice}") from error
    parts = []
    for part in ("train", "test", "unsupervised"):
        split = loaded[part]
        rows = enumerate(zip(split["text"], split["label"], strict=True), start=1)
        parts.append(checked(f"{HUB_NAME} {part}", "row", rows, split.features["label"].names))
    return _Parts(parts[0], HUB_NAME, test=parts[1], unlabelled=parts[2])


def source_files(source: str | os.PathLike[str]) -> dict[str, Path]:
    """The files of a folder, or the one file, by role: train, validation, test, unlabelled.

    Raises DataError where there is none to train on, or two of one role.
    """
    path = Path(os.path.expanduser(source))
    if not _exists(path):
        parent = next((parent for parent in path.parents if _exists(parent)), Path())
        raise DataError(f"{path}: no such file or folder; {parent} holds {_content(parent)}")
    return _folder(path) if path.is_dir() else {"train": path}


def _local(source: str, columns: tuple[str, str]) -> _Parts:
    files = source_files(source)
    train = files["train"]
    whole = not Path(os.path.expanduser(source)).is_dir()
    asked = {"unlabelled": columns[:1]}  # which has no use for labels
    rows = {role: read(file, asked.get(role, columns)) for role, file in files.items()}
    return _Parts(name=train.stem if whole else train.parent.resolve().name, **rows)


def _folder(path: Path) -> dict[str, Path]:
    """The files by role of the folder with the training file."""
    for folder in (path, path / "imdb"):
        files: dict[str, list[Path]] = {}
        for stem, role in ROLES.items():
            found = [folder / f"{stem}{suffix}" for suffix in READERS]
            files.setdefault(role, []).extend(file for file in found if _exists(file))
        for found in files.values():
            check_one(folder, [file.name for file in found])
        if files["train"]:
            return {role: found[0] for role, found in files.items() if found}
    expected = listed(f"train{suffix}" for suffix in READERS)
    raise DataError(
        f"{path}: no training file; expected one of {expected}; the folder holds {_content(path)}"
    )


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError) as error:  # a name too long for the file system, or with a NUL in it
        raise DataError(f"{shown(str(path))}: not a path ({error}); expected sample, hub or a path") from None


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "nothing, as it is a file"
    try:
        return listed(sorted(entry.name for entry in folder.iterdir())) or "nothing"
    except OSError as error:
        return f"what cannot be listed ({error.strerror})"
