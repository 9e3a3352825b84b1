"""What the user of the command line can mend: one line and exit status 2."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from recipe_case import before_manifests, quick, refused, sets, write_rows

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def copy(text_runs, tmp_path):
    """A finished run that may be damaged."""
    return Path(shutil.copytree(text_runs / "snn", tmp_path / "copy"))


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (["tarin"], ["train"]),
        (["train"], ["argument"]),
        (["train", "imdb", "--modle", "snn"], ["--modle", "--model"]),
        (["train", "imdb", "--epochs", "many"], ["--epochs", "integer"]),
        (["train", "imdb", "--epochs", "1", "--set", "train.epochs=2"], ["given twice, by --epochs 1"]),
        (["train", "imdb", "--data", ""], ["--data is empty"]),
        (["train", "imdb", "--out", ""], ["--out", "expected a path, got nothing"]),
        (["train", "imdb", "--out", "/dev/null/x"], ["/dev/null/x cannot be written: /dev/null is a file"]),
        (["train", "imdb", "--epochs", "0"], ["epochs must be at least 1", "0"]),
        (["train", "imbd"], ["no recipe 'imbd'", "did you mean 'imdb'"]),
        (["train", "imdb", "--model", "snnn"], ["no model 'snnn'", "did you mean 'snn'", "bow"]),
        (["train", "imdb", "--set", "train.epoch=1"], ["'train.epoch'", "did you mean 'train.epochs'"]),
        (["train", "imdb", "--set", "train.epochs=x"], ["train.epochs must be int", "'x'"]),
        (["train", "imdb", "--set", "train.batch_size=0"], ["train.batch_size must be at least 1, got 0"]),
        (["train", "imdb", "--set", "model.dropout=2.0"], ["2.0"]),
        (["train", "imdb", "--set", "model.leak=1.5"], ["leak", "1.5"]),
        (["train", "imdb", "--set", "model.threshold=.nan"], ["threshold", "nan"]),
        (["train", "imdb", "--set", "model.reset=medium"], ["reset", "medium", "soft"]),
        (["train", "imdb", "--set", "evaluate.energy_texts=0"], ["evaluate.energy_texts must be at least 1"]),
        (["train", "imdb", "--set", "data.vectors=train", "--set", "data.vector_size=7"], ["7 and 100"]),
        (["train", "imdb", "--device", "gpu"], ["--device must be auto, cpu or cuda, got 'gpu'"]),
        (["train", "imdb", "--data", "/nowhere/at/all.csv"], ["/nowhere/at/all.csv: no such file"]),
        (["report", "/nowhere", "--out", "/no/x.html"], ["/no/x.html cannot be written: there is no"]),
        (["classify", "/nowhere", "--trace", "/no/x.png"], ["/no/x.png cannot be written"]),
        (["evaluate", "/nowhere", "--data", ""], ["--data is empty"]),
        (["evaluate", "/nowhere", "--events", "no"], ["--events must be one of float32, int8, got 'no'"]),
        (["evaluate", "/nowhere"], ["/nowhere is not a run folder: no such folder"]),
        (["classify", "/nowhere"], ["/nowhere is not a run folder"]),
        (["translate", "/nowhere", "--beam", "1001"], ["--beam", "1000"]),
        (["energy", "/nowhere"], ["/nowhere is not a run folder"]),
        (["energy"], ["argument"]),
        (["energy", "~no-such-user/x"], ["no user 'no-such-user' for ~no-such-user/x; ./~no-such-user"]),
        (["train", "imdb", "--out", "~no-such-user/x"], ["no user 'no-such-user'"]),
        (["vectors", "~no-such-user/x", "--out", "x.txt"], ["~no-such-user/x: no such file or folder"]),
        (["train", "dvs128", "--data", "~no-such-user/x"], ["~no-such-user/x: no such folder"]),
        (["vectors", "sample", "--out", "a" * 256], ["a cannot be written: File name too long"]),
        (["train", "imdb", "--out", "a" * 256], ["a: File name too long"]),
        (["classify", "a" * 256], ["a/config.yaml: File name too long"]),
        (["train", "lm", "--data", "a" * 256], ["a: File name too long"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].islower() else None,
)  # fmt: skip
def test_arguments_that_cannot_be(cli, tmp_path, monkeypatch, args, parts):
    monkeypatch.chdir(tmp_path)
    message = refused(cli(*args))
    for part in parts:
        assert part in message
    runs = list((tmp_path / "runs").rglob("*")) if (tmp_path / "runs").exists() else []
    assert not any(path.name in ("metrics.json", "model.safetensors") for path in runs)


def test_a_gpu_that_is_not_there(cli, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refused(cli("train", "imdb", "--device", "cuda")).startswith(
        "--device cuda: there is no usable GPU"
    )


PARQUET = pa.BufferOutputStream()
pa.parquet.write_table(pa.table({"text": ["a", "b"] * 9, "label": [0, 1] * 9}), PARQUET)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "empty.csv"),
        ("header.csv", b"text,label\n", "holds no rows"),
        ("latin.csv", "text,label\nschön,1\n".encode("latin-1"), "not UTF-8"),
        ("column.csv", b"review,label\na,1\n", "no column 'text'; the columns are 'review', 'label'"),
        ("one.csv", b"text,label\na,1\nb,1\n", "one class only"),
        ("empty.jsonl", b"", "holds no rows"),
        ("broken.jsonl", b'{"text": "a", "label"', "line 1: malformed JSON"),
        ("cut.parquet", PARQUET.getvalue().to_pybytes()[:300], "not a readable parquet"),
        ("empty.parquet", b"", "not a readable parquet"),
        ("text.txt", b"a film", "unknown extension '.txt'"),
    ],
)
def test_data_that_cannot_be(cli, tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    for out in ("a", "a"):  # the folder that is left does not stand in the way of --resume
        found = refused(cli("train", "imdb", "--data", tmp_path / name, "--out", tmp_path / out, "--resume"))
        assert message in found and name in found


def test_a_mistyped_path_leaves_nothing_in_the_way(cli, tmp_path):
    right = write_rows(tmp_path / "mine.csv")
    train = ("train", "imdb", "--model", "bow", "--out", tmp_path / "run", *sets(quick("bow")))
    assert "no such file" in refused(cli(*train, "--data", tmp_path / "mien.csv"))
    assert not (tmp_path / "run").exists()
    assert cli(*train, "--data", right).code == 0


def test_a_training_that_diverges_says_so(cli, tmp_path):
    data = write_rows(tmp_path / "mine.csv")
    steep = quick("snn", **{"data.vectors": None, "data.min_frequency": 1, "train.learning_rate": "1.0e+30"})
    found = refused(cli("train", "imdb", "--data", data, "--out", tmp_path / "run", *sets(steep)))
    assert "the loss is" in found and "try a smaller train.learning_rate" in found


@pytest.mark.parametrize(
    "name", ["config.yaml", "metrics.json", "vocab.json", "classes.json", "model.safetensors"]
)
@pytest.mark.parametrize("damage", ["empty", "cut", "binary", "gone"])
def test_run_folders_that_are_damaged(cli, copy, name, damage):
    content = (copy / name).read_bytes()
    damaged = {"empty": b"", "cut": content[: len(content) // 2], "binary": os.urandom(100) + b"\xff"}.get(
        damage
    )
    (copy / name).unlink() if damaged is None else (copy / name).write_bytes(damaged)
    commands = [["classify", copy], ["evaluate", copy], ["energy", copy, "--data", "sample"]]
    if name == "metrics.json":
        commands = [["energy", copy]]
    for args in commands:
        assert name in refused(cli(*args, stdin=b"text"))


def test_a_checkpoint_of_another_model(cli, text_runs, copy):
    before_manifests(copy)
    shutil.copy(text_runs / "gru" / "model.safetensors", copy)
    assert "is of another model than" in refused(cli("classify", copy, stdin=b"text"))


def test_an_unfinished_run(cli, copy):
    before_manifests(copy)
    (copy / "metrics.json").unlink()
    assert "not finished; go on with --resume" in refused(cli("energy", copy))


def test_wrong_arguments_of_other_commands(cli, text_runs, tmp_path):
    message = refused(cli("evaluate", text_runs / "snn", "--split", "dev"))
    assert message == "--split must be one of train, validation, test, got 'dev'"
    trace = refused(cli("classify", text_runs / "snn", "--trace", "x.gif", stdin=b"a"))
    assert trace == "--trace takes a .png, .pdf or .svg file, got x.gif"
    png = tmp_path / "x.png"
    assert "'bow' has no membrane" in refused(cli("classify", text_runs / "bow", "--trace", png, stdin=b"a"))
    assert "first line" in refused(cli("classify", text_runs / "snn", "--trace", png))
    assert not png.exists()
    done = cli("classify", text_runs / "snn", stdin=b"good\n\xff\xfe\n")
    assert done.code == 2 and "standard input, line 2: byte 1 is 0xff, which is not UTF-8" in done.err
    assert len(done.out.splitlines()) == 1


def test_a_program_that_asks_for_json_gets_it_in_a_refusal(cli, text_runs):
    unknown = ["evaluate", text_runs / "snn", "--split", "x"]
    for args in (["classify", "/nowhere"], ["energy"], ["info", "--nonsense"], unknown):
        done = cli(*args, "--json")
        assert done.code == 2 and json.loads(done.out) == {
            "error": done.err.strip().removeprefix("spikeseq: ")
        }
    assert cli("classify", "/nowhere").out == ""


def test_an_unforeseen_error_is_one_line_too_and_can_be_looked_into(cli, text_runs, monkeypatch):
    def fails(*args):
        raise KeyError("strange")

    monkeypatch.setattr("spikeseq.recipes.runs.load", fails)
    assert refused(cli("classify", text_runs / "snn", stdin=b"a")) == "KeyError: 'strange'"
    monkeypatch.setenv("SPIKESEQ_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli("classify", text_runs / "snn", stdin=b"a")
