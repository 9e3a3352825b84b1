"""Word tokenizers: text in, a list of words out.

`SpacyTokenizer` is the rule-based tokenizer of spaCy's named models, without any model download;
`WhitespaceTokenizer` needs nothing. Both are plain callables that can be pickled, and both name themselves
(`signature()`), so that a cache or a score can say which tokens it was made of.

Line breaks written as HTML (`<br />`) are text like any other here; the reader of a data set takes them out.
"""

from __future__ import annotations

import contextlib
import difflib
import multiprocessing
import signal
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cached_property
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from .rules import Rules, RuleTokenizer

LANGUAGES = ("en", "de", "fr")
CHUNK = (
    256  # texts per job: about 60,000 words of film review, long enough to hide the cost of handing it over
)


class Tokenizer(ABC):
    """What the tokenizers have in common. A subclass says how to split one text and what it is called.

    lower: whether tokens are lower-cased, always after the splitting.

    A subclass used with several processes must be picklable: each process gets one copy.
    """

    uses_processes = True  # False where splitting a text is cheaper than sending it to another process

    def __init__(self, lower: bool) -> None:
        self.lower = bool(lower)

    @abstractmethod
    def split(self, text: str) -> list[str]:
        """The pieces of `text`, in order, in its own case; calling drops those of only whitespace."""

    @abstractmethod
    def signature(self) -> str:
        """A short name holding everything the tokens depend on, such as `spacy-en-lc-3.8.18`."""

    def kept(self) -> str | None:
        """What makes the same tokens again where `signature` alone does not; `build_tokenizer` takes it."""
        return None

    def __call__(self, text: str) -> list[str]:
        """The tokens of `text`, in order; none is empty or only whitespace; half a surrogate pair is read as
        "?". TypeError if it is not a str."""
        if not isinstance(text, str):
            raise TypeError(f"text is {text!r} ({type(text).__name__}), not a str")
        words = [word for word in self.split(whole_characters(text)) if word and not word.isspace()]
        return [word.lower() for word in words] if self.lower else words

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.signature()}>"

    def tokenize_all(self, texts: Iterable[str], *, processes: int = 1) -> list[list[str]]:
        """Tokenise many texts: item i of the result is `self(texts[i])`, whatever the number of processes.

        processes: how many to use. 1, the default, starts none. More pay for tens of thousands of texts on
            idle cores: each one first imports spaCy, and torch with it, for some seconds. They are spawned,
            not forked, so the calling script needs the usual `if __name__ == "__main__":`.

        Raises TypeError, naming the index, if an item is not a str, or if `texts` is itself one string;
        ValueError if `processes` is not positive.
        """
        if isinstance(texts, str):
            raise TypeError("texts is one string; tokenize_all takes a list of them, as in [text]")
        if processes < 1:
            raise ValueError(f"processes is {processes}; it must be 1 or more")
        texts = list(texts)
        for index, text in enumerate(texts):
            if not isinstance(text, str):
                raise TypeError(f"texts[{index}] is {text!r} ({type(text).__name__}), not a str")
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        processes = min(processes, len(chunks))
        if processes <= 1 or not self.uses_processes:
            return [self(text) for text in texts]
        pool = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=_start_worker, initargs=(self,)
        )
        try:
            with _deaf_to_interrupts():
                futures = [pool.submit(_tokenize_chunk, chunk) for chunk in chunks]
            return [tokens for future in futures for tokens in future.result()]
        finally:  # after an error or Ctrl-C: drop the chunks not yet begun instead of working through them
            pool.shutdown(cancel_futures=True)


def whole_characters(text: str) -> str:
    """`text` with "?" for every half of a surrogate pair, which no encoding, file or tokenizer takes."""
    return text.encode("utf-8", "replace").decode("utf-8")


class SpacyTokenizer(Tokenizer):
    """spaCy's rule-based tokenizer for one language: `SpacyTokenizer("en")("Don't!")` is ["do", "n't", "!"].

    lang: "en", "de" or "fr". Other languages of spaCy are refused because no recipe has checked them.
    lower: lower-case every token (default: IMDB and Multi30k models are mostly trained so). It is done after
        tokenisation: lower-casing the text first gives other tokens, as some rules look at capitals.
    rules: those that a trained model was given, which need no spaCy. Default None: of the spaCy installed.

    Raises ValueError for another language, and ImportError, with the install command, where spaCy is missing.
    """

    def __init__(self, lang: str = "en", lower: bool = True, rules: Rules | None = None) -> None:
        if lang not in LANGUAGES:
            raise ValueError(f"no spaCy tokenizer for lang={lang!r}; choose one of {', '.join(LANGUAGES)}")
        if rules is None and find_spec("spacy") is None:
            raise ImportError("SpacyTokenizer needs spaCy: pip install 'spikeseq[recipes]'")
        if rules is not None and rules.lang != lang:
            raise ValueError(f"the rules are those of lang={rules.lang!r}, got lang={lang!r}")
        super().__init__(lower)
        self.lang = lang
        self._given = rules

    @cached_property
    def rules(self) -> Rules:
        """When a text comes: corpora are kept, and a start from one need not wait for spaCy."""
        return Rules.installed(self.lang) if self._given is None else self._given

    @cached_property
    def _loop(self) -> RuleTokenizer:
        return RuleTokenizer(self.rules)

    def split(self, text: str) -> list[str]:
        return self._loop(text)

    def signature(self) -> str:
        """`spacy-LANG-lc-VERSION`, or `spacy-LANG-cased-VERSION`; VERSION is spaCy's, whose rules change."""
        case = "lc" if self.lower else "cased"
        return f"spacy-{self.lang}-{case}-{version('spacy') if self._given is None else self._given.version}"

    def kept(self) -> str:
        return self.rules.to_json()

    def __reduce__(
        self,
    ) -> tuple[Any, ...]:  # built anew from its settings: small, and the same in any process
        return type(self), (self.lang, self.lower, self._given)


class WhitespaceTokenizer(Tokenizer):
    """Split at whitespace and nowhere else (`str.split`): for text that is tokenised already.

    lower: lower-case the tokens. Default False: text that is tokenised already is left as it is.
    """

    uses_processes = False

    def __init__(self, lower: bool = False) -> None:
        super().__init__(lower)

    def split(self, text: str) -> list[str]:
        return text.split()

    def signature(self) -> str:
        """`whitespace-lc` or `whitespace-cased`."""
        return f"whitespace-{'lc' if self.lower else 'cased'}"


def build_tokenizer(name: str, *, lower: bool | None = None, kept: str | None = None) -> Tokenizer:
    """The tokenizer that a configuration names: "spacy-en", "spacy-de", "spacy-fr" or "whitespace".

    lower: None (default) keeps the tokenizer's own default: spaCy's lower-case, whitespace does not.
    kept: what the tokenizer of a trained model has told of itself (`Tokenizer.kept`), for the same tokens.

    Raises ValueError for any other name, giving the nearest valid one, and for a `kept` that is damaged.
    """
    names = [*(f"spacy-{lang}" for lang in LANGUAGES), "whitespace"]
    if name not in names:
        nearest = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown tokenizer {name!r}; did you mean {nearest!r}? Valid names: {', '.join(names)}"
        )
    settings: dict[str, Any] = {} if lower is None else {"lower": lower}
    if name == "whitespace":
        return WhitespaceTokenizer(**settings)
    if kept is not None:
        settings["rules"] = Rules.from_json(kept)
    return SpacyTokenizer(name.removeprefix("spacy-"), **settings)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ignores Ctrl-C while processes are started, and lets them inherit that: only this process is to react.

    Otherwise they print tracebacks, and a pool that is interrupted while it starts is never joined.
    """
    if threading.current_thread() is not threading.main_thread():  # only there may handlers be set
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL if former is None else former)


_worker: Tokenizer | None = None  # in a process of the pool, the tokenizer it was started with


def _start_worker(tokenizer: Tokenizer) -> None:
    global _worker
    _worker = tokenizer


def _tokenize_chunk(texts: list[str]) -> list[list[str]]:
    assert _worker is not None
    return [_worker(text) for text in texts]
