"""Commands where nothing more can be written: one line that says why, status 2, and nothing left behind."""

import contextlib
import os
import resource
import sys

import pytest
from recipe_case import quick

from spikeseq.recipes.config import load_config
from spikeseq.recipes.train import train

LIMIT = 600  # bytes of a file


@contextlib.contextmanager
def limited():
    """As on a disk that fills up inside a file: the system itself refuses to write on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def trained(training):
    """A finished run."""
    train(load_config("imdb", model="bow", overrides=quick("bow")), training / "run")
    return training / "run"


COMMANDS = {
    "report": ("report", "RUN", "--out", "r.html"),
    "nir": ("export", "SNN", "--to", "nir", "--lossy", "--out", "a.nir"),
    "onnx": ("export", "SNN", "--to", "onnx", "--out", "a.onnx"),
    "int8": ("export", "SNN", "--to", "int8", "--out", "small"),
    "hub": ("export", "SNN", "--to", "hub", "--out", "shared"),
    "training": ("train", "imdb", "--model", "bow", "--set", "data.limit=40", "--out", "new"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_limit_on_the_size_of_files(cli, cache, trained, text_runs, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    places = {"RUN": str(trained), "SNN": str(text_runs / "snn")}
    args = [places.get(part, part) for part in COMMANDS[name]]
    with limited():
        done = cli(*args)
    assert done.code == 2 and "Traceback" not in done.err, done
    last = done.err.strip().splitlines()[-1]
    assert last.startswith("spikeseq: ") and "File too large" in last and args[-1].split(".")[0] in last
    left = [path for path in tmp_path.rglob("*") if path.is_file() and "tensorboard" not in path.parts]
    assert all(path.parent.name == "new" and not path.name.startswith(".") for path in left), left
    if name == "training":
        done = cli(*args, "--resume")
        assert done.code in (0, None) and (tmp_path / "new" / "metrics.json").exists(), done


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize(
    "args",
    [
        ("energy", "RUN", "--json"),
        ("classify", "RUN"),
        ("classify", "RUN", "--json"),
    ],
    ids=" ".join,
)
def test_output_that_nobody_can_write(cli, trained, tmp_path, monkeypatch, args):
    monkeypatch.chdir(tmp_path)
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        done = cli(*[str(trained) if part == "RUN" else part for part in args], stdin=b"a film\n")
        monkeypatch.undo()
    assert done.code == 2, done
    assert done.err.splitlines()[-1] == "spikeseq: output cannot be written: No space left on device"
