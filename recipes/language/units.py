"""What a language model reads: a text as numbers, and numbers as text again, by bytes, subwords or words."""

import codecs
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from spikeseq.recipes.manifest import checked, read_json
from spikeseq.tokenizers import Vocab
from spikeseq.tokenizers.subword import SubwordTokenizer

UNITS = ("byte", "subword", "word")
END = "<eod>"
UNKNOWN = "<unk>"
LINE_END = "<eos>"
BYTES = 256


class Unit(ABC):
    """Ids of a text and back. Id `end` separates documents; it is the last one.

    kind: "byte", "subword" or "word". lossless: whether `decode(encode(text))` is the text whatever it is, so
    that the probability of the ids is one of the text as it is.
    """

    kind: str
    lossless: bool
    file: str
    """Under which name a run folder keeps it."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many ids there are, `end` included."""

    @property
    def end(self) -> int:
        return self.size - 1

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text, or of a part of one that ends at a line's end."""

    @abstractmethod
    def decoder(self) -> "Decoder":
        """Takes ids one by one and gives text as soon as it is whole."""

    @abstractmethod
    def show(self, index: int) -> str:
        """An id as people read it."""

    @abstractmethod
    def content(self) -> bytes:
        """What `read_unit` makes the same unit of."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids."""
        decoder = self.decoder()
        return "".join(map(decoder.take, ids)) + decoder.rest()


class Decoder:
    """`take(id)` gives the text that the id completes, perhaps none; `rest()` what is left at the end."""

    def take(self, index: int) -> str:
        raise NotImplementedError

    def rest(self) -> str:
        return ""


class Bytes(Unit):
    """The bytes of the text in UTF-8: every text can be read, and any id can follow any other."""

    kind, lossless, file = "byte", True, "bytes.json"
    size = BYTES + 1

    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "replace"))

    def decoder(self) -> Decoder:
        return _BytesDecoder()

    def show(self, index: int) -> str:
        return END if index == self.end else bytes([index]).decode("utf-8", "replace")

    def content(self) -> bytes:
        return json.dumps({"unit": self.kind, "size": self.size}).encode()


class _BytesDecoder(Decoder):
    def __init__(self) -> None:
        self.utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def take(self, index: int) -> str:
        return self.rest() + "\n" if index >= BYTES else self.utf8.decode(bytes([index]))

    def rest(self) -> str:
        text = self.utf8.decode(b"", True)
        self.utf8.reset()
        return text


class Subwords(Unit):
    """Pieces of words, line by line; a line's end is a piece of its own. Not lossless: see `normalise`."""

    kind, lossless, file = "subword", False, "subwords.model"

    def __init__(self, tokenizer: SubwordTokenizer) -> None:
        self.tokenizer = tokenizer
        self.ids = {piece: i for i, piece in enumerate((*tokenizer.pieces, LINE_END, END))}
        self.names = list(self.ids)

    @property
    def size(self) -> int:
        return len(self.names)

    def encode(self, text: str) -> list[int]:
        found: list[int] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                found.append(self.ids[LINE_END])
            found += [self.ids[piece] for piece in self.tokenizer(line)]
        return found

    def decoder(self) -> Decoder:
        return _PiecesDecoder(self)

    def show(self, index: int) -> str:
        return self.names[index].replace("\u2581", " ")

    def content(self) -> bytes:
        return self.tokenizer.to_bytes()


class _PiecesDecoder(Decoder):
    """A piece that spells a byte waits for the bytes that complete its character."""

    def __init__(self, unit: Subwords) -> None:
        self.unit, self.utf8, self.begun = unit, codecs.getincrementaldecoder("utf-8")("replace"), False

    def take(self, index: int) -> str:
        piece = self.unit.names[index]
        if piece in (LINE_END, END):
            text, self.begun = self.rest() + "\n", False
            return text
        if len(piece) == 6 and piece.startswith("<0x"):
            self.begun = True
            return self.utf8.decode(bytes([int(piece[3:5], 16)]))
        text = self.rest() + piece.replace("\u2581", " ")
        text, self.begun = text if self.begun else text.removeprefix(" "), True
        return text

    def rest(self) -> str:
        text = self.utf8.decode(b"", True)
        self.utf8.reset()
        return text


class Words(Unit):
    """What white space parts; a line's end is `<eos>`, as the public word-level figures have it.

    Not lossless: rare words are `<unk>`, and runs of spaces one. `<unk>` and `<eos>` in a text are taken as
    these, as corpora have them; `<eod>` is an unknown word.
    """

    kind, lossless, file = "word", False, "vocab.json"

    def __init__(self, vocab: Vocab) -> None:
        if vocab.tokens[-1] != END or vocab.unk_id is None:
            raise ValueError(f"the vocabulary must hold {UNKNOWN} and end with {END}")
        self.vocab = vocab

    @property
    def size(self) -> int:
        return len(self.vocab)

    def encode(self, text: str) -> list[int]:
        words: list[str] = []
        for number, line in enumerate(text.split("\n")):
            if number:
                words.append(LINE_END)
            words += (UNKNOWN if word == END else word for word in line.split())
        return self.vocab.encode(words)

    def decoder(self) -> Decoder:
        return _WordsDecoder(self)

    def show(self, index: int) -> str:
        return f"{self.vocab.tokens[index]} "

    def content(self) -> bytes:
        return json.dumps(self.vocab.to_dict()).encode()


class _WordsDecoder(Decoder):
    def __init__(self, unit: Words) -> None:
        self.unit, self.begun = unit, False

    def take(self, index: int) -> str:
        word = self.unit.vocab.tokens[index]
        if word in (LINE_END, END):
            self.begun = False
            return "\n"
        text, self.begun = f" {word}" if self.begun else word, True
        return text


def learn_unit(kind: str, texts: Iterable[str], size: int, min_frequency: int) -> Unit:
    """The unit of a configuration, learnt from training text where it is learnt.

    Args:
        kind: one of UNITS. size: pieces, or words at most. min_frequency: occurrences below which a word is
            unknown.
    Raises:
        ValueError: a size that these texts do not allow.
    """
    if kind == "byte":
        return Bytes()
    if kind == "subword":
        lines = (line for text in texts for line in text.split("\n") if line.strip())
        return Subwords(SubwordTokenizer.train(lines, size, lower=False))
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.split())
        counts[LINE_END] += text.count("\n")
    common = [
        (word, count)
        for word, count in sorted(counts.items(), key=lambda one: (-one[1], one[0]))
        if count >= min_frequency and word not in (UNKNOWN, LINE_END, END)
    ]
    words = [UNKNOWN, LINE_END, *(word for word, _ in common[: size - 3]), END]
    frequencies = {word: counts[word] for word in words if counts[word]}
    return Words(Vocab(words, frequencies=frequencies, specials=(UNKNOWN, END)))


def read_unit(folder: Path, kind: str) -> Unit:
    """The unit that a run folder keeps.

    Raises:
        ValueError: naming the file that is damaged, or of another kind.
    """
    path = checked(folder / {"byte": Bytes.file, "subword": Subwords.file, "word": Words.file}[kind])
    if kind == "subword":
        return Subwords(SubwordTokenizer.from_file(path))
    if kind == "word":
        try:
            return Words(Vocab.from_json(path))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    about: Any = None
    with suppress(ValueError):
        about = read_json(path)
    if about != json.loads(Bytes().content()):
        raise ValueError(f"{path} is damaged; expected {Bytes().content().decode()}")
    return Bytes()


def blocks(text: str, most: int = 2**20) -> Iterator[str]:
    """A text in parts of about `most` characters, each but the last ending with a line's end."""
    start = 0
    while len(text) - start > most:
        cut = text.rfind("\n", start, start + most) + 1
        if not cut:
            cut = text.find("\n", start + most) + 1 or len(text)
        yield text[start:cut]
        start = cut
    if start < len(text):
        yield text[start:]
