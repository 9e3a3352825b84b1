"""Trainings that are killed and go on end as undisturbed ones; a few of the kills of the long form."""

import os
import signal
import subprocess
import sys

import pytest

CODE = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from spikeseq.evaluation.reliability.kills import kills
for name, seed in (("imdb", 24), ("mnist-stdp", 9)):
    for one in kills([name], 2, Path(sys.argv[1]) / name, seed=seed, say=lambda text: None):
        assert not one.fault, one
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills are made in children")
def test_killed_at_operations_on_files_and_resumed(tmp_path, cache):
    """In a process of its own: children of one that has trained cannot train."""
    (tmp_path / "imdb").mkdir(), (tmp_path / "mnist-stdp").mkdir()
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_operations_are_counted_and_the_child_is_ended_before_one(tmp_path):
    from spikeseq.evaluation.reliability.kills import counted, in_child
    from spikeseq.files import write_whole

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
    assert in_child(lambda: work("write")) == signal.SIGKILL
    (half,) = inside.iterdir()
    assert half.name.startswith(".file.") and half.read_text() == "fo"
    assert in_child(lambda: 1 / 0) == 1
