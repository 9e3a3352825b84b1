import errno
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import textwrap

import pytest
import torch
from accelerate.state import AcceleratorState
from omegaconf import OmegaConf
from recipe_case import MODELS, quick, rows, write_rows
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from spikeseq.recipes import engine
from spikeseq.recipes.comparison import neighbours
from spikeseq.recipes.config import load_config
from spikeseq.recipes.runs import METRICS, RunError
from spikeseq.recipes.shared.texts.data import load_text_data
from spikeseq.recipes.text.task import TextTask
from spikeseq.recipes.train import train

pytestmark = pytest.mark.usefixtures("cache")
FILES = {
    "config.yaml",
    "classes.json",
    "vocab.json",
    "log.jsonl",
    "manifest.json",
    "model.safetensors",
    "metrics.json",
    "tensorboard",
}


def config(model="snn", data="sample", seed=1, **changes):
    return load_config("imdb", model=model, data=str(data), seed=seed, overrides=quick(model, **changes))


def result(folder):
    """What must be equal however a run came to its end."""
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["seconds"]
    weights = {name: tensor.tolist() for name, tensor in load_file(folder / "model.safetensors").items()}
    return weights, [(record["epoch"], record["loss"], record["validation"]) for record in log], metrics


def left_over(folder):
    return [path.name for path in folder.rglob("*") if path.name.startswith(".")]


@pytest.mark.parametrize("model", MODELS)
def test_a_run_folder_holds_everything(tmp_path, model):
    said = []
    metrics = train(config(model), tmp_path / "run", say=said.append)
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics
    assert metrics.keys() >= set(METRICS)
    assert (metrics["recipe"], metrics["model"], metrics["data"], metrics["seed"]) == (
        "imdb",
        model,
        "sample",
        1,
    )
    assert metrics["epochs"] == 2 and metrics["best_epoch"] in (1, 2)
    assert metrics["texts"] == {"train": 108, "validation": 12, "test": 120}
    assert 0 <= metrics["test"]["accuracy"] <= 100 and 0 <= metrics["test"]["accuracy_shuffled"] <= 100
    energy = metrics["energy"]
    assert energy["picojoules"] == pytest.approx(4.6 * energy["macs"] + 0.9 * energy["acs"])
    assert energy["not_counted"] == [] and metrics["spike_rate"] == energy["spike_rate"]
    assert (energy["spike_rate"] is None) == (model != "snn") == (energy["acs"] == 0)
    table = 8 * len(json.loads((tmp_path / "run" / "vocab.json").read_text())["tokens"])
    embedding = 0 if model == "bow" else table
    assert metrics["parameters"] - embedding == metrics["parameters_without_embeddings"]
    assert metrics["seconds"].keys() == {"train", "test"} and "torch" in metrics["hardware"]
    assert OmegaConf.load(tmp_path / "run" / "config.yaml") == config(model)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"loss/train", "validation/score", "validation/accuracy"}
    assert [event.step for event in events.Scalars("loss/train")] == [1, 2]
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [event.value for event in events.Scalars("loss/train")] == pytest.approx([r["loss"] for r in log])


@pytest.mark.parametrize(
    ("suffix", "epochs", "least"), [(".csv", 20, 75), (".jsonl", 1, 0), (".parquet", 1, 0)]
)
def test_a_users_own_three_classes(tmp_path, suffix, epochs, least):
    if suffix == ".parquet":
        data = tmp_path / "mine"
        write_rows(data / "train.parquet", rows(48))
        write_rows(data / "test.parquet", rows(12))
    else:
        data = write_rows(tmp_path / f"mine{suffix}", rows(60))
    changes = {"data.limit": None, "data.vectors": None, "data.min_frequency": 1, "train.epochs": epochs}
    changes |= {"train.learning_rate": 0.05, "model.embedding_dropout": 0.0, "train.patience": 0}
    metrics = train(config("snn", data, **changes), tmp_path / "run")
    assert metrics["data"] == "mine" and metrics["test"]["accuracy"] >= least
    assert json.loads((tmp_path / "run" / "classes.json").read_text()) == ["bad", "good", "mixed"]


def test_an_existing_folder_is_not_overwritten(tmp_path):
    train(config(), tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run").glob("*.*")}
    with pytest.raises(RunError, match="exists; go on with --resume, or choose another --out"):
        train(config(), tmp_path / "run")
    with pytest.raises(
        RunError, match=r"was started with train\.epochs=2, now it is 3; --resume needs the same"
    ):
        train(config(**{"train.epochs": 3}), tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"was started with model\.name=snn, now it is lstm"):
        train(config("lstm"), tmp_path / "run", resume=True)
    with pytest.raises(
        RunError, match=r"was started with recipe=imdb, now it is lm; --resume needs the same"
    ):
        train(load_config("lm", model="lstm"), tmp_path / "run", resume=True)
    assert {path: path.read_bytes() for path in (tmp_path / "run").glob("*.*")} == before
    (tmp_path / "file").write_text("x")
    for resume in (False, True):
        with pytest.raises(RunError, match="file"):
            train(config(), tmp_path / "file", resume=resume)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("mine")
    with pytest.raises(RunError, match=r"home is not a run folder: it has no config\.yaml"):
        train(config(), tmp_path / "home", resume=True)
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["letter.txt"]


def test_a_finished_run_is_not_trained_again(tmp_path, monkeypatch):
    metrics = train(config(), tmp_path / "run")
    monkeypatch.setattr(engine, "fit", None)
    said = []
    assert train(config(), tmp_path / "run", resume=True, say=said.append) == metrics
    assert said == [f"{tmp_path / 'run'} is finished"]


def test_a_finished_run_whose_metrics_are_gone_is_not_trained_again(tmp_path, monkeypatch):
    train(config(), tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    monkeypatch.setattr(engine, "fit", None)
    with pytest.raises(RunError, match=r"metrics\.json is missing; manifest\.json lists it: put it back"):
        train(config(), tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "manifest.json").exists()


def test_an_empty_folder_and_a_missing_one_can_be_resumed(tmp_path):
    (tmp_path / "empty").mkdir()
    train(config(), tmp_path / "empty", resume=True)
    train(config(), tmp_path / "deep" / "missing", resume=True)
    assert result(tmp_path / "empty")[:2] == result(tmp_path / "deep" / "missing")[:2]


def test_interrupted_at_every_file_and_resumed(tmp_path, monkeypatch):
    """Each file of a run is written once more beside and renamed: the process dies before each renaming."""
    train(config(), tmp_path / "whole")
    expected, replace = result(tmp_path / "whole"), os.replace
    for number in range(100):
        folder, count = tmp_path / str(number), iter(range(100))

        def dies(source, target, number=number, count=count, folder=folder):
            if folder in target.parents and next(count) == number:
                raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", dies)
        try:
            train(config(), folder)
        except KeyboardInterrupt:
            monkeypatch.setattr(os, "replace", replace)
            assert not (folder / "metrics.json").exists() and not left_over(folder)
            train(config(), folder, resume=True)
            assert result(folder) == expected, number
        else:
            break
    assert (
        number == 11
    )  # config, vocabulary, classes, twice resume file and log, the former, model, manifest, metrics


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from spikeseq.recipes.config import load_config
    from spikeseq.recipes.engine import Progress
    from spikeseq.recipes.train import train

    steps = 0

    def step(loss, what):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

    train(load_config("imdb", overrides=sys.argv[3:]), Path(sys.argv[1]), progress=Progress(step=step))
"""


def test_killed_in_the_second_epoch_and_resumed(tmp_path):
    changes = {"train.epochs": 3, "train.patience": 0}
    train(config(**changes), tmp_path / "whole")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), str(tmp_path / "killed"), "11"]
    environment = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [*command, *quick(**changes)], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len((tmp_path / "killed" / "log.jsonl").read_text().splitlines()) == 1
    assert not (tmp_path / "killed" / "metrics.json").exists()
    train(config(**changes), tmp_path / "killed", resume=True)
    assert result(tmp_path / "killed") == result(tmp_path / "whole")
    assert not (tmp_path / "killed" / "resume.pt").exists()


@pytest.mark.parametrize("write", [2, 4, 8, 9])
def test_a_full_disk_leaves_the_former_files(tmp_path, monkeypatch, write):
    sync, count = os.fsync, iter(range(100))

    def full(descriptor):
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and next(count) == write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    folder = tmp_path / "run"
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write .*run/.*: No space left on device"):
        train(config(), folder)
    monkeypatch.setattr(os, "fsync", sync)
    assert not left_over(folder) and not (folder / "metrics.json").exists()
    train(config(), folder, resume=True)
    train(config(), tmp_path / "whole")
    assert result(folder) == result(tmp_path / "whole")


def test_a_limit_on_the_size_of_files(tmp_path):
    """As a disk that fills up inside a file: the system itself refuses to write on."""
    train(config(), tmp_path / "first")  # its corpus is in the cache now
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12_000, hard))
    try:
        with pytest.raises(OSError, match=r"cannot write .*resume\.pt: File too large"):
            train(config(), tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not left_over(tmp_path / "run") and not (tmp_path / "run" / "resume.pt").exists()
    train(config(), tmp_path / "run", resume=True)
    assert result(tmp_path / "run") == result(tmp_path / "first")


def test_early_stopping(tmp_path):
    changes = {"train.epochs": 9, "train.patience": 2, "train.learning_rate": 1e-9}
    metrics = train(config(**changes), tmp_path / "run")
    assert metrics["epochs"] == 3 and metrics["best_epoch"] == 1


def test_seeds(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(config(seed=seed), tmp_path / name)
    assert result(tmp_path / "a") == result(tmp_path / "b")
    assert result(tmp_path / "a")[0] != result(tmp_path / "c")[0]


def test_files_can_be_read_by_others(tmp_path):
    """Permissions are the usual ones, not those of a temporary file."""
    old = os.umask(0o022)
    try:
        train(config("bow"), tmp_path / "run")
    finally:
        os.umask(old)
    for name in FILES - {"tensorboard"}:
        assert (tmp_path / "run" / name).stat().st_mode & 0o777 == 0o644


def test_neighbours_are_runs_on_the_same_texts_and_seed(tmp_path):
    metrics = {name: train(config(name), tmp_path / name) for name in ("lstm", "bow")}
    train(config("bow", seed=2), tmp_path / "other-seed")
    train(config("bow", **{"data.limit": 60}), tmp_path / "other-texts")
    for name, content in {"damaged": "{", "no-run": '{"recipe": "imdb"}', "binary": b"\xff"}.items():
        (tmp_path / name).mkdir()
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name / "metrics.json").write_bytes(data)
    (tmp_path / "odd" / "metrics.json").mkdir(parents=True)
    (tmp_path / "a-file").write_text("x")
    found = neighbours(tmp_path / "bow", metrics["bow"])
    assert sorted(row["model"] for row in found) == sorted(row["run"] for row in found) == ["bow", "lstm"]
    accuracies = [row["test"]["accuracy"] for row in found]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_test_split_is_read_once(tmp_path, monkeypatch):
    """While a model is trained and selected, only training and validation texts are looked at."""
    seen = []
    accuracy = TextTask.accuracy

    def spy(self, model, split, device, shuffled=None):
        seen.append((split, shuffled))
        return accuracy(self, model, split, device, shuffled)

    monkeypatch.setattr(TextTask, "accuracy", spy)
    train(config("bow"), tmp_path / "run")
    assert seen == [("validation", None)] * 2 + [("test", None), ("test", 1)]


def test_texts_are_split_as_the_data_module_says(tmp_path):
    path = write_rows(tmp_path / "mine.csv")
    metrics = train(config("bow", path, **{"data.min_frequency": 1}), tmp_path / "run")
    data = load_text_data(path, limit=120)
    assert metrics["texts"]["test"] == len(data.test.texts)
    assert sum(metrics["texts"].values()) == 60


def test_the_device_is_taken_at_its_word(tmp_path):
    train(config("bow"), tmp_path / "run", device="cpu")
    assert AcceleratorState().device.type == "cpu"


def test_data_that_changed_between_start_and_resume(tmp_path, monkeypatch):
    data, folder = write_rows(tmp_path / "mine.csv"), tmp_path / "run"
    changes = {"data.vectors": None, "data.min_frequency": 1}
    monkeypatch.setattr(TextTask, "validate", stops := Stops(TextTask.validate))
    with pytest.raises(KeyboardInterrupt):
        train(config(data=data, **changes), folder)
    whole = data.read_text()
    data.write_text(whole.replace("superb", "splendid"))
    why = (
        r"run/vocab\.json is of other data than the run would go on with: .*mine\.csv has changed since; give"
    )
    with pytest.raises(RunError, match=why):
        train(config(data=data, **changes), folder, resume=True)
    data.write_text(whole)
    assert train(config(data=data, **changes), folder, resume=True)["epochs"] == 2
    assert stops.calls == 2 + 1


class Stops:
    """A method that is interrupted the second time."""

    def __init__(self, method):
        self.method, self.calls = method, 0

    def __get__(self, task, _):
        def call(*arguments):
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return self.method(task, *arguments)

        return call
