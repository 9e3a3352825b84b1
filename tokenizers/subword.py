"""Subword tokenizer, for translation: raw text in, pieces of words out, and text again from the pieces.

sentencepiece learns the pieces (BPE: Sennrich et al., 2016; unigram: Kudo, 2018) and splits texts into them.
What it leaves open is done here: the text is normalised by Python, so that lower case is `str.lower` ("ß"
stays; sentencepiece's case folding makes it "ss") and what is lost can be said exactly; a file that is
damaged or foreign is told from a whole one; and each sample is reproducible by itself.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from spikeseq.files import write_whole

from .words import Tokenizer, whole_characters

KINDS = ("bpe", "unigram")
BYTES = 256  # the pieces <0x00> to <0xFF>
SPACE = "\u2581"  # what sentencepiece writes for a space, at the beginning of a word's first piece
RESERVED = "\u2585"  # sentencepiece learns nothing from a text that holds this character
FORMAT, FORMAT_VERSION = "spikeseq-subword", 1
LARGEST_SEED = 2**32 - 2  # sentencepiece keeps the one above for "seed me from the machine"


class SubwordTokenizer(Tokenizer):
    """Pieces of words, learnt from a corpus: "Ein Radfahrer." may become ["▁ein", "▁rad", "fahrer", "."].

    Made by `train`, `from_file` or `from_bytes`, and used with our `Vocab`, which has the specials::

        tokenizer = SubwordTokenizer.train([*german, *english], 8_000)
        lists = tokenizer.tokenize_all(texts)
        vocab = Vocab.build([*lists, tokenizer.pieces], specials=("<pad>", "<unk>", "<bos>", "<eos>"))
        tokenizer.detokenise(vocab.decode(ids))

    `tokenizer.pieces` gives the vocabulary the pieces that these texts do not need but others may. With them
    no `<unk>` ever occurs: a character that is not among the pieces is spelt as its UTF-8 bytes, `<0xE2>`
    and so on, which are 256 of the pieces. No piece has the name of a special, whatever the corpus holds.

    `detokenise(tokenizer(text)) == normalise(text)` for every text; see `normalise` for what that loses.

    model: sentencepiece's model. kind: "bpe" or "unigram". lower: whether texts are lower-cased, *before* the
    splitting, as pieces are learnt from lower-case text.

    Raises ImportError, with the install command, where sentencepiece is missing.
    """

    uses_processes = False

    def __init__(self, model: bytes, *, kind: str, lower: bool) -> None:
        super().__init__(lower)
        self.kind = kind
        self._bytes = model
        self._model = _sentencepiece().SentencePieceProcessor(model_proto=model)
        names = [self._model.id_to_piece(index) for index in range(len(self._model))]
        self.pieces: tuple[str, ...] = tuple(names[1:])  # 0 is sentencepiece's own <unk>, never given out

    @classmethod
    def train(
        cls, texts: Iterable[str], size: int, *, lower: bool = True, kind: str = "bpe"
    ) -> SubwordTokenizer:
        """Learn the pieces of a corpus: raw texts, one sentence or document each. The same texts in the same
        order give the same pieces: nothing is drawn at random.

        texts: training text only; for a vocabulary of two languages, the texts of both.
        size: how many pieces, the 256 bytes included. The vocabulary is larger by its specials.
        lower: learn from, and later split, lower-cased text (default, as for `SpacyTokenizer`).
        kind: "bpe" (default) or "unigram", which is some ten times slower to learn.

        The rarest characters, 0.05 % of the text at most, get no piece (sentencepiece's default): bytes do.

        Raises TypeError if a text is not a str, or `texts` is itself one; ValueError for another kind, if the
        texts hold nothing but white space, and for a size that is no positive int, or too small or too large
        for them, saying what is possible; ImportError, with the install command, without sentencepiece.
        """
        sentencepiece = _sentencepiece()
        if kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; choose one of {', '.join(KINDS)}")
        if type(size) is not int or size < 1:
            raise ValueError(f"size is {size!r}; it must be a positive whole number")
        if isinstance(texts, str):
            raise TypeError("texts is one string; train takes a list of them, as in [text]")
        corpus = []
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts[{index}] is {text!r} ({type(text).__name__}), not a str")
            corpus.append(_normalised(text.replace(RESERVED, " "), lower))
        if not any(corpus):
            raise ValueError("the corpus is empty: no pieces can be learnt from no text")
        written = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(corpus),
                model_writer=written,
                model_type=kind,
                vocab_size=size + 1,  # its own <unk> counts
                byte_fallback=True,
                split_by_unicode_script=True,  # no piece has "<" and letters: none is a special of a Vocab
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                unk_surface="<unk>",
                bos_id=-1,
                eos_id=-1,
                pad_id=-1,
                max_sentence_length=2**30,  # bytes, the most it takes; a longer text would be left out
                num_threads=1,  # the unigram model depends on it
                minloglevel=3,
            )
        except (RuntimeError, ValueError) as error:
            raise ValueError(_training_error(size, str(error))) from None
        return cls(written.getvalue(), kind=kind, lower=lower)

    def normalise(self, text: str) -> str:
        """The text that the pieces of `text` stand for. Lost are: the case, if `lower`; the difference
        between characters that Unicode calls compatible (NFKC: "ﬁ" becomes "fi", "…" three dots); runs of
        white space, made one space, and that at the ends; "▁" (U+2581), read as a space; half a surrogate
        pair, read as "?"."""
        return _normalised(text, self.lower)

    def split(self, text: str) -> list[str]:
        return self._model.encode(self.normalise(text), out_type=str)

    def __call__(self, text: str) -> list[str]:
        """The pieces of `text`, in order; none for only white space. TypeError if it is not a str."""
        # Not the base class's way, lower case last, which would also change the bytes: "<0xc3>".
        _check_text(text)
        return self.split(str(text))

    def sample(self, text: str, *, alpha: float = 0.1, seed: int | None = None) -> list[str]:
        """Other pieces for the same text, drawn at random: subword regularisation, against over-fitting on
        small training sets. `detokenise` gives the same text as for `tokenizer(text)`.

        alpha: in [0, 1]. For BPE the share of merges that are left out, so that 0 gives the usual pieces and
            1 single characters (BPE-dropout, Provilkov et al., 2020, whose 0.1 is the default). For unigram
            the power that probabilities are raised to, so that 0 draws evenly from all ways to split the
            text (Kudo, 2018: 0.1 to 0.5).
        seed: 0 to 2**32 - 2. With one build of sentencepiece the pieces depend on the text, alpha and the
            seed only, whatever was drawn before and in whatever thread. Default None: the seed is drawn from
            torch's global generator, so that `torch.manual_seed` fixes it.

        Raises ValueError for an alpha or seed outside these bounds; TypeError if `text` is not a str.
        """
        _check_text(text)
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha is {alpha}; it must be from 0 to 1")
        if seed is None:
            seed = int(torch.randint(LARGEST_SEED + 1, ()))
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"seed is {seed}; it must be from 0 to {LARGEST_SEED}")
        normal = self.normalise(str(text))
        _sentencepiece().set_random_generator_seed(seed)  # of this thread's generator, since version 0.2.3
        return self._model.encode(
            normal, out_type=str, enable_sampling=True, alpha=float(alpha), nbest_size=-1
        )

    def detokenise(self, pieces: Iterable[str]) -> str:
        """The text that pieces stand for: one line, without white space at its ends, whatever the pieces are.

        pieces: what a model gave out, specials taken off; anything that is not a piece is taken as text.
            Bytes that are no UTF-8 become U+FFFD.

        Raises TypeError if `pieces` is a plain string.
        """
        if isinstance(pieces, str):
            raise TypeError(f"detokenise takes a list of pieces, not the string {pieces[:40]!r}")
        text: str = self._model.decode(list(pieces))
        return " ".join(text.replace(SPACE, " ").split())

    def signature(self) -> str:
        """`subword-KIND-SIZE-lc-HASH`, or `-cased-`; HASH is the beginning of the model's SHA-256."""
        case = "lc" if self.lower else "cased"
        return f"subword-{self.kind}-{len(self.pieces)}-{case}-{self._digest()[:8]}"

    def to_bytes(self) -> bytes:
        """One line of JSON that says what this is, and after it sentencepiece's own model."""
        about = {
            "format": FORMAT,
            "version": FORMAT_VERSION,
            "kind": self.kind,
            "lower": self.lower,
            "sha256": self._digest(),
        }
        return json.dumps(about).encode() + b"\n" + self._bytes

    @classmethod
    def from_bytes(cls, data: bytes) -> SubwordTokenizer:
        """The reverse of `to_bytes`; nothing is unpickled. ValueError, saying what is wrong, for anything
        that it did not write; ImportError, with the install command, where sentencepiece is missing."""
        head, _, model = data.partition(b"\n")
        try:
            about: Any = json.loads(head)
        except (ValueError, RecursionError):
            about = None
        if not isinstance(about, dict) or about.get("format") != FORMAT:
            raise ValueError(f"not a subword tokenizer: no first line with 'format': '{FORMAT}'")
        version = about.get("version")
        if version != FORMAT_VERSION:
            raise ValueError(f"version {version!r}; this spikeseq reads version {FORMAT_VERSION}")
        kind, lower = about.get("kind"), about.get("lower")
        if kind not in KINDS or type(lower) is not bool:
            raise ValueError(
                f"kind is {kind!r}, lower is {lower!r}; expected {KINDS[0]} or {KINDS[1]}, a bool"
            )
        if about.get("sha256") != hashlib.sha256(model).hexdigest():
            raise ValueError("cut off or damaged: the SHA-256 of the model is not the one in the first line")
        try:
            return cls(model, kind=kind, lower=lower)
        except RuntimeError as error:
            raise ValueError(f"not a model that this sentencepiece reads ({_one_line(error)})") from None

    def to_file(self, path: str | os.PathLike[str]) -> None:
        """Write `to_bytes` to `path`: written beside and renamed, so the file is never half there. OSError,
        naming the path, where it cannot be written; the folder must exist."""
        write_whole(Path(path), self.to_bytes())

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> SubwordTokenizer:
        """Read what `to_file` wrote. FileNotFoundError without a file; ValueError, naming the path, for one
        that is cut off, damaged, of another version, or not a subword tokenizer at all."""
        data = Path(path).read_bytes()
        try:
            return cls.from_bytes(data)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    def _digest(self) -> str:
        return hashlib.sha256(self._bytes).hexdigest()


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError as error:
        raise ImportError("SubwordTokenizer needs sentencepiece: pip install 'spikeseq[recipes]'") from error
    return sentencepiece


def _normalised(text: str, lower: bool) -> str:
    text = unicodedata.normalize("NFKC", whole_characters(text))
    if lower:  # which can leave accents in another order than NFKC's
        text = unicodedata.normalize("NFKC", text.lower())
    return " ".join(text.replace(SPACE, " ").split())


def _check_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"text is {text!r} ({type(text).__name__}), not a str")


def _training_error(size: int, message: str) -> str:
    """sentencepiece's message in our words and counts: it counts its own <unk>, which we do not."""
    if found := re.search(r"smaller than required_chars.* vs (\d+)", message):
        least = int(found[1]) - 1
        return (
            f"size is {size}, too small for this corpus: it takes at least {least}, "
            f"{BYTES} bytes and {least - BYTES} characters"
        )
    if found := re.search(r"size too high.* <= (\d+)", message):
        return f"size is {size}, too large for this corpus: it gives at most {int(found[1]) - 1} pieces"
    return f"sentencepiece cannot learn {size} pieces ({_one_line(message)})"


def _one_line(message: object) -> str:
    return " ".join(str(message).split())
