"""The loop over spaCy's rules gives spaCy's tokens, whitespace and all, for any text."""

import gzip
import json
import os
import re
import subprocess
import sys
from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spikeseq.tokenizers.rules import Rules, RuleTokenizer

spacy = pytest.importorskip("spacy")
Tokenizer = pytest.importorskip("spacy.tokenizer").Tokenizer

LANGS = ["en", "de"]  # the rules of French take four seconds to compile, twice; captions have it below
TEXTS = os.environ.get(
    "SPIKESEQ_TEXTS", ""
)  # such as "en:train.en.gz fr:train.fr.gz": whole files, a line a text
HARD = [
    "He's at 10a.m. (don't!) in the U.K.,isn't he?...'Cause",
    ": ) :) :-) :((( xD <3 (*_*) ¯\\_(ツ)_/¯ o_O 8-) (-:foo;)",
    "see https://a.b/c?d=e#f, www.x.org). or mail me@x.de; x.y/z 1.2.3.4:80 ftp://u:p@h.io/",
    " leading  two\t\ttabs \n \u00a0x\u00a0 \u2003y\u3000 trailing ",
    "£5.50/kg -3°C 5km² 10%-20% $1,000.- 'n' ''quoted'' “x” «y» `z` --a---b—c…",
    "auf'm du's z.B. d.h. 3. Okt. er's nicht's S'EST-IL J.-C. aujourd'hui n'est-ce",
    "a.b.c. A.B.C! co-op mother-in-law/father e-mail's e.g.,i.e. x=y a+b C++ don’t He’s",
    "नमस्ते 你好。世界 สวัสดี שלום 👩‍👩‍👧‍👦🏳️‍🌈 e\u0301te\u0301 ǅ ﬁ ß İ \u200b \ufeff \x00 \x1c\x85 end",
]
BITS = [
    *("'", "’", "-", "--", "...", "…", ".", ",", ":", ";", "(", ")", "''", '"', "$", "€", "°", "%", "/", "#"),
    *("*", "a", "B", "Don", "t", "s", "don't", "He's", "U.K.", "z.B.", "10", "3.5", "km", "é", "ß", "x.y"),
    *("www.", "http://", ".com", "@", "😀", ":)", ":-(", "o.O", "'Cause", "du’s", "°C.", "Mr.", "你好"),
]
SPACES = [" ", "  ", "\n", "\t ", " \u00a0", "\u2028", "\x1f"]


@cache
def pair(lang):
    """spaCy's tokenizer, and ours with its rules as they are kept."""
    theirs = spacy.blank(lang).tokenizer
    return theirs, RuleTokenizer(Rules.from_json(Rules.of(theirs, lang).to_json()))


def same(theirs, ours, text):
    assert ours(text) == [token.text for token in theirs(text)], text


@pytest.mark.parametrize("lang", LANGS)
def test_hard_texts(lang):
    theirs, ours = pair(lang)
    for text in HARD:
        same(theirs, ours, text)
        same(theirs, ours, text)  # the second time words are remembered
        for piece in range(len(text)):
            same(theirs, ours, text[piece:])
            same(theirs, ours, text[:piece])


@pytest.mark.parametrize("lang", LANGS)
def test_every_special_word_alone_and_among_others(lang):
    theirs, ours = pair(lang)
    for word in ours.specials:
        same(theirs, ours, f"{word} ({word}) x-{word}/{word}! {word}{word} '{word}' ...{word}")


@pytest.mark.parametrize("lang", LANGS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_text(lang, data):
    theirs, ours = pair(lang)
    bits = st.sampled_from([*BITS, *SPACES, *list(ours.specials)[::7]])
    text = data.draw(st.one_of(st.lists(bits, max_size=12).map("".join), st.text()))
    same(theirs, ours, text.encode("utf-8", "replace").decode())  # as `Tokenizer` hands texts on


def made_up(rules, **searches):
    compiled = {name: getattr(re.compile(pattern), name.split("_")[1]) for name, pattern in searches.items()}
    specials = {word: [{65: part} for part in parts] for word, parts in rules.items()}
    return Tokenizer(spacy.blank("en").vocab, specials, **compiled)


SEARCHES = {
    "prefix_search": r"^(?:\(|-|a)",
    "suffix_search": r"(?:\)|-|b|ab)$",
    "infix_finditer": r"-|x?(?=y)|:",
    "token_match": r"^(?:a-a|\(q)",
    "url_match": r"^u:",
}
WORDS = {
    "a b": ["a ", "b"],
    "a-b": ["a-", "b"],
    "a:": ["a", ":"],
    ":a:b": [":a", ":b"],
    "(b": ["(b"],
    " ": [" "],
    "b": ["b"],
}


@pytest.mark.parametrize("left_out", [None, *SEARCHES])
@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab-: ()xyqu\n", max_size=14))
@example("a:b a b :a:b x:a:b:a:b")
def test_any_rules(left_out, text):
    """Rules that no language has: tokens that must match, special words with spaces, empty infixes."""
    theirs, ours = made_up_pair(left_out)
    same(theirs, ours, text)


@cache
def made_up_pair(left_out):
    theirs = made_up(WORDS, **{name: pattern for name, pattern in SEARCHES.items() if name != left_out})
    return theirs, RuleTokenizer(Rules.of(theirs, "en"))


def test_another_kind_of_rule_is_refused():
    theirs = Tokenizer(spacy.blank("en").vocab, url_match=lambda text: None)
    with pytest.raises(ImportError, match="has no regular expression as url_match"):
        Rules.of(theirs, "en")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rules: rules["specials"].pop("don't"), "digest differs"),
        (lambda rules: rules.pop("digest"), "no rules"),
        (lambda rules: rules.update(format=9), "format is 9"),
        (lambda rules: rules.update(version="3.0"), "digest"),
    ],
)
def test_changed_rules_are_refused(change, told):
    rules = json.loads(Rules.installed("en").to_json())
    change(rules)
    with pytest.raises(ValueError, match=told):
        Rules.from_json(json.dumps(rules))
    for text in ("", "[]", "3", '"digest"', json.dumps(rules)[:-9]):
        with pytest.raises(ValueError, match=r"holds no rules|format|digest"):
            Rules.from_json(text)


def test_kept_rules_need_no_spacy(tmp_path):
    (tmp_path / "rules.json").write_text(Rules.installed("en").to_json(), encoding="utf-8")
    code = (
        "import sys; sys.modules['spacy'] = None\n"
        "from spikeseq.tokenizers import build_tokenizer\n"
        "kept = open('rules.json', encoding='utf-8').read()\n"
        "tokenizer = build_tokenizer('spacy-en', kept=kept)\n"
        'print(tokenizer.signature(), *tokenizer("Don\'t!"), tokenizer.kept() == kept)\n'
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert ran.stdout.split() == [f"spacy-en-lc-{spacy.__version__}", "do", "n't", "!", "True"], ran.stderr


@pytest.mark.skipif(not TEXTS, reason="SPIKESEQ_TEXTS names no files of texts")
@pytest.mark.parametrize("entry", TEXTS.split())
def test_files_of_texts(entry):
    """For a look at real texts: SPIKESEQ_TEXTS="en:train.en.gz" pytest tests/tokenizers/test_rules.py"""
    lang, _, path = entry.partition(":")
    theirs, ours = pair(lang)
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8", newline="\n") as file:
        for line in file:
            same(theirs, ours, line)
