"""Splitting labelled texts: by class, by a seed, and with equal texts on one side.

Nothing that is validated or tested on was so trained on.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spikeseq.recipes.shared.errors import DataError, shown


@dataclass(frozen=True)
class TextSplit:
    """Cleaned texts, and for each the index of its class."""

    texts: list[str]
    labels: list[int]


def validation_split(split: TextSplit, share: float = 0.1, seed: int = 1) -> tuple[TextSplit, TextSplit]:
    """(train, validation): about `share` of each class's rows held out, both in their former order.

    A text that occurs more than once stays on one side. The default 0.1 leaves 2,500 of IMDB's rows to select
    by, good to 0.7 %. DataError where a class has fewer than two different texts.
    """
    check_share("share", share)
    return hold_out(split, share, seed, "the split", None)


def hold_out(
    split: TextSplit, share: float, seed: int, origin: str, classes: Sequence[str] | None
) -> tuple[TextSplit, TextSplit]:
    """As `validation_split`; an error names `origin`, and the class as `classes` do."""
    rng = random.Random(seed)
    held: set[int] = set()
    for candidates in _candidates(split, 2, "to split", origin, classes):
        total = sum(map(len, candidates))
        wanted = min(max(1, round(share * total)), total - 1)
        rng.shuffle(candidates)
        taken: list[int] = []
        for rows in candidates:
            if len(taken) + len(rows) <= wanted:
                taken += rows
        smallest = min(candidates, key=len)  # where repeats make every text too many rows
        held.update(taken or smallest)
    return _apart(split, held)


def fold_split(
    split: TextSplit, folds: int, fold: int, seed: int, origin: str, classes: Sequence[str] | None = None
) -> tuple[TextSplit, TextSplit]:
    """(train, test) of one round of cross-validation: all but part `fold` of `folds` (from 1), and that part.

    Each part has each class's share of rows, to one row where no text repeats; a row is tested in one round.

    Raises:
        DataError: naming `origin`, fewer different texts of a class than folds.
    """
    rng = random.Random(seed)
    sizes = [0] * folds  # rows that each part has so far
    held: set[int] = set()
    for candidates in _candidates(split, folds, f"for data.folds={folds}", origin, classes):
        rng.shuffle(candidates)
        own = [0] * folds  # of this class
        for rows in sorted(candidates, key=len, reverse=True):
            part = min(range(folds), key=lambda i: (own[i], sizes[i]))
            own[part] += len(rows)
            sizes[part] += len(rows)
            if part == fold - 1:
                held.update(rows)
    return _apart(split, held)


def stratified(split: TextSplit, limit: int, seed: int) -> TextSplit:
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


def check_share(name: str, share: float) -> None:
    """Raises DataError for a share that leaves nothing on one side."""
    if not 0 < share < 1:
        raise DataError(f"{name}={share}: expected a share between 0 and 1, both left out")


def _candidates(
    split: TextSplit, least: int, purpose: str, origin: str, classes: Sequence[str] | None
) -> list[list[list[int]]]:
    """For each class, in order, the rows of each of its different texts."""
    groups: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(split.texts):
        groups[text].append(row)
    by_class: dict[int, list[list[int]]] = {label: [] for label in sorted(set(split.labels))}
    for rows in groups.values():
        by_class[split.labels[rows[0]]].append(rows)  # one text under two labels still goes to one side
    for label, candidates in by_class.items():
        if len(candidates) < least:
            name = shown(classes[label] if classes else label)
            raise DataError(
                f"{origin}: different texts of class {name}: {len(candidates)}; expected {least} {purpose}"
            )
    return list(by_class.values())


def _apart(split: TextSplit, held: set[int]) -> tuple[TextSplit, TextSplit]:
    """The rows that are not held out, and those that are."""
    everything = range(len(split.texts))
    return _rows(split, [i for i in everything if i not in held]), _rows(split, sorted(held))


def _rows(split: TextSplit, rows: Iterable[int]) -> TextSplit:
    rows = list(rows)
    return TextSplit([split.texts[i] for i in rows], [split.labels[i] for i in rows])
