"""The command line on translation runs."""

import json

import pytest
from recipe_case import TRANSLATION, quick, refused, sets

from spikeseq.evaluation.reliability.filters import ODD, arguments, streamed
from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def runs(training):
    """A run that translates, one that does not."""
    train(load_config("multi30k", model="conv-snn-snn", overrides=TRANSLATION), training / "translation")
    train(load_config("imdb", model="bow", overrides=quick("bow")), training / "sentiment")
    return training


def test_a_run_of_the_other_recipe_is_named(cli, runs):
    sentiment, translation = runs / "sentiment", runs / "translation"
    assert refused(cli("translate", sentiment)) == (
        f"{sentiment} does not translate; try `spikeseq classify {sentiment}`"
    )
    assert refused(cli("classify", translation)) == (
        f"{translation} does not classify; try `spikeseq translate {translation}`"
    )
    assert refused(cli("generate", sentiment)) == (
        f"{sentiment} does not write; try `spikeseq classify {sentiment}`"
    )
    message = refused(cli("evaluate", translation, "--against", sentiment))
    assert message == f"{sentiment} does not translate; --against compares two translation runs"
    message = refused(cli("evaluate", sentiment, "--out", runs / "out"))
    assert message.startswith("--out is for the translations of one run")


def test_the_attention_for_the_first_line_is_drawn(cli, runs, tmp_path):
    picture = tmp_path / "attention.png"
    given = "Ein Hund schläft.\nEin Mann.\n".encode()
    done = cli("translate", runs / "translation", "--beam", 1, "--attention", picture, stdin=given)
    assert done.code == 0 and done.out.count("\n") == 2 and f"wrote {picture}" in done.err
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "which is empty" in refused(cli("translate", runs / "translation", "--attention", picture))
    assert "--attention" in refused(cli("translate", runs / "translation", "--attention", tmp_path / "a.doc"))


def test_a_byte_order_mark_before_standard_input(cli, runs):  # case 4.4
    given = "ein hund schläft .\nein mann \ufeff .\n".encode()
    plain, marked = (
        cli("translate", runs / "translation", "--beam", 1, stdin=mark + given)
        for mark in (b"", b"\xef\xbb\xbf")
    )
    assert plain.code == 0 and marked.out == plain.out and plain.out.count("\n") == 2


def test_a_line_for_every_line_whatever_is_in_it(cli, runs):
    done = cli("translate", runs / "translation", "--beam", 1, stdin=b"\n".join(ODD))
    assert (done.code, done.err, done.out.count("\n")) == (0, "", len(ODD))


def test_a_line_is_too_long_and_those_before_it_are_answered(cli, runs):
    done = cli("translate", runs / "translation", "--beam", 1, stdin=b"ein hund .\n" + b"hund " * 5000)
    assert done.code == 2 and done.out.count("\n") == 1 and done.err.count("\n") == 1
    assert "at most" in done.err


def test_lines_are_translated_as_they_come_and_until_nobody_reads(runs):
    command = arguments("translate", runs / "translation")
    assert streamed(command, [b"ein hund .", b"", b"ein mann ."]) == (3, 0, "")


def test_evaluate_writes_the_translations(cli, runs, tmp_path):
    out = tmp_path / "out"
    done = cli("evaluate", runs / "translation", "--split", "validation", "--out", out, "--json")
    figures = json.loads(done.out)
    assert figures["split"] == "validation" and "bleu_tok_lc" in figures
    for name in ("validation.hypotheses", "validation.references"):
        assert (out / name).read_text().count("\n") == 40


def test_another_test_of_the_folder_by_its_name(cli, runs, tmp_path):
    lines = {"de": ["Ein Hund schläft.", "Ein Mann."], "en": ["A dog sleeps.", "A man."]}
    for language, sentences in lines.items():
        for stem, kept in (
            ("train", sentences),
            ("val", sentences),
            ("test_a", sentences),
            ("test_b", sentences[:1]),
        ):
            (tmp_path / f"{stem}.{language}").write_text("".join(f"{line}\n" for line in kept))
    out = tmp_path / "out"
    command = ["evaluate", runs / "translation", "--data", tmp_path]
    done = cli(*command, "--split", "test_b", "--out", out, "--json")
    assert json.loads(done.out)["split"] == "test_b"
    assert (out / "test_b.references").read_text() == "A dog sleeps.\n"
    told = "no test split 'test_c'; there is test_a, test_b; --split also takes train, validation, test"
    assert refused(cli(*command, "--split", "test_c")).endswith(told)
    # The usual one's name does not stand for another, nor for pairs that are cut off.
    message = refused(cli("evaluate", runs / "translation", "--split", "test_2016_flickr"))
    assert message == "sample has no test split 'test_2016_flickr'; expected train, validation, test"


def test_settings_are_compared_without_the_test_split(cli, tmp_path):
    options = sets([*TRANSLATION, "evaluate.split=validation"])
    done = cli("train", "multi30k", *options, "--out", tmp_path / "run", "--json")
    metrics = json.loads(done.out)
    assert metrics["split"] == "validation"
    assert (tmp_path / "run" / "validation.hypotheses").exists()
    assert not (tmp_path / "run" / "test.hypotheses").exists()
    again = cli("evaluate", tmp_path / "run", "--split", "validation", "--json")
    assert json.loads(again.out)["bleu_tok_lc"] == metrics["test"]["bleu_tok_lc"]
    message = refused(cli("train", "multi30k", "--set", "evaluate.split=train", "--out", tmp_path / "other"))
    assert message == "evaluate.split must be test or validation, got 'train'"
    assert not (tmp_path / "other").exists()
