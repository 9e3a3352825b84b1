"""One training a run folder (case 4.14), with real processes."""

import errno
import os
import shutil
import subprocess
import sys
from threading import Thread

import pytest
import torch
from recipe_case import quick, refused, sets

from spikeseq.files import clear_leftovers, write_whole
from spikeseq.recipes import folds, lock, resume
from spikeseq.recipes.config import load_config
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import write_log
from spikeseq.recipes.manifest import write_manifest
from spikeseq.recipes.runs import RunError, finished
from spikeseq.recipes.shared.pictures import save_weights
from spikeseq.recipes.train import train, written

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


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("away", ["moved", "removed"])
def test_a_training_whose_folder_went_away_ends_and_leaves_that_of_another_alone(tmp_path, cache, away):
    folder, found = tmp_path / "run", {}

    def another_takes_its_place(number, batches, what):
        if number == 1:
            folder.rename(tmp_path / "moved") if away == "moved" else shutil.rmtree(folder)
            other = load_config("imdb", model="bow", seed=2, overrides=quick("bow", train__epochs=1))
            thread = Thread(
                target=train, args=(other, folder)
            )  # as another process: nothing of ours holds there
            thread.start()
            thread.join()
            found.update(contents(folder))

    with pytest.raises(RunError, match=f"^{folder} is not the folder any more that this training began in"):
        train(
            load_config("imdb", model="bow", overrides=quick("bow")),
            folder,
            progress=Progress(start_epoch=another_takes_its_place),
        )
    assert finished(folder)["seed"] == 2 and contents(folder) == found
    if away == "moved":
        done = train(
            load_config("imdb", model="bow", overrides=quick("bow")), tmp_path / "moved", resume=True
        )
        assert done["epochs"] == 2


WRITES = {
    "a file": lambda folder: write_whole(folder / "test.hypotheses", "x"),
    "the log": lambda folder: write_log(folder, []),
    "the manifest": lambda folder: write_manifest(folder, [], {}),
    "what a training goes on from": lambda folder: resume.keep(folder, {"x": 1}),
    "the one before in its place": lambda folder: resume.settle(folder / resume.PREVIOUS_FILE),
    "nothing to go on from": resume.forget,
    "what kills left": clear_leftovers,
    "weights as a picture": lambda folder: save_weights(folder / "weights.png", torch.ones(4, 2), 2),
    "TensorBoard's": lambda folder: written(Progress(), folder).__enter__(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_every_way_of_writing_looks_at_the_lock_before(tmp_path, write):
    folder = tmp_path / "run"
    folder.mkdir()
    with lock.held(folder, print):
        write_whole(folder / "mine", "1")
        folder.rename(tmp_path / "old")
        folder.mkdir()
        for name in (".lock", resume.RESUME_FILE, resume.PREVIOUS_FILE, ".x.0123abcd"):
            (folder / name).write_text("another's")
        before = contents(folder)
        with pytest.raises(RunError, match=f"{folder} is not the folder any more"):
            write(folder)
        write_whole(tmp_path / "beside", "no part of it")
    assert contents(folder) == before and not (folder / "tensorboard").exists()
    write(folder)  # whoever holds no lock is not asked for it


def test_a_folder_that_goes_while_a_file_is_synced(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    folder.mkdir()
    with lock.held(folder, print):
        monkeypatch.setattr("os.fsync", lambda file: (folder / ".lock").unlink(missing_ok=True))
        with pytest.raises(RunError, match="is not the folder any more"):
            write_whole(folder / "a", "x")
    assert not list(folder.iterdir())


def test_a_disk_that_does_not_tell_of_the_lock(tmp_path, monkeypatch):
    """As of another machine: its folder is out of reach. The training ends with that."""
    told, said = os.stat, []

    def stale(path, **options):
        if str(path).endswith(lock.LOCK_FILE):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        return told(path, **options)

    message = (
        rf"^{tmp_path} cannot be asked whether this training still has it \(.lock: Stale file handle\); go"
    )
    with pytest.raises(RunError, match=message), lock.held(tmp_path, said.append):
        monkeypatch.setattr(os, "stat", stale)
        write_whole(tmp_path / "a", "x")
    with pytest.raises(RunError, match=message), lock.held(tmp_path, said.append):
        pass
    monkeypatch.undo()
    with pytest.raises(KeyError), lock.held(tmp_path, said.append):
        monkeypatch.setattr(os, "stat", stale)
        raise KeyError
    assert [path.name for path in tmp_path.iterdir()] == [lock.LOCK_FILE] and not said
    monkeypatch.undo()
    with lock.held(tmp_path, said.append):  # nobody holds it
        write_whole(tmp_path / "a", "x")


def test_pictures_are_drawn_while_others_are_kept_out(cli, tmp_path, cache, monkeypatch):
    folder, seen = tmp_path / "run", []
    monkeypatch.setattr(
        "spikeseq.recipes.shared.plots.plot_history", lambda folder: seen.append((folder / ".lock").exists())
    )
    done = cli("train", "imdb", "--model", "bow", "--out", folder, *sets(quick("bow", train__epochs=1)))
    assert done.code == 0 and seen == [True], done.err


def test_folds_whose_folder_went_away_end(tmp_path):
    folder = tmp_path / "folds"

    def round_of(config, place):
        place.mkdir(parents=True)
        if config == 2:
            folder.rename(tmp_path / "moved")
            folder.mkdir()
        return {"seed": config}

    with (
        pytest.raises(RunError, match=f"{folder} is not the folder any more"),
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(folds, "summary", lambda rounds: {})
        folds.train_folds([1, 2], folder, round_of)
    assert not list(folder.iterdir())
