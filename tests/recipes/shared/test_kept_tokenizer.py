"""A run's tokens are those that it was trained with, or it is not opened."""

import json

import pytest

from spikeseq.recipes.runs import METRICS, RunError
from spikeseq.recipes.shared.kept_tokenizer import open_tokenizer
from spikeseq.tokenizers import SpacyTokenizer, WhitespaceTokenizer
from spikeseq.tokenizers.rules import Rules

pytest.importorskip("spacy")
TEXT = "Don't, he said."


@pytest.fixture(scope="module")
def rules():
    return Rules.installed("en")


@pytest.fixture
def kept(tmp_path, rules):
    """A run folder with the rules of an older spaCy, which leave "don't" whole."""
    specials = {word: tokens for word, tokens in rules.specials.items() if word != "Don't"}
    old = Rules("en", "3.7.0", rules.patterns, specials | {"Don't,": ["Don't", ","]}, rules.phrases)
    path = tmp_path / "tokenizer.json"
    path.write_text(old.to_json(), encoding="utf-8")
    return path


def trained_with(path, signature):
    metrics = dict.fromkeys(METRICS, 0) | {"tokenizer": signature}
    (path.parent / "metrics.json").write_text(json.dumps(metrics))


def test_the_kept_rules_are_used_and_not_those_installed(kept):
    found = open_tokenizer(kept, "spacy-en")
    assert found(TEXT) == ["don't", ",", "he", "said", "."] != SpacyTokenizer("en")(TEXT)
    assert found.signature() == "spacy-en-lc-3.7.0"
    trained_with(kept, "spacy-en-lc-3.7.0")
    assert open_tokenizer(kept, "spacy-en")(TEXT) == found(TEXT)
    trained_with(kept, "spacy-de-cased-3.7.0 spacy-en-cased-3.7.0")  # of a translation, both sides
    assert open_tokenizer(kept, "spacy-en", lower=False)(TEXT)[0] == "Don't"


def test_a_run_that_kept_none_has_what_is_installed(tmp_path):
    assert open_tokenizer(tmp_path / "tokenizer.json", "spacy-en")(TEXT) == SpacyTokenizer("en")(TEXT)
    assert isinstance(open_tokenizer(tmp_path / "tokenizer.json", "whitespace"), WhitespaceTokenizer)


def test_rules_that_are_gone_are_not_replaced_by_others(kept):
    kept.unlink()
    trained_with(kept, SpacyTokenizer("en").signature())
    assert open_tokenizer(kept, "spacy-en")(TEXT) == SpacyTokenizer("en")(TEXT)
    trained_with(kept, "spacy-en-lc-3.7.0")
    with pytest.raises(
        RunError,
        match=r"has no tokenizer\.json, and spacy-en-lc-.* is installed; .* spacy-en-lc-3\.7\.0: put",
    ):
        open_tokenizer(kept, "spacy-en")


def test_rules_of_another_run_language_or_version(kept):
    with pytest.raises(
        RunError, match=r"tokenizer\.json is damaged: the rules are those of lang='en', got lang='de'"
    ):
        open_tokenizer(kept, "spacy-de")
    trained_with(kept, "spacy-en-lc-3.8.0")
    with pytest.raises(
        RunError, match=r"json is of spacy-en-lc-3\.7\.0; the run was trained with spacy-en-lc-3\.8\.0"
    ):
        open_tokenizer(kept, "spacy-en")


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b"[1]"])
def test_damaged_rules_are_named(kept, content):
    whole = kept.read_bytes()
    for damaged in (content, whole[:-40], whole.replace(b"3.7.0", b"3.7.1")):
        kept.write_bytes(damaged)
        with pytest.raises(RunError, match=r"tokenizer\.json is damaged: "):
            open_tokenizer(kept, "spacy-en")
