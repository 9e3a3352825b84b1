"""spaCy's rule-based tokenizer without spaCy: its rules as plain values, and the loop that applies them.

The loop is the algorithm of spaCy's `Tokenizer` (https://spacy.io/usage/linguistic-features#how-tokenizer-works):
the same rules give the same tokens, letter for letter. `Rules.installed` reads a language's rules from spaCy,
once; kept as JSON they need it no more, and an update of spaCy does not change what a trained model reads.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from typing import Any

FORMAT = 1
SEARCHES = ("prefix_search", "suffix_search", "infix_finditer", "token_match", "url_match")
RUN = re.compile(r"\S+|\s+")
CACHED_WORDS = 100_000  # words whose tokens are remembered, some 20 MB; most texts have fewer


@dataclass(frozen=True)
class Rules:
    """What spaCy splits the texts of a language by.

    Args:
        lang: the language. version: of the spaCy that the rules are from.
        patterns: regular expressions by spaCy's name for their use, each with its flags; none that is unused.
        specials: words that have tokens of their own.
        phrases: the tokens that some of them would have by the patterns alone. They are looked for again
            among the tokens of a text, as a special word may stand where an infix ended.
    """

    lang: str
    version: str
    patterns: dict[str, tuple[str, int]]
    specials: dict[str, list[str]]
    phrases: list[list[str]]

    @classmethod
    @cache
    def installed(cls, lang: str) -> Rules:
        """Those of the spaCy that is installed; read once a process."""
        import spacy

        return cls.of(spacy.blank(lang).tokenizer, lang)

    @classmethod
    def of(cls, found: Any, lang: str) -> Rules:
        """Those of a tokenizer of spaCy.

        Raises ImportError for a version whose tokenizers are made of something else than regular expressions.
        """
        from spacy.symbols import ORTH

        patterns = {}
        for name in SEARCHES:
            search = getattr(found, name)
            if search is not None:
                pattern = getattr(search, "__self__", None)
                if not isinstance(pattern, re.Pattern) or search != getattr(pattern, name.split("_")[1]):
                    raise ImportError(
                        f"spaCy {version('spacy')} has no regular expression as {name}; 3.8 has"
                    )
                patterns[name] = (pattern.pattern, pattern.flags)
        specials = {word: [token[ORTH] for token in tokens] for word, tokens in found.rules.items()}
        plain = RuleTokenizer(cls(lang, "", patterns, {}, []))
        phrases = [plain(word) for word in sorted(specials) if plain.cuts(word)]
        return cls(lang, version("spacy"), patterns, specials, phrases)

    def to_json(self) -> str:
        """The rules as text, with a digest by which `from_json` knows that they are whole."""
        rules = {"format": FORMAT, **asdict(self)}
        return json.dumps({**rules, "digest": digest(rules)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Rules:
        """What `to_json` wrote. Raises ValueError for anything else, and for rules that were changed."""
        try:
            rules = json.loads(text)
            told = rules.pop("digest")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            raise ValueError("it holds no rules of a tokenizer") from None
        if rules.get("format") != FORMAT:
            raise ValueError(f"its format is {rules.get('format')!r}; this version reads {FORMAT}")
        if digest(rules) != told:
            raise ValueError("its rules are not those that were written: their digest differs")
        del rules["format"]
        rules["patterns"] = {name: (text, flags) for name, (text, flags) in rules["patterns"].items()}
        return cls(**rules)


def digest(rules: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


class RuleTokenizer:
    """The tokens of texts by `rules`, those of whitespace among them, as spaCy has them."""

    def __init__(self, rules: Rules) -> None:
        never = ("(?!)", 0)
        compiled = {name: re.compile(*rules.patterns.get(name, never)) for name in SEARCHES}
        self.prefix, self.suffix = (compiled[name].search for name in SEARCHES[:2])
        self.infixes = compiled["infix_finditer"].finditer
        self.token, self.url = (compiled[name].match for name in SEARCHES[3:])
        self.specials = rules.specials
        self.phrases: dict[str, set[tuple[str, ...]]] = defaultdict(set)
        for phrase in rules.phrases:
            self.phrases[phrase[0]].add(tuple(phrase))
        self.cache: dict[str, list[str]] = {}

    def __call__(self, text: str) -> list[str]:
        tokens: list[str] = []
        spaced: set[int] = set()  # tokens that a space follows, which is no token
        for run in RUN.findall(text):
            if run[0] == " " and tokens:
                spaced.add(len(tokens) - 1)
                run = run[1:]
            if run:
                tokens += self.word(run)
        return self.with_phrases(tokens, spaced)

    def word(self, word: str) -> list[str]:
        """The tokens of a run of characters between spaces."""
        tokens = self.specials.get(word) or self.cache.get(word)
        if tokens is None:
            tokens = self.pieces(word)
            if len(self.cache) < CACHED_WORDS:
                self.cache[word] = tokens
        return tokens

    def cuts(self, word: str) -> bool:
        """Whether a special word could be cut before it is found."""
        ends = length(self.prefix(word)) or length(self.suffix(word))
        return bool(" " in word or ends or any(self.infixes(word)))

    def pieces(self, word: str) -> list[str]:
        """A word, taken apart from both of its ends, and what is left at its infixes."""
        specials, front, back = self.specials, [], []
        before = None
        while word and word != before and not self.token(word) and word not in specials:
            before = word
            start = length(self.prefix(word))
            if start and word[start:] in specials:
                front.append(word[:start])
                word = word[start:]
                break
            end = len(word) - length(self.suffix(word[start:]))
            if end < len(word) and word[:end] in specials:
                back.append(word[end:])
                word = word[:end]
                break
            front += [word[:start]] * (start > 0)
            back += [word[end:]] * (end < len(word))
            word = word[start:end]
        middle = self.specials.get(word) or self.between(word)
        return [*front, *middle, *reversed(back)]

    def between(self, word: str) -> list[str]:
        """What the infixes of a word cut it into, themselves among it; an address is one token."""
        if not word or self.token(word) or self.url(word):
            return [word] * bool(word)
        tokens, done = [], 0
        for infix in self.infixes(word):
            if infix.start():
                tokens += [word[done : infix.start()], infix[0]]
                done = infix.end()
        return [token for token in (*tokens, word[done:]) if token]

    def with_phrases(self, tokens: list[str], spaced: set[int]) -> list[str]:
        """The tokens with those of special words in the place of what patterns cut these into."""
        found = [
            (-len(phrase), start)
            for start, token in enumerate(tokens)
            if token in self.phrases
            for phrase in self.phrases[token]
            if tuple(tokens[start : start + len(phrase)]) == phrase
        ]
        taken: set[int] = set()
        chosen = {}
        for size, start in sorted(found):  # the longest first, then from the left
            end = start - size
            if start not in taken and end - 1 not in taken:
                chosen[start] = end
            taken.update(range(start, end))
        if not chosen:
            return tokens
        made, done = [], 0
        for start, end in sorted(chosen.items()):
            parts = [tokens[i] + " " * (i in spaced and i + 1 < end) for i in range(start, end)]
            made += [*tokens[done:start], *self.specials.get("".join(parts), tokens[start:end])]
            done = end
        return made + tokens[done:]


def length(match: re.Match[str] | None) -> int:
    return 0 if match is None else match.end() - match.start()
