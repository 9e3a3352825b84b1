"""Trainings that are killed and go on end as undisturbed ones; a few of the kills of the long form."""

import os
import random
import signal
import subprocess
import sys

import pytest

from spikeseq.evaluation.reliability.children import counted, in_child
from spikeseq.evaluation.reliability.kills import Undisturbed, chain, planned
from spikeseq.files import write_whole

CODE = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from spikeseq.evaluation.reliability.kills import kills
found = kills(["imdb by two", "mnist-stdp"], 2, Path(sys.argv[1]), seed=24, say=lambda text: None)
assert not any(one.fault for one in found) and sum(one.kills for one in found) == 2, found
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are made in children")
def test_killed_at_operations_on_files_and_resumed(tmp_path, cache):
    """In a process of its own: children of one that has trained cannot train."""
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_blows_come_at_every_operation_at_random_moments_and_twice():
    done = Undisturbed(["open"] * 10, 2.0, [])
    plans = [planned(turn, done, 2, random.Random(turn), seed=0) for turn in range(60)]
    first = [blows[0] for blows in plans]
    assert {blow.operation for blow in first} == {None, *range(10)}
    assert [blow.operation for blow in first[:6]] == [0, 7, 4, None, 1, 8]
    assert all((blow.operation is None) == (blow.seconds <= 2) for blow in first)
    assert {blow.victims for blow in first} == {(0,), (1,), (0, 1)}
    assert [len(blows) for blows in plans[:5]] == [1, 1, 1, 1, 2]
    assert {blow.victims for blow in planned(1, done, 1, random.Random(0), seed=0)} == {(0,)}


def test_what_others_start_from_is_trained_first():
    assert chain(["mnist hybrid", "imdb"]) == ["mnist ann", "mnist convert"]


def test_operations_are_counted_and_the_child_is_ended_before_one(tmp_path):
    inside, noted = tmp_path / "run", tmp_path / "noted"
    inside.mkdir()

    def work(end=None):
        def does(number, what):
            with noted.open("a") as file:
                file.write(f"{what}\n")
            if what == end:
                os.kill(os.getpid(), signal.SIGKILL)

        counted(inside, does)
        write_whole(tmp_path / "outside", "four")
        write_whole(inside / "file", "four")

    assert in_child(work) == 0
    assert noted.read_text().split() == ["open", "write", "fsync", "replace", "fsync"]
    assert (inside / "file").read_text() == "four"
    (inside / "file").unlink()
    assert in_child(lambda: work("write")) == -signal.SIGKILL
    (half,) = inside.iterdir()
    assert half.name.startswith(".file.") and half.read_text() == "fo"
    assert in_child(lambda: 1 / 0) == 1
