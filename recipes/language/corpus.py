"""From texts to ids on disk: read once, kept in the cache, and mapped into memory when it is used."""

import hashlib
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spikeseq.recipes.language import sample
from spikeseq.recipes.language.documents import Piece, Source, find
from spikeseq.recipes.language.units import Unit, blocks, learn_unit, read_unit
from spikeseq.recipes.manifest import checked, read_json
from spikeseq.recipes.recipe import SPLITS, Say
from spikeseq.recipes.shared.corpus_cache import content_of, corpus_folder, keep_corpus
from spikeseq.recipes.shared.errors import DataError, listed

LEARNT_FROM = 2**25
"""Characters of training text that subwords are learnt from; more change little and take long."""
MANY = 100
"""Documents from which on whole documents are held out, and not the end of the text."""
SETTINGS = (
    "unit", "unit_size", "min_frequency", "strip_lines", "text_column", "validation_share", "test_share",
    "split_seed", "limit",
)  # fmt: skip
"""Those of the section `data` that ids and splits depend on, beside the source."""
WHOLE = ("all",)
"""The one split of a corpus that is read as a whole."""
NEAR = 10_000
"""Characters within which the end of a line is looked for where a text is cut."""


@dataclass
class Stream:
    """One split as ids, a view of a file: documents one after another, each with its `end`.

    bytes: of its text in UTF-8. words: what white space parts, and line ends. documents: how many.
    """

    ids: NDArray[Any]
    bytes: int
    words: int
    documents: int
    digest: str

    def __len__(self) -> int:
        return len(self.ids)

    def about(self) -> dict[str, Any]:
        return {"bytes": self.bytes, "words": self.words, "documents": self.documents, "digest": self.digest}


@dataclass
class Corpus:
    """All that a language model is trained and tested on."""

    name: str
    unit: Unit
    splits: dict[str, Stream]
    held: Any = field(default=None, repr=False)  # a temporary folder that goes with it

    def files(self) -> dict[str, str | bytes]:
        """What a run folder keeps of it: the unit, and what tells another text from this one."""
        digests = {name: stream.digest for name, stream in self.splits.items()}
        return {self.unit.file: self.unit.content(), "texts.json": json.dumps(digests)}

    def facts(self) -> dict[str, Any]:
        """What `metrics.json` says of it."""
        tokens = {name: len(stream) for name, stream in self.splits.items()}
        return {"unit": self.unit.kind, "vocabulary": self.unit.size, "tokens": tokens}


def load_corpus(config: Any, say: Say, unit: Unit | None = None, *, whole: bool = False) -> Corpus:
    """The corpus that the section `data` of a configuration describes.

    Args:
        unit: of a trained model, in the place of one learnt from these texts.
        whole: all texts as one split, "all"; those to train on come first. Needs a unit.
    Raises:
        DataError: naming the file, or the setting, that cannot be used.
    """
    source = find(str(config.source))
    if source.left_out:
        say(f"left out, as their names hold no split: {listed(source.left_out)}")
    splits, read = WHOLE if whole else SPLITS, _facts(config, source)
    for given in (None, unit) if unit else (None,):  # the unit may be the one that these texts give
        digest = hashlib.sha256(given.content()).hexdigest() if given else None
        facts = [read, digest, *(WHOLE if whole else ())]
        folder = corpus_folder({"language": facts, "format": 2})
        found = _read(folder, config.unit, source.name, splits)
        if found is not None and (unit is None or found.unit.content() == unit.content()):
            return found
    say(f"reading {config.source}")
    plan = partial(_Plan, config, source, whole)
    keep_corpus(folder, partial(_write, plan, splits, unit, say), say)
    found = _read(folder, config.unit, source.name, splits)
    if found is None:  # the cache cannot be written to
        held = tempfile.TemporaryDirectory()
        _write(plan, splits, unit, say, Path(held.name))
        found = _read(Path(held.name), config.unit, source.name, splits)
        assert found is not None
        found.held = held
    return found


def _facts(config: Any, source: Source) -> dict[str, Any]:
    """What the ids depend on: settings, and the files by split: names, which say the kind, and contents."""
    facts: dict[str, Any] = {name: config[name] for name in SETTINGS}
    facts["files"] = {
        split: [(path.name, content_of(path)) for path in paths] for split, paths in source.files.items()
    }
    if source.name == "sample":
        facts["sample"] = hashlib.sha256(Path(sample.__file__).read_bytes()).hexdigest()
    facts["texts"] = {split: len(texts) for split, texts in source.texts.items()}
    return facts


class _Writer:
    """Ids and counts of one split, written as they come."""

    def __init__(self, path: Path, unit: Unit) -> None:
        self.unit, self.file = unit, path.open("wb")
        self.type = width_of(unit)
        self.counts = {"bytes": 0, "words": 0, "documents": 0}
        self.digest = hashlib.sha256()

    def take(self, piece: Piece) -> None:
        if piece is None:
            self._put([self.unit.end])
            self.counts["documents"] += 1
            return
        for block in blocks(piece):
            self.counts["bytes"] += len(block.encode("utf-8", "replace"))
            self.counts["words"] += len(block.split()) + block.count("\n")
            self._put(self.unit.encode(block))

    def _put(self, ids: list[int]) -> None:
        content = np.asarray(ids, self.type).tobytes()
        self.digest.update(content)
        self.file.write(content)

    def close(self) -> dict[str, Any]:
        self.file.close()
        return {**self.counts, "digest": self.digest.hexdigest()[:16]}


def width_of(unit: Unit) -> Any:
    """The smallest type of numbers that holds all ids."""
    return np.uint16 if unit.size <= 2**16 else np.int32


def _write(
    planned: Callable[[], "_Plan"], splits: Sequence[str], unit: Unit | None, say: Say, folder: Path
) -> None:
    """Reads everything twice: once to learn the unit and find the splits, once to write the ids."""
    plan = planned()
    config = plan.config
    try:
        unit = unit or learn_unit(config.unit, plan.sample_of_train(), config.unit_size, config.min_frequency)
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"data.unit_size={config.unit_size} for {config.source}: {error}") from None
    say(f"encoding by {unit.kind}")
    writers = {split: _Writer(folder / f"{split}.ids", unit) for split in splits}
    for split, piece in plan.pieces():
        writers[split].take(piece)
    about = {split: writer.close() for split, writer in writers.items()}
    empty = [split for split in splits if not about[split]["bytes"]]
    if len(empty) == len(splits):
        raise DataError(f"{config.source}: there is no text in it")
    if plan.missing and empty:
        raise DataError(
            f"{config.source}: {plan.characters} characters are too few to hold out texts for validation and"
            " test; expected more, or a folder with files of their own for these"
        )
    if empty:
        raise DataError(f"{config.source}: the {empty[0]} split holds no text")
    (folder / unit.file).write_bytes(unit.content())
    (folder / "about.json").write_text(json.dumps(about))


class _Plan:
    """Which split every piece of text belongs to.

    A source with splits keeps them; one that lacks validation or test texts gives up a share of its training
    texts: whole documents, drawn by `split_seed`, where there are many, else the end of the text. (A file of
    text is split where nine tenths of it are over, as is the custom: train on those, test on the rest.)
    """

    def __init__(self, config: Any, source: Source, whole: bool = False) -> None:
        self.config, self.source, self.whole = config, source, whole
        self.missing = [s for s in ("validation", "test") if s not in source.splits and not whole]
        shares = {"validation": config.validation_share, "test": config.test_share}
        self.shares = {split: shares[split] for split in self.missing}
        if sum(self.shares.values()) >= 1:
            raise DataError(
                f"data.validation_share and data.test_share leave no training text: {self.shares}"
            )
        self.documents, self.characters = 0, 0
        if self.missing:
            for piece in self._cleaned("train"):
                self.documents += piece is None
                self.characters += len(piece or "")

    def pieces(self) -> Iterator[tuple[str, Piece]]:
        if self.whole:
            for split in SPLITS:
                yield from ((*WHOLE, piece) for piece in self._cleaned(split))
            return
        for split in ("validation", "test"):
            if split not in self.missing:
                yield from ((split, piece) for piece in self._cleaned(split))
        if not self.missing:
            yield from (("train", piece) for piece in self._cleaned("train"))
        elif self.documents >= MANY:
            yield from self._by_document()
        else:
            yield from self._by_place()

    def sample_of_train(self) -> Iterator[str]:
        taken = 0
        for split, piece in self.pieces():
            if split == "train" and piece is not None:
                yield piece
                taken += len(piece)
                if taken > LEARNT_FROM and self.config.unit == "subword":
                    return

    def _by_document(self) -> Iterator[tuple[str, Piece]]:
        rng = random.Random(self.config.split_seed)
        split = self._draw(rng)
        for piece in self._cleaned("train"):
            yield split, piece
            if piece is None:
                split = self._draw(rng)

    def _draw(self, rng: random.Random) -> str:
        place = rng.random()
        for split, share in self.shares.items():
            if place < share:
                return split
            place -= share
        return "train"

    def _by_place(self) -> Iterator[tuple[str, Piece]]:
        """Cuts behind a line's end, where one is near; the end of the text comes last."""
        cuts: list[tuple[int, str]] = []
        place = float(self.characters)
        for split in reversed(self.missing):
            place -= self.shares[split] * self.characters
            cuts.insert(0, (round(place), split))
        near = min(NEAR, round(min(self.shares.values()) * self.characters / 4))
        split, seen, begun = "train", 0, False  # begun: whether the split has text of this document
        for piece in self._cleaned("train"):
            if piece is None:
                if begun:
                    yield split, None
                begun = False
                continue
            while cuts and cuts[0][0] < seen + len(piece):
                start, following = cuts.pop(0)
                at = max(0, start - seen)
                at = at and (piece.find("\n", at - 1, at + near) + 1 or at)
                if at:
                    yield split, piece[:at]
                if at or begun:
                    yield split, None
                split, begun, seen, piece = following, False, seen + at, piece[at:]
            if piece:
                yield split, piece
                seen, begun = seen + len(piece), True

    def _cleaned(self, split: str) -> Iterator[Piece]:
        """The pieces of a split of the source, `limit` documents at most, lines stripped if so wished."""
        documents = 0
        for piece in self.source.pieces(split, self.config.text_column):
            if self.config.limit is not None and documents >= self.config.limit:
                return
            documents += piece is None
            if piece is None or not self.config.strip_lines:
                yield piece
            else:
                yield "\n".join(line.strip() for line in piece.split("\n"))


def _read(folder: Path, kind: str, name: str, splits: Sequence[str]) -> Corpus | None:
    """The corpus in a folder, or None where its files do not belong together."""
    try:
        about = read_json(folder / "about.json")
        unit = read_unit(folder, kind)
        streams = {}
        for split in splits:
            ids = np.memmap(checked(folder / f"{split}.ids"), width_of(unit), "r")
            streams[split] = Stream(ids, **about[split])
        return Corpus(name, unit, streams)
    except (OSError, ValueError, KeyError, TypeError):
        return None
