import json
import os
import random
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeseq.evaluation.bleu import detokenise, paired_bootstrap, score
from spikeseq.tokenizers import SpacyTokenizer

pytest.importorskip("sacrebleu")
pytest.importorskip("sacremoses")

ENGLISH = SpacyTokenizer("en")
NAMES = ("A man", "Two dogs", "The boy's sister", "A middle-aged woman", "An old man (left)")
VERBS = ("is holding", "doesn't see", "jump over", 'stands, reading "free hugs", near')
THINGS = ("a red t-shirt", "the snow", "a dog's ball", "U.S. flags", "30% of the cake", "a 2-year-old girl")
REFERENCES = [f"{name} {verb} {thing}." for name in NAMES for verb in VERBS for thing in THINGS]


def spoilt(share, seed):
    """The references in lower case, with a share of their words left out."""
    luck = random.Random(seed)
    return [" ".join(w for w in line.lower().split() if luck.random() >= share) for line in REFERENCES]


GOOD, BAD = spoilt(0.1, seed=1), spoilt(0.4, seed=2)


@pytest.fixture
def sacrebleu_says(tmp_path):
    """What sacrebleu's own command prints as JSON for files of these lines."""

    def run(references, *systems, options=(), **environment):
        for name, lines in (("references", references), *systems):
            (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        command = [sys.executable, "-m", "sacrebleu", "references", "-i", *(name for name, _ in systems)]
        result = subprocess.run(
            [*command, "-m", "bleu", "-f", "json", "-w", "9", *options],
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(result.stdout)

    return run


@pytest.mark.parametrize("lowercase", [True, False])
def test_bleu_is_the_command_s(sacrebleu_says, lowercase):
    ours = score(GOOD, REFERENCES, lowercase=lowercase)
    theirs = sacrebleu_says(REFERENCES, ("good", GOOD), options=["-lc"] if lowercase else [])
    assert 10 < ours["bleu"] < 90
    assert ours["bleu"] == pytest.approx(theirs["score"], abs=1e-8)
    assert ours["bleu_signature"] == theirs["signature"]
    assert f"case:{'lc' if lowercase else 'mixed'}|eff:no|tok:13a|smooth:exp" in ours["bleu_signature"]


def test_bleu_tok_lc_is_the_command_s_on_files_of_tokens(sacrebleu_says):
    def tokens(lines):
        return [" ".join(ENGLISH(line)) for line in lines]

    ours = score(GOOD, REFERENCES)
    theirs = sacrebleu_says(
        tokens(REFERENCES), ("good", tokens(GOOD)), options=["--force", "--tokenize", "none"]
    )
    assert ours["bleu_tok_lc"] == pytest.approx(theirs["score"], abs=1e-8)
    assert abs(ours["bleu_tok_lc"] - ours["bleu"]) > 0.1


def test_case_counts_only_if_asked():
    folded, mixed = score(GOOD, REFERENCES), score(GOOD, REFERENCES, lowercase=False)
    assert mixed["bleu"] < folded["bleu"] == score([line.upper() for line in GOOD], REFERENCES)["bleu"]
    assert mixed["bleu_tok_lc"] == folded["bleu_tok_lc"]


def test_the_language_is_that_of_the_tokens():
    lines, references = (
        ["das kostet z.B. 5 euro im t-shirt laden"],
        ["das kostet z.B. 5 euro im t-shirt markt"],
    )
    assert score(lines, references)["bleu_tok_lc"] != score(lines, references, language="de")["bleu_tok_lc"]


def test_a_perfect_and_an_empty_translation():
    perfect = score(REFERENCES, REFERENCES)
    assert perfect["bleu"] == pytest.approx(100) and perfect["bleu_tok_lc"] == pytest.approx(100)
    empty = score([""] * len(REFERENCES), REFERENCES)
    assert empty["bleu"] == empty["bleu_tok_lc"] == 0


def test_hundreds_of_tokenised_lines_give_no_warning_for_tokens(caplog):
    score(["A man sits."] * 200, ["a man sits."] * 200)
    assert not caplog.records
    score(["A man sits ."] * 200, ["a man sits."] * 200)
    assert "forgot to detokenize" in caplog.text


@pytest.mark.parametrize(
    ("hypotheses", "references", "error", "message"),
    [
        (["a", "b"], ["a"], ValueError, "hypotheses has 2 lines and references 1;"),
        ([], [], ValueError, "references is empty"),
        (["a", None], ["a", "b"], TypeError, r"hypotheses\[1\] is None \(NoneType\), not a str"),
        (["a"], [3], TypeError, r"references\[0\] is 3 \(int\)"),
        ("a", ["a"], TypeError, "hypotheses is one string"),
        (["a"], "a", TypeError, "references is one string"),
    ],
)
def test_bad_lines(hypotheses, references, error, message):
    with pytest.raises(error, match=message):
        score(hypotheses, references)
    with pytest.raises(error, match=message):
        paired_bootstrap({"fine": references, "hypotheses": hypotheses}, references)


def test_another_language_is_refused():
    with pytest.raises(ValueError, match="lang='xx'; choose one of en, de, fr"):
        score(["a"], ["a"], language="xx")
    with pytest.raises(ValueError, match="language='xx'; choose one of en, de, fr"):
        detokenise(["a"], "xx")


# --- The paired bootstrap


def test_bootstrap_is_the_command_s(sacrebleu_says):
    similar = spoilt(0.1, seed=3)
    systems = {"good": GOOD, "similar": similar, "bad": BAD}
    ours = paired_bootstrap(systems, REFERENCES, samples=200, seed=7)
    theirs = sacrebleu_says(
        REFERENCES,
        *systems.items(),
        options=["-lc", "--paired-bs", "--paired-bs-n", "200"],
        SACREBLEU_SEED="7",
    )
    assert [len(theirs), *ours["systems"]] == [3, "good", "similar", "bad"]
    for one, name in zip(theirs, systems, strict=True):
        assert name in one["system"]
        found, wanted = ours["systems"][name], one["BLEU"]
        assert found["bleu"] == pytest.approx(wanted["score"], abs=1e-4)
        assert found["mean"] == pytest.approx(wanted["mean"], abs=1e-4)
        assert found["ci"] == pytest.approx(wanted["ci"], abs=1e-4)
        if name != "good":
            assert found["p_value"] == pytest.approx(wanted["p_value"], abs=1e-4)
    assert ours["baseline"] == "good" and ours["systems"]["good"]["p_value"] is None
    assert ours["systems"]["bad"]["p_value"] < 0.01 < 0.05 < ours["systems"]["similar"]["p_value"]
    assert "bs:200|seed:7|case:lc" in ours["bleu_signature"]
    assert json.loads(json.dumps(ours)) == ours


def test_bootstrap_depends_on_its_seed_alone(monkeypatch):
    systems = {"good": GOOD, "bad": BAD}
    first = paired_bootstrap(systems, REFERENCES, samples=20)
    monkeypatch.setenv("SACREBLEU_SEED", "none")
    assert paired_bootstrap(systems, REFERENCES, samples=20) == first
    assert os.environ["SACREBLEU_SEED"] == "none"
    monkeypatch.delenv("SACREBLEU_SEED")
    other = paired_bootstrap(systems, REFERENCES, samples=20, seed=1)
    assert "SACREBLEU_SEED" not in os.environ
    for name in systems:
        assert other["systems"][name]["mean"] != first["systems"][name]["mean"]
        assert other["systems"][name]["bleu"] == first["systems"][name]["bleu"]


def test_the_same_translations_are_not_significantly_different():
    shouted = [line.upper() for line in GOOD]
    systems = {"good": GOOD, "again": list(GOOD), "shouted": shouted}
    found = paired_bootstrap(systems, REFERENCES, samples=50)["systems"]
    assert found["again"]["p_value"] == found["shouted"]["p_value"] == 1
    found = paired_bootstrap(systems, REFERENCES, samples=50, lowercase=False)["systems"]
    assert found["again"]["p_value"] == 1 and found["shouted"]["p_value"] < 0.05


@pytest.mark.parametrize(
    ("systems", "settings", "message"),
    [
        ({"a": ["a"]}, {}, "1 systems; a comparison needs at least 2"),
        ({"a": ["a"], "b": ["b"]}, {"seed": 0}, "seed is 0; it must be 1 or more"),
        ({"a": ["a"], "b": ["b"]}, {"samples": 0}, "samples is 0; it must be 1 or more"),
    ],
)
def test_bad_comparisons(systems, settings, message):
    with pytest.raises(ValueError, match=message):
        paired_bootstrap(systems, ["a"], **settings)


# --- From tokens to text


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ("a man 's hat .", "a man's hat."),
        ("they do n't , ca n't and wo n't !", "they don't, can't and won't!"),
        ("i 'm sure we 've seen what they 'll do", "i'm sure we've seen what they'll do"),
        ("the boys ' toys", "the boys' toys"),
        ("a 2 - year - old in a t - shirt", "a 2-year-old in a t-shirt"),
        ('a sign saying " stop " , and " go " .', 'a sign saying "stop", and "go".'),
        ("it ’s “ here ” and ‘ there ’", "it’s “here” and ‘there’"),
        ("men ( three ) [ sic ] ; $ 5 , 50 % : # 7", "men (three) [sic]; $5, 50%: #7"),
        ("red -- blue ... a &amp; b", "red -- blue... a &amp; b"),
        ("- a -", "- a -"),
        ("", ""),
    ],
)
def test_english(tokens, text):
    assert detokenise(tokens.split()) == text


def test_german_and_french():
    german = "ein mann - mit t-shirt , auf dem „ hallo “ steht ."
    assert detokenise(german.split(), "de") == "ein mann - mit t-shirt, auf dem „hallo“ steht."
    french = "l' homme en t - shirt dit : qu' est il ?"
    assert detokenise(french.split(), "fr") == "l'homme en t-shirt dit : qu'est il ?"


PLAIN = "two men girl dog red ball jumps holding in the with camera 3 10:30 a.m. mr."
SPLIT = "t-shirt middle-aged 2-year-old merry-go-round man's don't isn't they're he'll I've Anna's"
PHRASES = st.lists(st.sampled_from((PLAIN + " " + SPLIT).split()), min_size=1, max_size=6).map(" ".join)
PARTS = st.builds(str.format, st.sampled_from(["{}", '"{}"', "({})"]), PHRASES)
CAPTIONS = st.builds(str.join, st.sampled_from([" ", ", ", "; "]), st.lists(PARTS, min_size=1, max_size=4))


@given(CAPTIONS, st.sampled_from([" snow.", " ball!", " dog?", " street"]))
def test_captions_come_back(caption, end):
    text = caption + end
    tokens = ENGLISH(text)
    assert len(tokens) > len(text.split()) or tokens == text.lower().split()
    assert detokenise(tokens) == text.lower()
    assert ENGLISH(detokenise(tokens)) == tokens


@given(st.lists(st.text(alphabet="ab'\"-.,()#’ \n<&;", max_size=4), max_size=8))
def test_only_spaces_change(tokens):
    assert "".join(detokenise(tokens).split()) == "".join("".join(tokens).split())


def test_what_are_no_tokens_is_refused():
    with pytest.raises(TypeError, match="tokens is one string"):
        detokenise("a man")
    with pytest.raises(TypeError, match=r"tokens\[1\] is 2 \(int\)"):
        detokenise(["a", 2])


def test_what_is_missing_is_named(monkeypatch):
    for module in ("sacrebleu.metrics", "sacremoses"):
        monkeypatch.setitem(sys.modules, module, None)
    for call in (
        lambda: score(["a"], ["a"]),
        lambda: paired_bootstrap({"a": ["a"], "b": ["b"]}, ["a"]),
        lambda: detokenise(["a"]),
    ):
        with pytest.raises(ImportError, match=r"pip install 'spikeseq\[recipes\]'"):
            call()
