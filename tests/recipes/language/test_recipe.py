"""A run on the sample, what its folder gives, and its commands: bad values, pipes, resume."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from recipe_case import LANGUAGE, before_manifests, refused, sets
from safetensors.torch import load_file

import spikeseq
from spikeseq.evaluation.reliability.filters import ODD, arguments, streamed
from spikeseq.events import compile_events
from spikeseq.models.language import build_language_model
from spikeseq.recipes.config import load_config
from spikeseq.recipes.evaluate import evaluate
from spikeseq.recipes.language.task import LanguageTask
from spikeseq.recipes.language.writer import Writer, for_writing
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.runs import RunError
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
QUICK = [setting for setting in LANGUAGE if not setting.startswith("model.neurons")]
SIZES = {
    "snn": ["model.neurons=24"],
    "lstm": ["model.hidden_size=16"],
    "gru": ["model.hidden_size=20"],
    "transformer": ["model.hidden_size=16", "model.context=32", "model.heads=2"],
}


def config_of(model="snn", *changes, data="sample"):
    return load_config("lm", model=model, data=str(data), overrides=[*QUICK, *SIZES[model], *changes])


@pytest.fixture(scope="module")
def runs(training):
    """One finished run of each model."""
    for model in SIZES:
        train(config_of(model), training / model)
    return training


def weights(folder):
    return load_file(folder / "model.safetensors")


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def metrics_of(folder):
    return json.loads((folder / "metrics.json").read_text())


# A run


@pytest.mark.parametrize("model", SIZES)
def test_it_trains_and_says_what_it_found(runs, model):
    metrics = metrics_of(runs / model)
    log = [json.loads(line) for line in (runs / model / "log.jsonl").read_text().splitlines()]
    assert log[1]["loss"] < log[0]["loss"] and metrics["epochs"] == 2
    test = metrics["test"]
    assert 0 < test["bits_per_byte"] < 8 and test["perplexity"] == pytest.approx(
        2 ** test["bits_per_token"], rel=1e-3
    )
    assert test["tokens_per_second"] > 0 and test["generated_per_second"] > 0
    assert set(test["by_position"]) == {"1-9", "10-99", "100-999"}
    assert metrics["unit"] == "byte" and metrics["vocabulary"] == 257 and metrics["tokens"]["train"] > 1000
    assert (metrics["spike_rate"] is None) == (model != "snn")
    assert metrics["energy"]["picojoules"] > 0 and not metrics["energy"]["not_counted"]
    # A membrane, three inputs of 16 numbers and four tokens; h and c; the tokens of two half contexts.
    sizes = {"snn": 4 * (24 + 3 * 16) + 8 * 4, "lstm": 4 * 2 * 16, "gru": 4 * 20, "transformer": 8 * 1}
    assert metrics["energy"]["bytes_of_state"] == sizes[model]


def test_the_folder_is_opened_elsewhere(runs, tmp_path):
    copied = shutil.copytree(runs / "snn", tmp_path / "copy")
    writer = spikeseq.load(copied)
    text = "".join(writer.generate("ada has", tokens=20, seed=1))
    assert text == "".join(spikeseq.load(runs / "snn").generate("ada has", tokens=20, seed=1)) != ""
    assert writer.score("ada has a kite.").bits_per_byte < writer.score("qzx#~!!&%").bits_per_byte


@pytest.mark.parametrize("model", SIZES)
def test_the_test_again_and_on_other_texts(runs, model, tmp_path):
    again = evaluate(runs / model, data=None, split="test", say=lambda text: None)
    test = metrics_of(runs / model)["test"]
    assert again["bits_per_byte"] == test["bits_per_byte"] and again["by_position"] == test["by_position"]
    (tmp_path / "a.txt").write_text("ada has a red kite.\n" * 100)
    (tmp_path / "b.txt").write_text("zyx wvu\n" * 100)
    like = evaluate(runs / model, data=str(tmp_path / "a.txt"), split="validation", say=lambda text: None)
    both = os.pathsep.join((str(tmp_path / "a.txt"), str(tmp_path / "b.txt")))
    unlike = evaluate(runs / model, data=both, split="test", say=lambda text: None)
    assert like["data"] == "a" and unlike["data"] == "a and 1 more"
    assert like["bits_per_byte"] < unlike["bits_per_byte"]


@pytest.mark.parametrize("weights", ["float32", "int8"])
def test_what_is_driven_by_events_writes_as_it_is(weights):  # as `evaluate --events` tests it
    model = build_language_model({"name": "snn", "embedding_size": 4, "neurons": 6, "layers": 1}, 9).eval()
    driven = compile_events(model, weights)
    assert for_writing(driven) is driven and for_writing(model) is not model


def test_a_file_is_scored_as_a_whole(runs, cli, tmp_path):
    (tmp_path / "a.txt").write_text("ada has a red kite.\n")
    done = cli("evaluate", runs / "snn", "--data", tmp_path / "a.txt", "--split", "all", "--json")
    found, expected = json.loads(done.out), spikeseq.load(runs / "snn").score("ada has a red kite.\n")
    assert found["split"] == "all" and sum(one["tokens"] for one in found["by_position"].values()) == 21
    assert found["bits_per_byte"] > 0 and len(expected.tokens) == 20


@pytest.mark.parametrize(
    "changes", [[], ["data.reset=true", "train.epoch_tokens=700"]], ids=["plain", "reset"]
)
def test_cut_off_and_resumed(tmp_path, monkeypatch, changes):
    changes = ["train.epochs=3", "model.dropout=0.1", *changes]
    train(config_of("snn", *changes), tmp_path / "whole")
    validate, calls = LanguageTask.validate, []

    def ends(task, *arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(task, *arguments)

    monkeypatch.setattr(LanguageTask, "validate", ends)
    with pytest.raises(KeyboardInterrupt):
        train(config_of("snn", *changes), tmp_path / "cut")
    torch.rand(5)
    train(config_of("snn", *changes), tmp_path / "cut", resume=True)
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole")) and len(calls) == 4


def test_a_text_that_changed_between_start_and_resume(tmp_path, monkeypatch):
    text, folder = tmp_path / "a.txt", tmp_path / "run"
    text.write_text("ada has a red kite.\n" * 100)
    with monkeypatch.context() as patch:
        patch.setattr(LanguageTask, "validate", lambda *_: {"score": 0.0, "bits_per_byte": 0.0})
        patch.setattr(RECIPES["lm"].__class__, "test", lambda *_: interrupt())
        with pytest.raises(KeyboardInterrupt):
            train(config_of(data=text), folder)
    assert (folder / "resume.pt").exists()
    text.write_text("ada has a red kite.\n" * 99 + "ben has a red kite.\n")
    with pytest.raises(
        RunError, match=r"run/texts\.json is of other data than .*a\.txt has changed since; give"
    ):
        train(config_of(data=text), folder, resume=True)


def interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("unit", ["word", "subword"])
def test_other_units(tmp_path, unit):
    train(config_of("snn", f"data.unit={unit}", "data.unit_size=300"), tmp_path / "run")
    writer = spikeseq.load(tmp_path / "run")
    assert writer.unit.kind == unit and "".join(writer.generate("ada has", tokens=9, seed=1))
    assert metrics_of(tmp_path / "run")["test"]["bits_per_byte"] < 4


def test_a_vocabulary_of_another_run_is_refused(tmp_path):
    train(config_of("snn", "data.unit=word"), tmp_path / "one")
    train(config_of("snn", "data.unit=word", "data.min_frequency=9"), tmp_path / "two")
    before_manifests(tmp_path / "one")
    shutil.copy(tmp_path / "two" / "vocab.json", tmp_path / "one" / "vocab.json")
    with pytest.raises(RunError, match=r"one/model\.safetensors is of another model than .*config\.yaml"):
        spikeseq.load(tmp_path / "one")
    (tmp_path / "one" / "vocab.json").write_text("{")
    with pytest.raises(RunError, match=r"one/vocab\.json"):
        spikeseq.load(tmp_path / "one")


@pytest.mark.parametrize("length", [9, 40])
def test_a_text_shorter_than_a_chunk(tmp_path, length):
    text = tmp_path / "a.txt"
    changes = ["train.chunk=64", "data.validation_share=0.3", "data.test_share=0.3"]
    text.write_text(("abcdefg\n" * 99)[: 3 * length])
    train(config_of("snn", *changes, data=text), tmp_path / "run")
    assert metrics_of(tmp_path / "run")["test"]["bits_per_byte"] > 0


REFUSED = {
    "short": ("snn", "abc\n" * 3, ["data.validation_share=0.3", "data.test_share=0.3"],
              r"a\.txt has 6 tokens to train on, too few for train\.batch_size=4 rows of two or more"),
    "empty": ("snn", "", [], r"a\.txt: there is no text in it"),
    "tiny": ("snn", "ab", [], r"a\.txt: 2 characters are too few to hold out texts for validation and test;"),
    "pieces": ("snn", None, ["data.unit=subword", "data.unit_size=8000"],
               r"data\.unit_size=8000 for sample: size is 8000, too large"),
    "memory": ("snn", None, ["data.reset=true", "model.surrogate=spike_time", "model.surrogate_width=100"],
               r"data\.reset=true goes without model\.surrogate=spike_time"),
    "chunk": ("transformer", None, ["model.context=16"],
              r"train\.chunk must be at most model\.context=16, got 32"),
    "odd": ("transformer", None, ["model.context=33"], "context must be an even number of tokens, got 33"),
    "heads": ("transformer", None, ["model.heads=3"], "heads must divide embedding_size=16, got 3"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trained_leaves_no_folder(cli, tmp_path, case):
    model, text, changes, message = REFUSED[case]
    data = "sample" if text is None else tmp_path / "a.txt"
    if text is not None:
        data.write_text(text)
    given = {setting.partition("=")[0] for setting in changes}
    usual = [setting for setting in (*QUICK, *SIZES[model]) if setting.partition("=")[0] not in given]
    done = cli(
        "train", "lm", "--model", model, "--data", data, *sets([*usual, *changes]), "--out", tmp_path / "run"
    )
    assert re.search(message, refused(done)) and not (tmp_path / "run").exists()


# The commands


def test_train_draws_and_prints(cli, tmp_path):
    done = cli("train", "lm", *sets([*QUICK, *SIZES["snn"]]), "--out", tmp_path / "run", "--json")
    assert done.code == 0 and json.loads(done.out) == metrics_of(tmp_path / "run")
    assert {"surprise.png", "learning.png"} <= {path.name for path in (tmp_path / "run").iterdir()}
    assert "…" not in done.err and "bits/byte" in done.err
    assert max(map(len, done.err.replace(str(tmp_path), "").splitlines())) <= 80


def test_a_finished_run_needs_its_texts_no_more(cli, tmp_path):
    (tmp_path / "a.txt").write_text("ada has a red kite.\n" * 100)
    command = [
        "train",
        "lm",
        *sets([*QUICK, *SIZES["snn"]]),
        "--data",
        tmp_path / "a.txt",
        "--out",
        tmp_path / "run",
    ]
    assert cli(*command).code == 0
    (tmp_path / "a.txt").unlink()
    done = cli(*command, "--resume")
    assert done.code == 0 and "is finished" in done.err


def test_generate(cli, runs):
    done = cli("generate", runs / "snn", "--prompt", "ada has", "--tokens", 30, "--seed", 3)
    expected = "".join(spikeseq.load(runs / "snn").generate("ada has", tokens=30, seed=3))
    assert (done.code, done.out, done.err) == (0, f"ada has{expected}\n", "")
    found = json.loads(
        cli("generate", runs / "snn", "--prompt", "ada has", "--tokens", 30, "--seed", 3, "--json").out
    )
    assert found == {"results": [{"prompt": "ada has", "text": expected}]}
    assert cli("generate", runs / "snn").out == cli("generate", runs / "snn", "--prompt", "", "--seed", 1).out
    half = cli("generate", runs / "snn", "--prompt", "a\udcff", "--tokens", 1)
    assert half.code == 0 and half.out.startswith("a?")


def test_generate_for_every_line(cli, runs):
    done = cli("generate", runs / "lstm", "--prompt", "-", "--tokens", 5, "--json", stdin=b"ada\n\nben has")
    results = json.loads(done.out)["results"]
    assert [one["prompt"] for one in results] == ["ada", "", "ben has"]
    assert cli("generate", runs / "lstm", "--prompt", "-", "--json").out == '{"results": []}\n'


def test_a_line_for_every_line_whatever_is_in_it(cli, runs):
    for options in (["--prompt", "-", "--tokens", 3], ["--score"]):
        done = cli("generate", runs / "snn", *options, stdin=b"\n".join(ODD))
        assert (done.code, done.err, done.out.count("\n")) == (0, "", len(ODD))


def test_line_breaks_that_a_model_writes_are_spaces_in_a_line(cli, runs, monkeypatch):
    monkeypatch.setattr(Writer, "generate", lambda *_, **__: iter(["a\n", "b\r\nc"]))
    done = cli("generate", runs / "snn", "--prompt", "-", stdin=b"one\ntwo\n")
    assert done.out == "onea b  c\ntwoa b  c\n"
    assert cli("generate", runs / "snn", "--prompt", "one").out == "onea\nb\r\nc\n"
    done = cli("generate", runs / "snn", "--prompt", "-", "--json", stdin=b"one")
    assert json.loads(done.out)["results"][0]["text"] == "a\nb\r\nc"


def test_lines_are_scored_as_they_come_and_until_nobody_reads(runs):
    assert streamed(arguments("generate --score", runs / "snn"), [b"ada", b"ben has"]) == (2, 0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize(
    "options",
    [("--prompt", "ada"), ("--prompt", "-"), ("--prompt", "-", "--json"), ("--score",)],
    ids=" ".join,
)
def test_output_that_nobody_can_write(cli, runs, monkeypatch, options):
    with open("/dev/full", "w") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        done = cli("generate", runs / "snn", *options, stdin=b"ada has\n")
    assert done.code == 2, done
    assert done.err.splitlines()[-1] == "spikeseq: output cannot be written: No space left on device"


def test_generate_scores_lines(cli, runs):
    done = cli("generate", runs / "snn", "--score", stdin="ada has é.\n\n".encode())
    first, empty = done.out.splitlines()
    score = spikeseq.load(runs / "snn").score("ada has é.")
    assert first == f"{sum(score.log_probabilities):.4f}\t{score.bits_per_byte:.4f}\tada has é."
    assert empty == "0.0000\t0.0000\t"
    (found,) = json.loads(cli("generate", runs / "snn", "--score", "--json", stdin=b"ada").out)["results"]
    assert found["tokens"] == list("ada") and len(found["log_probabilities"]) == 3 and found["text"] == "ada"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--temperature", "-1"],
            "temperature must be 0 (the likeliest token) or a positive number, got -1.0",
        ),
        (["--temperature", "nan"], "temperature must be 0"),
        (["--top-p", "0"], "top_p must lie in (0, 1], got 0.0"),
        (["--top-p", "1.5"], "top_p must lie in (0, 1], got 1.5"),
        (["--top-k", "0"], "Invalid value for '--top-k': Input should be greater than or equal to 1"),
        (["--tokens", "0"], "Invalid value for '--tokens': Input should be greater than or equal to 1"),
        (["--tokens", "x"], "Invalid value for '--tokens': Input should be a valid integer"),
        (["--seed", str(2**80)], f"seed must be an integer of 64 bits, got {2**80}"),
        (["--score", "--prompt", "x"], "--score writes nothing"),
        (["--score", "--top-k", "3"], "leave --top-k out"),
    ],
    ids=lambda value: "-".join(value)[:20] if isinstance(value, list) else None,
)
def test_bad_values(cli, runs, options, message):
    assert message in refused(cli("generate", runs / "snn", *options))


def test_lines_that_are_not_utf8(cli, runs):
    for options in (["--prompt", "-"], ["--score"]):
        done = cli("generate", runs / "snn", *options, stdin=b"\xff\n")
        assert "standard input, line 1: byte 1 is 0xff, which is not UTF-8" in refused(done)


def test_other_runs_and_other_commands(cli, runs, tmp_path):
    run = runs / "snn"
    for verb in ("classify", "translate"):
        assert refused(cli(verb, run)) == f"{run} does not {verb}; try `spikeseq generate {run}`"
    assert "is not a run folder" in refused(cli("generate", tmp_path))


def test_a_pipe_that_is_closed_is_no_error(runs):
    command = [sys.executable, "-m", "spikeseq", "generate", runs / "transformer", "--tokens", "100000"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.read(10)
    process.stdout.close()
    assert process.wait(60) == 0 and process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_while_it_writes(runs, tmp_path):
    (tmp_path / "prompts").write_text("ada\n" * 100000)  # one alone may end its document before the signal
    command = [sys.executable, "-m", "spikeseq", "generate", runs / "transformer", "--prompt", "-"]
    with (tmp_path / "prompts").open() as prompts:
        process = subprocess.Popen(
            list(map(str, command)),
            stdin=prompts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
    assert process.stdout.read(1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "spikeseq: interrupted\n"


def test_energy_report_and_evaluate(cli, runs, tmp_path):
    folders = [runs / model for model in SIZES]
    done = cli("energy", *folders)
    assert done.code == 0 and "lm: compute energy per token" in done.err
    done = cli("report", *folders[:2], "--out", tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert done.code == 0 and "bits per byte" in page.split("</h1>")[0]  # the answer
    assert "Surprise, snn: " in page and "what the slowest neurons hold" in page
    assert "Spikes: up to" in page and page.count("<summary>Inside ") == 2
    assert "Validation bits per byte, after every epoch." in page
    done = cli("evaluate", runs / "snn")
    assert done.code == 0 and "bits_per_byte: " in done.out and "by_position: " in done.out
    result = json.loads(cli("evaluate", runs / "snn", "--json").out)
    assert result["bits_per_byte"] == metrics_of(runs / "snn")["test"]["bits_per_byte"]
