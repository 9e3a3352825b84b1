"""A vocabulary: tokens to numbers and back, kept in one JSON file."""

from __future__ import annotations

import json
import operator
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PAD = "<pad>"
UNK = "<unk>"
USUAL_SPECIALS = (PAD, UNK, "<bos>", "<eos>", "<sos>", "<s>", "</s>", "<init>", "<mask>", "<cls>", "<sep>")
FORMAT_VERSION = 1


class Vocab:
    """An ordered list of distinct tokens; a token's id is its place in it. It does not change once made.

    tokens: the tokens in the order of their ids, specials included.
    frequencies: how often each token occurred in the corpus; what is left out counts 0.
    specials: which of the tokens are not words (padding and the like).

    `vocab[token]` is strict: KeyError for a token that is not there, so that `vocab["<eos>"]` never gives the
    id of `<unk>` by mistake. `encode` is the lookup that falls back to it.

    Raises ValueError for a token that occurs twice, a special that is no token and a frequency that belongs
    to no token; TypeError for a token that is not a str.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        *,
        frequencies: Mapping[str, int] | None = None,
        specials: Sequence[str] = (),
    ) -> None:
        self.tokens: tuple[str, ...] = tuple(tokens)
        self._ids: dict[str, int] = {}
        for index, token in enumerate(self.tokens):
            if not isinstance(token, str):
                raise TypeError(f"token {index} is {token!r} ({type(token).__name__}), not a str")
            if token in self._ids:
                raise ValueError(f"duplicate token {token!r}: ids {self._ids[token]} and {index}")
            self._ids[token] = index
        self.specials: tuple[str, ...] = tuple(specials)
        counts = dict(frequencies or {})
        for token in (*self.specials, *counts):
            if token not in self._ids:
                raise ValueError(f"{token!r} is a special or has a frequency but is not one of the tokens")
        self.frequencies: dict[str, int] = {token: int(counts.get(token, 0)) for token in self.tokens}

    @classmethod
    def build(
        cls,
        token_lists: Iterable[Iterable[str]],
        *,
        min_frequency: int = 1,
        max_size: int | None = None,
        specials: Sequence[str] = (PAD, UNK),
    ) -> Vocab:
        """Count a corpus: specials first, then words, the most frequent first and ties in alphabetical order.

        token_lists: one list of tokens per text.
        min_frequency: words rarer than this are left out (default 1: none is).
        max_size: the most entries, specials included (default None: no limit).
        specials: tokens that are there whatever the corpus holds. Padding is first, so that its id is 0.

        Raises ValueError if the corpus has no token, if no word is left, or if `max_size` leaves no room
        for one; TypeError if one of the lists is a plain string, whose characters would be counted, or holds
        something else than strings.
        """
        if max_size is not None and max_size <= len(specials):
            raise ValueError(f"max_size is {max_size}, which leaves no word beside {len(specials)} specials")
        counts: Counter[str] = Counter()
        for index, tokens in enumerate(token_lists):
            if isinstance(tokens, str):
                raise TypeError(f"token_lists[{index}] is a string; it must be a list of tokens")
            tokens = list(tokens)
            for place, token in enumerate(tokens):
                if not isinstance(token, str):
                    raise TypeError(
                        f"token_lists[{index}][{place}] is {token!r} ({type(token).__name__}), not a str"
                    )
            counts.update(tokens)
        if not counts:
            raise ValueError("the corpus is empty: a vocabulary cannot be built from no tokens")
        reserved = set(specials)
        words = [word for word, count in counts.items() if count >= min_frequency and word not in reserved]
        if not words:
            raise ValueError(f"no word occurs {min_frequency} times or more (min_frequency={min_frequency})")
        words.sort(key=lambda word: (-counts[word], word))
        kept = [*specials, *words][:max_size]
        return cls(kept, frequencies={token: counts[token] for token in kept}, specials=specials)

    def with_words(self, words: Iterable[str], max_size: int | None = None) -> Vocab:
        """This vocabulary and, behind it, those of `words` that it lacks, in their order; frequency 0.

        max_size: the most entries in all (default None: no limit).
        """
        more = [word for word in dict.fromkeys(words) if word not in self]
        room = None if max_size is None else max(0, max_size - len(self))
        return Vocab([*self.tokens, *more[:room]], frequencies=self.frequencies, specials=self.specials)

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of `tokens`. One that is not in the vocabulary gets `<unk>`'s id, or, where there is no
        `<unk>`, raises KeyError naming it. TypeError if `tokens` is a plain string."""
        if isinstance(tokens, str):
            raise TypeError(
                f"encode takes a list of tokens, not the string {tokens[:40]!r}: tokenise it first"
            )
        unk = self._ids.get(UNK)
        if unk is None:
            return [self[token] for token in tokens]
        find = self._ids.get
        return [find(token, unk) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Tokens of `ids`: ints, or anything that counts as one (NumPy integers, a 1-D integer tensor).
        IndexError, naming the id and the size, for one that is negative or too large."""
        found = []
        for item in ids:
            index = operator.index(item)
            if not 0 <= index < len(self.tokens):
                raise IndexError(f"id {index} is not in a vocabulary of size {len(self.tokens)}")
            found.append(self.tokens[index])
        return found

    def __len__(self) -> int:
        return len(self.tokens)

    def __iter__(self) -> Iterator[str]:
        return iter(self.tokens)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __getitem__(self, token: str) -> int:
        try:
            return self._ids[token]
        except KeyError:
            raise KeyError(f"{token!r} is not in this vocabulary of {len(self)} tokens") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocab) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Vocab of {len(self)} tokens, {len(self.specials)} of them special>"

    @property
    def pad_id(self) -> int:
        """The id of `<pad>`; KeyError where there is none (`"<pad>" in vocab` asks)."""
        return self[PAD]

    @property
    def unk_id(self) -> int:
        """The id of `<unk>`; KeyError where there is none (`"<unk>" in vocab` asks)."""
        return self[UNK]

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, strings and ints, as `from_dict` and the JSON file have them. Frequencies stand in
        the order of the tokens."""
        return {
            "format": "spikeseq-vocab",
            "version": FORMAT_VERSION,
            "specials": list(self.specials),
            "tokens": list(self.tokens),
            "frequencies": list(self.frequencies.values()),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Vocab:
        """The reverse of `to_dict`. ValueError, saying what is wrong, for anything that it did not write."""
        if not isinstance(data, Mapping) or data.get("format") != "spikeseq-vocab":
            raise ValueError("not a spikeseq vocabulary: no entry 'format': 'spikeseq-vocab'")
        if data.get("version") != FORMAT_VERSION:
            raise ValueError(f"version {data.get('version')!r}; this spikeseq reads version {FORMAT_VERSION}")
        kinds = {"specials": str, "tokens": str, "frequencies": int}
        values: dict[str, Any] = {key: data.get(key) for key in kinds}
        for key, kind in kinds.items():
            if not isinstance(values[key], list) or not all(type(value) is kind for value in values[key]):
                raise ValueError(f"{key!r} is missing or is not a list of {kind.__name__}")
        tokens, counts = values["tokens"], values["frequencies"]
        if len(tokens) != len(counts):
            raise ValueError(f"{len(tokens)} tokens but {len(counts)} frequencies")
        frequencies = dict(zip(tokens, counts, strict=True))
        return cls(tokens, frequencies=frequencies, specials=values["specials"])

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write the vocabulary to `path`. It is written beside and renamed, so the file is never half there
        and an older one stays whole until then. The folder must exist."""
        path = Path(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            text = json.dumps(self.to_dict(), ensure_ascii=False)
            beside.write_text(text + "\n", encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> Vocab:
        """Read what `to_json` wrote. FileNotFoundError without a file; ValueError, naming the path, for one
        that is cut off, of another version, with duplicate tokens or not a vocabulary at all."""
        try:
            return cls.from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ValueError(f"{path}: not whole, valid JSON ({error})") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error

    @classmethod
    def from_torchtext(cls, vocab: Any, *, specials: Sequence[str] = USUAL_SPECIALS) -> Vocab:
        """From torchtext's `Vocab`, or any object with an `itos` list or a `get_itos()` method; ids are kept.

        specials: which tokens are specials, where they occur, as torchtext does not say.
            Default: the usual names. Frequencies are taken from `freqs`, where there is one.

        Raises TypeError for an object that has no list of tokens. torchtext itself is not needed.
        """
        tokens = vocab.get_itos() if hasattr(vocab, "get_itos") else getattr(vocab, "itos", None)
        if tokens is None:
            raise TypeError(f"{type(vocab).__name__} has neither an itos list nor a get_itos() method")
        counts = getattr(vocab, "freqs", None) or {}
        known = set(tokens)
        return cls(
            tokens,
            frequencies={token: counts[token] for token in tokens if token in counts},
            specials=[token for token in specials if token in known],
        )

    def to_torchtext(self) -> Any:
        """The same vocabulary as a `torchtext.vocab.Vocab` of torchtext 0.6 (`itos`, `stoi`, `freqs`).

        Raises ImportError, with the install command, where torchtext is missing or is not 0.6.
        """
        try:
            from torchtext.vocab import Vocab as TorchtextVocab

            made = TorchtextVocab(Counter(), specials=[UNK] if UNK in self else [])
        except (ImportError, OSError, TypeError) as error:
            raise ImportError(
                "to_torchtext needs torchtext 0.6: pip install 'spikeseq[torchtext]'"
            ) from error
        made.itos = list(self.tokens)
        made.freqs = Counter({token: count for token, count in self.frequencies.items() if count})
        made.unk_index = self._ids.get(UNK)
        made.stoi = defaultdict(made._default_unk_index if UNK in self else None, self._ids)
        return made
