import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from matplotlib import image
from recipe_case import MODELS, quick, refused, rows, sets, write_rows

from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
SPIKESEQ = str(Path(sys.executable).with_name("spikeseq"))


@pytest.fixture(scope="module")
def runs(training):
    """One finished run of each model on texts of three classes."""
    data = write_rows(training / "mine.csv")
    for model in MODELS:
        settings = quick(model, **{"data.vectors": None, "data.min_frequency": 1})
        train(load_config("imdb", model=model, data=str(data), overrides=settings), training / model)
    return training


@pytest.fixture
def copy(runs, tmp_path):
    """A finished run that may be damaged."""
    return Path(shutil.copytree(runs / "snn", tmp_path / "copy"))


# What goes well


def test_train_prints_one_object_and_a_table(cli, tmp_path):
    out = tmp_path / "runs"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = cli("train", "imdb", "--model", "lstm", *sets(quick("lstm")), "--out", out / "lstm")
        done = cli("train", "imdb", *sets(quick()), "--out", out / "snn", "--json")
    assert first.code == 0 and first.out == ""
    assert done.code == 0 and done.out.count("\n") == 1
    metrics = json.loads(done.out)
    assert metrics == json.loads((out / "snn" / "metrics.json").read_text())
    assert metrics["model"] == "snn" and metrics["epochs"] == 2
    assert "imdb on sample, test split, seed 1" in done.err
    for word in ("snn", "lstm", "test %", "shuffled", "parameters", "MAC/token", "nJ/token", "epoch 2: loss"):
        assert word in done.err, word
    assert "…" not in done.err and "Warning" not in done.err
    assert max(map(len, done.err.replace(str(out), "").splitlines())) <= 80
    assert image.imread(out / "snn" / "learning.png").size


def test_the_default_folder_is_named_after_recipe_model_and_seed(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = cli("train", "imdb", "--model", "bow", *sets(quick("bow")), "--seed", 4)
    assert done.code == 0 and (tmp_path / "runs" / "imdb-bow-4" / "metrics.json").exists()
    again = cli("train", "imdb", "--model", "bow", *sets(quick("bow")), "--seed", 4)
    assert "exists; go on with --resume" in refused(again)
    finished = cli("train", "imdb", "--model", "bow", *sets(quick("bow")), "--seed", 4, "--resume", "--json")
    assert finished.code == 0 and json.loads(finished.out)["seed"] == 4 and "finished" in finished.err
    assert "epoch 1" not in finished.err


def test_evaluate(cli, runs, tmp_path):
    metrics = json.loads((runs / "snn" / "metrics.json").read_text())
    result = json.loads(cli("evaluate", runs / "snn", "--json").out)
    assert result["accuracy"] == metrics["test"]["accuracy"]
    assert result["accuracy_shuffled"] == metrics["test"]["accuracy_shuffled"]
    assert result["energy"] == metrics["energy"] and result["split"] == "test"
    other = write_rows(tmp_path / "other.jsonl", rows(9))
    done = cli("evaluate", runs / "snn", "--data", other, "--split", "train")
    assert done.code == 0 and "data: other\nsplit: train\naccuracy: " in done.out and "nJ" in done.out


@pytest.mark.parametrize("model", MODELS)
def test_classify_gives_a_line_for_a_line(cli, runs, model):
    texts = [
        "film 1 was superb",
        "",
        "   ",
        "üüü 🎉",
        "film 2 was awful",
        "film " * 400,
        "last without an end",
    ]
    done = cli("classify", runs / model, stdin="\n".join(texts).encode())
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert len(lines) == len(texts)
    assert all(re.fullmatch(r"(bad|good|mixed)\t[01]\.\d{4}", line) for line in lines)
    result = json.loads(cli("classify", runs / model, "--json", stdin="\r\n".join(texts).encode()).out)
    for line, found in zip(lines, result["results"], strict=True):
        assert line == f"{found['label']}\t{found['score']:.4f}"
        assert list(found["scores"]) == ["bad", "good", "mixed"]
    assert cli("classify", runs / model).out == ""
    assert json.loads(cli("classify", runs / model, "--json").out) == {"results": []}


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PDF"])
def test_classify_draws_the_first_line(cli, runs, tmp_path, suffix):
    path = tmp_path / f"trace{suffix}"
    done = cli("classify", runs / "snn", "--trace", path, stdin=b"film 1 was superb\nfilm 2")
    assert done.code == 0 and len(done.out.splitlines()) == 2 and f"wrote {path}" in done.err
    assert path.stat().st_size > 1000
    if suffix == ".svg":
        assert "superb" in path.read_text()


def test_energy_side_by_side(cli, runs, tmp_path):
    done = cli("energy", runs / "snn", runs / "lstm", "--json")
    found = json.loads(done.out)["runs"]
    assert list(found) == [str(runs / "snn"), str(runs / "lstm")]
    assert found[str(runs / "lstm")]["acs"] == 0 < found[str(runs / "snn")]["acs"]
    tables = json.loads(done.out)["tables"]["imdb"]
    names = [row["model"] for row in tables["compute"]]
    assert names == ["snn", "snn, folded", "lstm", "lstm, folded", "lstm, int8", "thesis 6.8: rnn",
                     "thesis 6.8: lstm", "thesis 6.8: snn"]  # fmt: skip
    assert tables["compute"][6]["times"] == "17.57 (42.1)" and tables["compute"][0]["times"] == "1.00"
    assert float(tables["compute"][1]["MACs"]) < float(tables["compute"][0]["MACs"])
    assert "thesis 6.8: snn" in done.err and "DRAM" in done.err
    prices = tmp_path / "mine.yaml"
    prices.write_text("updates: 1000\n")
    again = json.loads(cli("energy", runs / "snn", "--prices", prices, "--json").out)["tables"]["imdb"]
    assert again["full"][0]["by mine"] == again["full"][0]["updates"] + ".00"
    assert "energy model must be" in refused(cli("energy", runs / "snn", "--prices", "nothing"))
    other = write_rows(tmp_path / "other.jsonl", rows(9))
    measured = json.loads(cli("energy", runs / "snn", "--data", other, "--json").out)["runs"]
    assert measured[str(runs / "snn")]["acs"] != found[str(runs / "snn")]["acs"]


def test_info(cli):
    done = cli("info", "--json")
    found = json.loads(done.out)
    assert (
        found["spikeseq"] and found["torch"] == torch.__version__ and found["backend"] in ("auto", "native")
    )
    assert "cpu" in found["native"]
    assert "torch: " in cli("info").out


def test_help(cli):
    for args in ([], ["--help"], ["train", "--help"]):
        done = cli(*args)
        assert done.code == 0 and "Usage: spikeseq" in done.out and done.err == ""
    done = cli("train", "--help")
    for option in (
        "--model",
        "--data",
        "--epochs",
        "--seed",
        "--out",
        "--resume",
        "--device",
        "--set",
        "--json",
    ):
        assert option in done.out


# What the user can mend: one line and exit status 2


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
        (["energy", "/nowhere"], ["/nowhere is not a run folder"]),
        (["energy"], ["argument"]),
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


def test_a_checkpoint_of_another_model(cli, runs, copy):
    shutil.copy(runs / "gru" / "model.safetensors", copy)
    assert "is of another model than" in refused(cli("classify", copy, stdin=b"text"))


def test_an_unfinished_run(cli, copy):
    (copy / "metrics.json").unlink()
    assert "not finished; go on with --resume" in refused(cli("energy", copy))


def test_wrong_arguments_of_other_commands(cli, runs, tmp_path):
    message = refused(cli("evaluate", runs / "snn", "--split", "dev"))
    assert message == "--split must be one of train, validation, test, got 'dev'"
    trace = refused(cli("classify", runs / "snn", "--trace", "x.gif", stdin=b"a"))
    assert trace == "--trace takes a .png, .pdf or .svg file, got x.gif"
    png = tmp_path / "x.png"
    assert "'bow' has no membrane" in refused(cli("classify", runs / "bow", "--trace", png, stdin=b"a"))
    assert "first line" in refused(cli("classify", runs / "snn", "--trace", png))
    assert not png.exists()
    done = cli("classify", runs / "snn", stdin=b"good\n\xff\xfe\n")
    assert done.code == 2 and "standard input, line 2: byte 1 is 0xff, which is not UTF-8" in done.err
    assert len(done.out.splitlines()) == 1


def test_a_program_that_asks_for_json_gets_it_in_a_refusal(cli, runs):
    unknown = ["evaluate", runs / "snn", "--split", "x"]
    for args in (["classify", "/nowhere"], ["energy"], ["info", "--nonsense"], unknown):
        done = cli(*args, "--json")
        assert done.code == 2 and json.loads(done.out) == {
            "error": done.err.strip().removeprefix("spikeseq: ")
        }
    assert cli("classify", "/nowhere").out == ""


def test_an_unforeseen_error_is_one_line_too_and_can_be_looked_into(cli, runs, monkeypatch):
    def fails(*args):
        raise KeyError("strange")

    monkeypatch.setattr("spikeseq.recipes.runs.load", fails)
    assert refused(cli("classify", runs / "snn", stdin=b"a")) == "KeyError: 'strange'"
    monkeypatch.setenv("SPIKESEQ_TRACEBACK", "1")
    with pytest.raises(KeyError):
        cli("classify", runs / "snn", stdin=b"a")


# In a process of its own


def start(*args, **options):
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([SPIKESEQ, *map(str, args)], **piped | options)


def test_classify_streams_and_a_closed_pipe_is_no_error(runs):
    process = start("classify", runs / "snn", bufsize=0)
    for text in (b"film 1\n", b"film 2\n"):
        process.stdin.write(text)
        assert process.stdout.readline().count(b"\t") == 1  # before the next line is sent
    process.stdout.close()
    process.stdin.write(b"film 3\n" * 20)
    process.stdin.close()
    assert process.wait(60) == 0 and process.stderr.read() == b""
    process.stderr.close()


def test_ctrl_c_in_the_middle_of_an_epoch(cli, tmp_path):
    settings = sets(quick(**{"train.epochs": 400, "train.patience": 0}))
    process = start("train", "imdb", *settings, "--out", tmp_path / "run", "--device", "cpu", text=True)
    while not (tmp_path / "run" / "log.jsonl").exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and "Traceback" not in err and err.splitlines()[-1] == "spikeseq: interrupted"
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"config.yaml", "vocab.json", "classes.json", "resume.pt", "log.jsonl", "tensorboard"}
    done = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["epoch"]
    assert 1 <= done < 400
    state = torch.load(tmp_path / "run" / "resume.pt", weights_only=True)["state"]
    assert state["epoch"] == done


BLOCKED = """
    import sys
    for name in ("accelerate", "typer", "click", "matplotlib", "spacy", "omegaconf", "rich", "gensim",
                 "pyarrow", "datasets", "tensorboard", "torchtext", "pandas"):
        sys.modules[name] = None
    import torch
    import spikeseq, spikeseq.models, spikeseq.tokenizers, spikeseq.evaluation
    model = spikeseq.models.SpikingClassifier(9)
    inputs = torch.ones(3, 1, dtype=torch.int64), torch.tensor([3])
    spikeseq.evaluation.measure_energy(model, [inputs], tokens=3)
    try:
        spikeseq.load("run")
    except (ImportError, ValueError) as error:  # a folder that is none is told without any of them
        assert "spikeseq[recipes]" in str(error) or "is not a run folder" in str(error), error
    from spikeseq.cli import main
    sys.argv = ["spikeseq", "info"]
    main()
"""


def test_the_core_needs_none_of_the_extra_packages():
    code = "\n".join(line[4:] for line in BLOCKED.splitlines())
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(
        r"spikeseq: the command line needs more packages \(.*\): pip install 'spikeseq\[recipes\]'\n",
        done.stderr,
    )


def test_ctrl_c_while_objects_are_cleared_up_is_not_lost(cli, monkeypatch):
    class Cleared:
        def __del__(self):
            raise KeyboardInterrupt

    def app(**options):
        Cleared()
        time.sleep(5)

    monkeypatch.setattr("spikeseq.recipes.command.app.app", app)
    hook, started = sys.unraisablehook, time.monotonic()
    assert cli("info").code == 130
    assert time.monotonic() - started < 4 and sys.unraisablehook is hook
