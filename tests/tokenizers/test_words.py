import pickle
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spikeseq.tokenizers import SpacyTokenizer, Tokenizer, WhitespaceTokenizer, build_tokenizer, words

spacy = pytest.importorskip("spacy")


@pytest.fixture(scope="module")
def english():
    return SpacyTokenizer()


def test_english_rules_and_case(english):
    text = "Don't  go to the U.K.\n (yet)!"
    assert english(text) == ["do", "n't", "go", "to", "the", "u.k.", "(", "yet", ")", "!"]
    assert SpacyTokenizer(lower=False)(text)[:2] == ["Do", "n't"]


def test_lower_case_is_applied_to_tokens_not_to_the_text(english):
    cased = SpacyTokenizer(lower=False)
    text = "It was great.Really great. I met Mr. Smith in L.A. on Mon."
    assert english(text) == [token.lower() for token in cased(text)]
    assert english(text) != english(text.lower())


def test_german_differs_from_english(english):
    text = "Das kostet z.B. 5 Euro."
    assert SpacyTokenizer("de")(text) == ["das", "kostet", "z.b.", "5", "euro", "."]
    assert english(text) != SpacyTokenizer("de")(text)


def test_only_whitespace_gives_no_token(english):
    assert english("") == english(" \n\t  ") == []
    assert WhitespaceTokenizer()("") == WhitespaceTokenizer()(" \n\u00a0 ") == []


def test_html_breaks_are_left_to_the_reader():
    assert WhitespaceTokenizer()("one<br />two") == ["one<br", "/>two"]


def test_whitespace_keeps_case_unless_told():
    assert WhitespaceTokenizer()("A  b-C") == ["A", "b-C"]
    assert WhitespaceTokenizer(lower=True)("A  b-C") == ["a", "b-c"]


def test_signatures_say_what_the_tokens_depend_on(english):
    assert english.signature() == f"spacy-en-lc-{spacy.__version__}"
    assert SpacyTokenizer("de", lower=False).signature() == f"spacy-de-cased-{spacy.__version__}"
    assert WhitespaceTokenizer().signature() == "whitespace-cased"
    assert WhitespaceTokenizer(lower=True).signature() == "whitespace-lc"
    assert english.signature() in repr(english)


@given(st.text())
def test_no_token_is_empty_or_whitespace(text):
    for tokenizer in (SPACY, WhitespaceTokenizer()):
        assert all(token and not token.isspace() for token in tokenizer(text))


@given(st.text())
def test_spacy_loses_no_character_but_whitespace(text):
    assert "".join("".join(CASED(text)).split()) == "".join(text.split())


@given(st.lists(st.text(), max_size=6), st.lists(st.text(), max_size=6))
def test_in_parts_is_the_same_as_whole(first, second):
    whole = SPACY.tokenize_all(first + second)
    assert whole == SPACY.tokenize_all(first) + SPACY.tokenize_all(second)
    assert whole == [SPACY(text) for text in first + second]


def test_several_processes_give_the_same_in_order(english, monkeypatch):
    monkeypatch.setattr(words, "CHUNK", 3)
    texts = [f"Review no. {n}: it isn't {'very ' * (n % 7)}good... 10{n}km/h!" for n in range(40)] + ["", " "]
    assert english.tokenize_all(texts, processes=2) == [english(text) for text in texts]


def test_few_texts_start_no_process(english, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a pool was started")

    monkeypatch.setattr(words, "ProcessPoolExecutor", refuse)
    assert english.tokenize_all(["a b"], processes=8) == [["a", "b"]]
    assert english.tokenize_all([], processes=8) == []
    assert WhitespaceTokenizer().tokenize_all(["a b"] * 1000, processes=8) == [["a", "b"]] * 1000


def test_pickling_keeps_the_settings():
    tokenizer = SpacyTokenizer("de", lower=False)
    data = pickle.dumps(tokenizer)
    assert len(data) < 200
    copy = pickle.loads(data)
    assert copy.signature() == tokenizer.signature()
    assert copy("Das Übel, z.B.") == tokenizer("Das Übel, z.B.")


def test_what_is_no_string_is_refused(english):
    for tokenizer in (english, WhitespaceTokenizer()):
        with pytest.raises(TypeError, match=r"texts\[2\] is None \(NoneType\)"):
            tokenizer.tokenize_all(["a", "b", None])
        with pytest.raises(TypeError, match="one string"):
            tokenizer.tokenize_all("a text")
        with pytest.raises(TypeError, match=r"text is 3 \(int\)"):
            tokenizer(3)


def test_processes_must_be_positive(english):
    with pytest.raises(ValueError, match="processes is 0"):
        english.tokenize_all(["a"], processes=0)


def test_another_language_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="lang='xx'; choose one of en, de, fr"):
        SpacyTokenizer("xx")


def test_without_spacy_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ImportError, match=r"pip install 'spikeseq\[recipes\]'"):
        SpacyTokenizer()


@pytest.mark.parametrize(
    ("name", "signature"),
    [("spacy-en", "spacy-en-lc-"), ("spacy-de", "spacy-de-lc-"), ("whitespace", "whitespace-cased")],
)
def test_build_by_name(name, signature):
    tokenizer = build_tokenizer(name)
    assert isinstance(tokenizer, Tokenizer)
    assert tokenizer.signature().startswith(signature)


def test_build_can_set_the_case():
    assert build_tokenizer("whitespace", lower=True).signature() == "whitespace-lc"
    assert build_tokenizer("spacy-de", lower=False).signature().startswith("spacy-de-cased-")


def test_every_name_with_french_is_accepted(monkeypatch):
    built = []  # spaCy takes seconds to load its French exceptions: look at what would be built
    monkeypatch.setattr(words, "SpacyTokenizer", lambda lang, **settings: built.append((lang, settings)))
    build_tokenizer("spacy-fr")
    assert built == [("fr", {})]


@pytest.mark.parametrize(
    ("name", "nearest"), [("spacy_en", "spacy-en"), ("whitespac", "whitespace"), ("Spacy-DE", "spacy-de")]
)
def test_an_unknown_name_gives_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        build_tokenizer(name)


SPACY = SpacyTokenizer()
CASED = SpacyTokenizer(lower=False)


@pytest.mark.parametrize("make", [SpacyTokenizer, WhitespaceTokenizer])
@pytest.mark.parametrize("half", ["\ud83d", "\ude00"])
def test_half_a_surrogate_pair_is_a_question_mark(make, half):  # case 4.5
    assert make()(f"a {half} b") == ["a", "?", "b"]
    assert make().tokenize_all([half, "c"]) == [["?"], ["c"]]
