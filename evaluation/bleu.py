"""BLEU of translations, always through sacrebleu, and the way from a word model's tokens back to plain text.

Two figures, because papers mean two things by BLEU: `bleu`, of plain text under sacrebleu's own tokenizer,
comparable with any other system's; and `bleu_tok_lc`, of lower-cased spaCy tokens, as the thesis counts.
sacrebleu, spaCy and sacremoses are imported when used.
"""

import contextlib
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from spikeseq.tokenizers import SpacyTokenizer
from spikeseq.tokenizers.words import LANGUAGES

# Spaces that Moses leaves, because its tokenizer never splits there and spaCy's does: t - shirt, do n't, # 5.
# In German spaCy leaves hyphens alone, so that one standing by itself is a dash.
HYPHEN = r"(?<=\w) (?=- \w)|(?<=\w -) (?=\w)"
SPLIT_BY_SPACY = {
    "en": re.compile(HYPHEN + r"| (?=n['’]t\b)| (?=[’”])|(?<=‘) |(?<=#) (?=\d)"),
    "fr": re.compile(HYPHEN),
}


def score(
    hypotheses: Sequence[str], references: Sequence[str], *, language: str = "en", lowercase: bool = True
) -> dict[str, Any]:
    """Corpus BLEU, in percent, by both of its definitions; smoothing and n-grams are sacrebleu's defaults.

    Args:
        hypotheses: translations as plain, detokenised text.
        references: one raw line for each.
        language: of both, for spaCy: "en", "de" or "fr".
        lowercase: score `bleu` without regard to case, which its signature then states as `case:lc`. The
            default because the recipes translate into lower case. `bleu_tok_lc` always is.
    Returns:
        "bleu": sacrebleu with tokenizer 13a, and "bleu_signature", which says so in sacrebleu's words;
        "bleu_tok_lc": both sides through spaCy, lower-cased, and sacrebleu with `tokenize=none`.
    Raises:
        TypeError: a line is not a str. ValueError: no lines, unequal numbers of them, an unknown language.
        ImportError: sacrebleu or spaCy is missing; it says what to install.
    """
    BLEU, _ = _sacrebleu()
    _check(references, {"hypotheses": hypotheses})
    tokenizer = SpacyTokenizer(language, lower=True)
    tokens, reference_tokens = (
        [" ".join(tokenizer(line)) for line in lines] for lines in (hypotheses, references)
    )
    plain = BLEU(lowercase=lowercase, tokenize="13a")
    tokenised = BLEU(tokenize="none", force=True)  # without its warning of tokenised text
    return {
        "bleu": plain.corpus_score(hypotheses, [references]).score,
        "bleu_signature": str(plain.get_signature()),
        "bleu_tok_lc": tokenised.corpus_score(tokens, [reference_tokens]).score,
    }


def paired_bootstrap(
    systems: dict[str, Sequence[str]],
    references: Sequence[str],
    *,
    lowercase: bool = True,
    samples: int = 1000,
    seed: int = 12345,
) -> dict[str, Any]:
    """sacrebleu's paired bootstrap test (Koehn, 2004) of every system against the first, the baseline.

    Args:
        systems: names and their translations, two systems at least.
        references, lowercase: as in `score`; what is compared is its `bleu`.
        samples: resamplings of the lines (default: sacrebleu's).
        seed: of the resampling, at least 1, because sacrebleu takes 0 for none (default: sacrebleu's).
    Returns:
        "bleu_signature", with seed and samples in it; "baseline", its name; "systems", by name: "bleu",
        "mean" over the resamplings, "ci", half the width of the 95 % interval (sacrebleu prints mean ± ci),
        and "p_value" (None for the baseline): how likely so large a difference is by chance. It is 1 for a
        system that equals the baseline in every resampling, for which sacrebleu gives its smallest value.
    Raises:
        TypeError, ImportError: as `score`. ValueError: too few systems, samples or lines, a seed below 1.
    """
    BLEU, PairedTest = _sacrebleu()
    if len(systems) < 2:
        raise ValueError(f"{len(systems)} systems; a comparison needs at least 2, the first the baseline")
    for name, value in (("samples", samples), ("seed", seed)):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be 1 or more")
    _check(references, systems)
    metric = BLEU(lowercase=lowercase, tokenize="13a")
    with _seeded(seed):
        signatures, results = PairedTest(
            list(systems.items()), {"BLEU": metric}, [references], test_type="bs", n_samples=samples
        )()
    figures = [
        {"bleu": float(one.score), "mean": float(one.mean), "ci": float(one.ci), "p_value": one.p_value}
        for one in results["BLEU"]
    ]
    baseline, *others = figures
    for other in others:
        if {**other, "p_value": None} == baseline:
            other["p_value"] = 1.0
    return {
        "bleu_signature": str(signatures["BLEU"]),
        "baseline": next(iter(systems)),
        "systems": dict(zip(systems, figures, strict=True)),
    }


def detokenise(tokens: Sequence[str], language: str = "en") -> str:
    """Plain text from spaCy's tokens: ["a", "man", "'s", "t", "-", "shirt", "."] is "a man's t-shirt.".

    Moses' rules by way of sacremoses, then the splits that only spaCy makes. Of the 1,014 English validation
    captions of Multi30k, tokenised and lower-cased, 1,012 come back as they were but for case.

    Raises TypeError if `tokens` is one string or holds what is none, ValueError for another language than
    "en", "de" or "fr", ImportError, with the install command, where sacremoses is missing.
    """
    try:
        from sacremoses import MosesDetokenizer
    except ImportError as error:
        raise ImportError("detokenise needs sacremoses: pip install 'spikeseq[recipes]'") from error
    if language not in LANGUAGES:
        raise ValueError(f"cannot detokenise language={language!r}; choose one of {', '.join(LANGUAGES)}")
    _check_strings("tokens", tokens)
    text = MosesDetokenizer(language).detokenize(tokens, unescape=False)  # "&amp;" is text like any other
    return SPLIT_BY_SPACY[language].sub("", text) if language in SPLIT_BY_SPACY else text


def _sacrebleu() -> tuple[Any, Any]:
    try:
        from sacrebleu.metrics import BLEU
        from sacrebleu.significance import PairedTest
    except ImportError as error:
        raise ImportError("BLEU needs sacrebleu: pip install 'spikeseq[recipes]'") from error
    return BLEU, PairedTest


def _check(references: Sequence[str], systems: dict[str, Sequence[str]]) -> None:
    _check_strings("references", references)
    if not references:
        raise ValueError("references is empty; BLEU needs at least one line")
    for name, hypotheses in systems.items():
        _check_strings(name, hypotheses)
        if len(hypotheses) != len(references):
            raise ValueError(
                f"{name} has {len(hypotheses)} lines and references {len(references)}; "
                f"there must be one reference for each"
            )


def _check_strings(name: str, lines: Sequence[str]) -> None:
    if isinstance(lines, str):
        raise TypeError(f"{name} is one string; expected a list of them")
    for index, line in enumerate(lines):
        if not isinstance(line, str):
            raise TypeError(f"{name}[{index}] is {line!r} ({type(line).__name__}), not a str")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """sacrebleu takes its seed from the environment only."""
    former = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if former is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = former
