"""One training a run folder (case 4.14), with real processes."""

import subprocess
import sys

import pytest
from recipe_case import quick, refused, sets

from spikeseq.recipes import lock
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.runs import RunError, finished
from spikeseq.recipes.train import train

pytestmark = pytest.mark.skipif(lock.fcntl is None, reason="a system without file locks")
HOLDER = """
import pathlib, sys, time
from spikeseq.recipes.lock import held
with held(pathlib.Path(sys.argv[1]), print):
    print("held", flush=True)
    time.sleep(300)
"""


def started(folder, *options, settings):
    command = [sys.executable, "-m", "spikeseq.cli", "train", "imdb", "--model", "bow", "--out", folder]
    return subprocess.Popen(
        [*map(str, command), *settings, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_folder_in_training_is_in_use_until_its_process_ends(cli, tmp_path, cache):
    folder = tmp_path / "run"
    settings = quick("bow")
    call = ("train", "imdb", "--model", "bow", "--out", folder, *sets(settings))

    def others_are_refused(record=None):
        for option in ([], ["--resume"]):
            line = refused(cli(*call, *option))
            assert line == f"{folder} is in use: another training writes to it; choose another --out"
        assert "is not finished" in refused(cli("classify", folder, stdin=b"good\n"))
        if record:
            raise InterruptedError  # after the first of two epochs

    with pytest.raises(InterruptedError):
        train(
            load_config("imdb", model="bow", overrides=settings),
            folder,
            progress=Progress(end_epoch=others_are_refused),
        )
    assert (folder / "resume.pt").exists() and not (folder / ".lock").exists()
    with subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout.readline() == "held\n"
            others_are_refused()
        finally:
            other.kill()
    assert (folder / ".lock").exists()  # a file that nobody holds keeps nobody out
    done = cli(*call, "--resume")
    assert done.code == 0 and finished(folder)["epochs"] == 2, done.err
    assert not (folder / ".lock").exists()


def test_of_two_that_start_together_one_is_refused(tmp_path, cache):
    folder = tmp_path / "new" / "run"
    short = sets(quick("bow"))
    both = [started(folder, "--seed", seed, settings=short) for seed in ("1", "2")]
    ends = [(process.communicate(timeout=240)[1], process.returncode) for process in both]
    assert sorted(code for _, code in ends) == [0, 2], ends
    (last,) = [text.strip().splitlines()[-1] for text, code in ends if code == 2]
    assert last.startswith(f"spikeseq: {folder} ") and ("is in use" in last or "exists" in last)
    kept = 1 + [code for _, code in ends].index(0)
    assert finished(folder)["seed"] == kept


def test_a_lock_is_held_once_and_leaves_nothing(tmp_path):
    said = []
    with lock.held(tmp_path, said.append):
        with pytest.raises(RunError, match="is in use"), lock.held(tmp_path, said.append):
            pass
        assert [path.name for path in tmp_path.iterdir()] == [lock.LOCK_FILE]
    with lock.held(tmp_path, said.append):
        pass
    assert not list(tmp_path.iterdir()) and not said


def test_a_system_without_locks_says_so(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(lock, "fcntl", None)
    with lock.held(tmp_path, said.append), lock.held(tmp_path, said.append):
        assert said == [lock.NO_LOCKS] * 2


def test_a_lock_left_behind_is_no_folder_in_the_way(cli, tmp_path, cache):
    """A training may be killed before it wrote anything."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").touch()
    done = cli("train", "imdb", "--model", "bow", "--out", tmp_path / "run", *sets(quick("bow")))
    assert done.code == 0, done.err
