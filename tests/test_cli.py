"""The command line where all goes well, and in a process of its own: streams, pipes, Ctrl-C."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from matplotlib import image
from recipe_case import MODELS, quick, refused, rows, sets, write_rows

from spikeseq.evaluation.reliability.filters import ODD
from spikeseq.recipes import resume

pytestmark = pytest.mark.usefixtures("cache")
SPIKESEQ = str(Path(sys.executable).with_name("spikeseq"))


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


def test_evaluate(cli, text_runs, tmp_path):
    metrics = json.loads((text_runs / "snn" / "metrics.json").read_text())
    result = json.loads(cli("evaluate", text_runs / "snn", "--json").out)
    assert result["accuracy"] == metrics["test"]["accuracy"]
    assert result["accuracy_shuffled"] == metrics["test"]["accuracy_shuffled"]
    assert result["energy"] == metrics["energy"] and result["split"] == "test"
    other = write_rows(tmp_path / "other.jsonl", rows(9))
    done = cli("evaluate", text_runs / "snn", "--data", other, "--split", "train")
    assert done.code == 0 and "data: other\nsplit: train\naccuracy: " in done.out and "nJ" in done.out


@pytest.mark.parametrize("model", MODELS)
def test_classify_gives_a_line_for_a_line(cli, text_runs, model):
    texts = [
        "film 1 was superb",
        "",
        "   ",
        "üüü 🎉",
        "film 2 was awful",
        "film " * 400,
        "last without an end",
    ]
    done = cli("classify", text_runs / model, stdin="\n".join(texts).encode())
    assert done.code == 0 and done.err == ""
    lines = done.out.splitlines()
    assert len(lines) == len(texts)
    assert all(re.fullmatch(r"(bad|good|mixed)\t[01]\.\d{4}", line) for line in lines)
    result = json.loads(cli("classify", text_runs / model, "--json", stdin="\r\n".join(texts).encode()).out)
    for line, found in zip(lines, result["results"], strict=True):
        assert line == f"{found['label']}\t{found['score']:.4f}"
        assert list(found["scores"]) == ["bad", "good", "mixed"]
    assert cli("classify", text_runs / model).out == ""
    assert json.loads(cli("classify", text_runs / model, "--json").out) == {"results": []}


def test_classify_answers_whatever_is_in_a_line(cli, text_runs):
    done = cli("classify", text_runs / "snn", stdin=b"\n".join([*ODD, b"superb " * 40_000]))
    assert (done.code, done.err, done.out.count("\n")) == (0, "", len(ODD) + 1)


@pytest.mark.parametrize("suffix", [".png", ".svg", ".PDF"])
def test_classify_draws_the_first_line(cli, text_runs, tmp_path, suffix):
    path = tmp_path / f"trace{suffix}"
    done = cli("classify", text_runs / "snn", "--trace", path, stdin=b"film 1 was superb\nfilm 2")
    assert done.code == 0 and len(done.out.splitlines()) == 2 and f"wrote {path}" in done.err
    assert path.stat().st_size > 1000
    if suffix == ".svg":
        assert "superb" in path.read_text()


def test_energy_side_by_side(cli, text_runs, tmp_path):
    done = cli("energy", text_runs / "snn", text_runs / "lstm", "--json")
    found = json.loads(done.out)["runs"]
    assert list(found) == [str(text_runs / "snn"), str(text_runs / "lstm")]
    assert found[str(text_runs / "lstm")]["acs"] == 0 < found[str(text_runs / "snn")]["acs"]
    tables = json.loads(done.out)["tables"]["imdb"]
    names = [row["model"] for row in tables["compute"]]
    assert names == ["snn", "snn, folded", "lstm", "lstm, folded", "lstm, int8", "thesis 6.8: rnn",
                     "thesis 6.8: lstm", "thesis 6.8: snn"]  # fmt: skip
    assert tables["compute"][6]["times"] == "17.57 (42.1)" and tables["compute"][0]["times"] == "1.00"
    assert float(tables["compute"][1]["MACs"]) < float(tables["compute"][0]["MACs"])
    assert "thesis 6.8: snn" in done.err and "DRAM" in done.err
    prices = tmp_path / "mine.yaml"
    prices.write_text("updates: 1000\n")
    again = json.loads(cli("energy", text_runs / "snn", "--prices", prices, "--json").out)["tables"]["imdb"]
    assert again["full"][0]["by mine"] == again["full"][0]["updates"] + ".00"
    assert "energy model must be" in refused(cli("energy", text_runs / "snn", "--prices", "nothing"))
    other = write_rows(tmp_path / "other.jsonl", rows(9))
    measured = json.loads(cli("energy", text_runs / "snn", "--data", other, "--json").out)["runs"]
    assert measured[str(text_runs / "snn")]["acs"] != found[str(text_runs / "snn")]["acs"]


def test_the_frontier_is_marked_and_drawn(cli, text_runs, tmp_path):
    place = tmp_path / "frontier.png"
    done = cli("energy", text_runs / "snn", text_runs / "lstm", "--frontier", place, "--json")
    lines = json.loads(done.out)["tables"]["imdb"]["frontier"]
    assert len(lines) == 5 and place.stat().st_size > 5000 and f"wrote {place}" in done.err
    nj = [float(line["8KB"].rstrip(" *").replace(",", "")) for line in lines]
    assert nj == sorted(nj) and lines[0]["8KB"].endswith("*")
    best = max(float(line["score"]) for line in lines)
    cheapest_best = next(line for line in lines if float(line["score"]) == best)
    assert cheapest_best["8KB"].endswith("*")
    assert not any(line["8KB"].endswith("*") for line in lines[lines.index(cheapest_best) + 1 :])
    assert ".png, .pdf or .svg" in refused(cli("energy", text_runs / "snn", "--frontier", tmp_path / "x.txt"))


def test_joules_are_measured_where_there_is_a_counter(cli, text_runs, tmp_path, monkeypatch):
    from spikeseq.evaluation import power

    monkeypatch.setattr(power, "ROOT", tmp_path / "powercap")
    assert "shows no energy that could be measured" in refused(cli("energy", text_runs / "snn", "--measure"))
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, content in (("name", "package-0"), ("max_energy_range_uj", "99"), ("energy_uj", "5")):
        (zone / name).write_text(content)
    monkeypatch.setattr(power.measure, "__kwdefaults__", {**power.measure.__kwdefaults__, "seconds": 0.01})
    done = cli("energy", text_runs / "snn", "--measure", "--json")
    found = json.loads(done.out)["measured"][str(text_runs / "snn")]
    assert found["zones"] == ["package-0"] and found["calls"] >= 5
    assert "measured on this machine: 0 J a sentence" in done.err


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


# In a process of its own


def start(*args, **options):
    piped = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([SPIKESEQ, *map(str, args)], **piped | options)


def test_classify_streams_and_a_closed_pipe_is_no_error(text_runs):
    process = start("classify", text_runs / "snn", bufsize=0)
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
    left = {path.name for path in (tmp_path / "run").iterdir()} - {"resume.previous.pt"}  # from epoch 2 on
    assert left == {"config.yaml", "vocab.json", "classes.json", "resume.pt", "log.jsonl", "tensorboard"}
    done = json.loads((tmp_path / "run" / "log.jsonl").read_text().splitlines()[-1])["epoch"]
    assert 1 <= done < 400
    state = resume.read(tmp_path / "run" / "resume.pt")["state"]
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
    from spikeseq.recipes.command import commands, export, filters  # noqa: F401  which join the app that is replaced

    class Cleared:
        def __del__(self):
            raise KeyboardInterrupt

    def app(**options):
        Cleared()
        time.sleep(5)

    monkeypatch.setattr("spikeseq.recipes.command.app.app", app)
    hook, started = sys.unraisablehook, time.monotonic()
    assert cli("info").code == 130
    assert time.monotonic() - started < 4.5 and sys.unraisablehook is hook


def test_version_and_completion(cli):
    import spikeseq

    told = cli("--version")
    assert (told.code, told.out, told.err) == (0, f"{spikeseq.__version__}\n", "")
    asked = {"_SPIKESEQ_COMPLETE": "complete_bash", "COMP_WORDS": "spikeseq train im", "COMP_CWORD": "2"}
    done = subprocess.run([SPIKESEQ], env={**os.environ, **asked}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["imdb", "imdb-bytes", "imagenette", "imagenet"]
