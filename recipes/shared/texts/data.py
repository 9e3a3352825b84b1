"""Labelled texts for classification: the generated sample, a folder, one file, or IMDB from the hub.

`load_text_data(source)` gives a TextData; `validation_split` then takes its share of the training split, so
the test split stays unread. Whatever is wrong with the input is a one-line DataError.
"""

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from spikeseq.recipes.shared.errors import DataError, listed, shown
from spikeseq.recipes.shared.tables import READERS
from spikeseq.recipes.shared.texts import sample as text_sample
from spikeseq.recipes.shared.texts.files import Rows, checked, clean, read

__all__ = ["DataError", "TextData", "TextSplit", "clean", "load_text_data", "validation_split"]

HUB_NAME = "stanfordnlp/imdb"
ROLES = {"train": "train", "test": "test", "unsupervised": "unlabelled", "unlabelled": "unlabelled"}


@dataclass(frozen=True)
class TextSplit:
    """Cleaned texts, and for each the index of its class."""

    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class TextData:
    """`classes[label]` is a class's name; `unlabelled` texts can serve to train word vectors."""

    train: TextSplit
    test: TextSplit
    unlabelled: list[str]
    classes: list[str]
    name: str


_Parts = tuple[Rows, Rows | None, list[str], str]  # train, test if there is one, unlabelled texts, name


def load_text_data(
    source: str | os.PathLike[str],
    *,
    text_column: str = "text",
    label_column: str = "label",
    test_share: float = 0.2,
    seed: int = 1,
    limit: int | None = None,
) -> TextData:
    """Read labelled texts from `source`.

    - `"sample"`: the corpus of `text_sample` (4,000 training and 1,000 test texts, always the same).
    - `"hub"`: IMDB through the `datasets` package. The column arguments do not apply to it.
    - a folder with `train` and, if there are such, `test` and `unsupervised` or `unlabelled`: `.parquet`,
      `.csv` or `.jsonl` files; or a folder that holds such a folder under the name `imdb`.
    - one such file. (A file or folder that is itself called `sample` or `hub` is reached as `./sample`.)

    Labels are integers or strings, and become indices into `classes`: the sorted distinct labels, or the
    names that the `datasets` metadata of a parquet file gives them. Rows with label -1 join `unlabelled`.
    Without a test file, a stratified `test_share` (default 0.2, a common choice) is held out as
    `validation_split` does it. `limit` keeps a random, stratified choice of that many rows of each split, for
    quick runs (of the sample, its first texts). A test file is taken as it is, even where it repeats training
    texts, as IMDB's does.

    Raises DataError for anything that cannot be read or used.
    """
    source = os.fspath(source)
    _check_share("test_share", test_share)
    if limit is not None and limit < 4:
        raise DataError(f"limit={limit}: expected two rows for each class or more, so at least 4")
    if source == "sample":
        return _sample(limit)
    parts = _hub() if source == "hub" else _local(source, (text_column, label_column))
    data = _assemble(parts, test_share, seed)
    return data if limit is None else _limited(data, limit, seed)


def validation_split(split: TextSplit, share: float = 0.1, seed: int = 1) -> tuple[TextSplit, TextSplit]:
    """(train, validation): about `share` of each class's rows held out, both in their former order.

    A text that occurs more than once stays on one side, so that nothing validated was trained on. The default
    0.1 leaves 2,500 of IMDB's rows to select by, good to 0.7 %. DataError where a class has fewer than two
    different texts.
    """
    _check_share("share", share)
    return _hold_out(split, share, seed, "the split", None)


def _hold_out(
    split: TextSplit, share: float, seed: int, origin: str, classes: Sequence[str] | None
) -> tuple[TextSplit, TextSplit]:
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(split.texts):
        groups[text].append(row)
    by_class: dict[int, list[list[int]]] = {label: [] for label in sorted(set(split.labels))}
    for rows in groups.values():
        by_class[split.labels[rows[0]]].append(rows)  # one text under two labels still goes to one side
    rng = random.Random(seed)
    held: set[int] = set()
    for label, candidates in by_class.items():
        if len(candidates) < 2:
            name = shown(classes[label] if classes else label)
            raise DataError(
                f"{origin}: different texts of class {name}: {len(candidates)}; expected 2 to split"
            )
        total = sum(map(len, candidates))
        wanted = min(max(1, round(share * total)), total - 1)
        rng.shuffle(candidates)
        taken: list[int] = []
        for rows in candidates:
            if len(taken) + len(rows) <= wanted:
                taken += rows
        smallest = min(candidates, key=len)  # where repeats make every text too many rows
        held.update(taken or smallest)
    everything = range(len(split.texts))
    return _rows(split, [i for i in everything if i not in held]), _rows(split, sorted(held))


def _rows(split: TextSplit, rows: Iterable[int]) -> TextSplit:
    rows = list(rows)
    return TextSplit([split.texts[i] for i in rows], [split.labels[i] for i in rows])


def _limited(data: TextData, limit: int, seed: int) -> TextData:
    if limit < 2 * len(data.classes):
        raise DataError(
            f"limit={limit}: expected two rows for each of the {len(data.classes)} classes, or more"
        )
    unlabelled = data.unlabelled
    if limit < len(unlabelled):
        unlabelled = random.Random(seed).sample(unlabelled, limit)
    train, test = _stratified(data.train, limit, seed), _stratified(data.test, limit, seed)
    return replace(data, train=train, test=test, unlabelled=unlabelled)


def _stratified(split: TextSplit, limit: int, seed: int) -> TextSplit:
    """At most `limit` rows, each class by its share but two rows at least; a larger limit adds rows."""
    by_class: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(split.labels):
        by_class[label].append(row)
    rng = random.Random(seed)
    ranked: list[tuple[float, int]] = []
    for _, rows in sorted(by_class.items()):
        rng.shuffle(rows)
        ranked += [(max(0, rank - 1) / len(rows), row) for rank, row in enumerate(rows)]
    ranked.sort(key=lambda entry: entry[0])
    return _rows(split, sorted(row for _, row in ranked[:limit]))


def _assemble(parts: _Parts, test_share: float, seed: int) -> TextData:
    train, test, unlabelled, name = parts
    values = sorted(set(train.labels), key=lambda value: (isinstance(value, str), value))
    if len(values) < 2:
        found = f"one class only, {shown(values[0])}" if values else "no labelled row"
        raise DataError(f"{train.origin}: {found}; expected two or more classes")
    classes = [_class_name(value, train.class_names) for value in values]
    index = {value: i for i, value in enumerate(values)}
    train_split = TextSplit(train.texts, [index[value] for value in train.labels])
    if test is None:
        train_split, test_split = _hold_out(train_split, test_share, seed, train.origin, classes)
        return TextData(train_split, test_split, train.unlabelled + unlabelled, classes, name)
    if not test.labels:
        raise DataError(f"{test.origin}: no labelled row; expected labels as in {train.origin}")
    for value in test.labels:
        if value not in index:
            known = listed(map(str, values))
            raise DataError(
                f"{test.origin}: label {shown(value)}; expected one that {train.origin} has: {known}"
            )
    test_split = TextSplit(test.texts, [index[value] for value in test.labels])
    return TextData(train_split, test_split, train.unlabelled + test.unlabelled + unlabelled, classes, name)


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
    return parts[0], parts[1], parts[2].unlabelled, HUB_NAME


def _local(source: str, columns: tuple[str, str]) -> _Parts:
    path = Path(os.path.expanduser(source))
    if not _exists(path):
        parent = next((parent for parent in path.parents if _exists(parent)), Path())
        raise DataError(f"{path}: no such file or folder; {parent} holds {_content(parent)}")
    if not path.is_dir():
        return read(path, columns), None, [], path.stem
    folder, files = _folder(path)
    unlabelled = read(files["unlabelled"], columns[:1]).unlabelled if "unlabelled" in files else []
    test = read(files["test"], columns) if "test" in files else None
    return read(files["train"], columns), test, unlabelled, folder.resolve().name


def _folder(path: Path) -> tuple[Path, dict[str, Path]]:
    """The folder with the training file, and its files by role: train, test, unlabelled."""
    for folder in (path, path / "imdb"):
        files: dict[str, Path] = {}
        for stem, role in ROLES.items():
            for file in (folder / f"{stem}{suffix}" for suffix in READERS):
                if _exists(file) and files.setdefault(role, file) != file:
                    raise DataError(
                        f"{folder}: both {files[role].name} and {file.name}; expected one of the two"
                    )
        if "train" in files:
            return folder, files
    expected = listed(f"train{suffix}" for suffix in READERS)
    raise DataError(
        f"{path}: no training file; expected one of {expected}; the folder holds {_content(path)}"
    )


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise DataError(f"{name}={share}: expected a share between 0 and 1, both left out")


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
