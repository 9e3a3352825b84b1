"""A thousand damaged files: each ends in what was meant, other data, or one line that names it."""

import mmap
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch

from spikeseq.evaluation.reliability import cases, mutate
from spikeseq.evaluation.reliability.cases import Target, judge, many
from spikeseq.evaluation.reliability.fuzz import Case, faults, fuzz, table
from spikeseq.evaluation.reliability.targets import targets_in

OLD = Path(__file__).parents[2] / "data" / "old_runs"
CASES = 1_000


def test_a_thousand_damaged_files(tmp_path, cache, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where code of a file would leave its mark
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        targets = targets_in(tmp_path / "files", OLD, made=["lm"])
        found = fuzz(targets, CASES, tmp_path / "work", seed=10**6, say=lambda text: None)
    finally:
        torch.set_num_threads(threads)
    assert sum(map(len, found.values())) >= CASES and len(found) == len(targets)
    assert not faults(found), "\n".join(faults(found))
    assert f"| all | {sum(map(len, found.values())):,} |" in table(found)


def target(folder, read, strict=False):
    folder.mkdir()
    (folder / "file.txt").write_bytes(b"0123456789" * 5)
    return Target("some", folder, ("file.txt",), read, strict)


def outcomes(one, tmp_path, count=3):
    noted = []
    many(one, shutil.copytree(one.folder, tmp_path / "work"), list(range(count)), noted.append)
    assert (tmp_path / "work" / "file.txt").read_bytes() == b"0123456789" * 5
    shutil.rmtree(tmp_path / "work")
    return [(seed, outcome) for seed, outcome, _, _ in noted]


def large():
    """Takes 64 MiB from the system: malloc may have kept as much, where something was trained before."""
    held = mmap.mmap(-1, 64 << 20)
    for at in range(0, len(held), 4096):
        held[at] = 1
    return "whole"


def test_what_is_wrong_is_noted_and_the_next_case_goes_on(tmp_path, monkeypatch):
    whole = b"0123456789" * 5

    def reader(does):
        return lambda folder: does() if (folder / "file.txt").read_bytes() != whole else "whole"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cases, "MEMORY", 16)
    for name, does, outcome in (
        ("ends", lambda: os.kill(os.getpid(), signal.SIGKILL), "ended"),
        ("hangs", lambda: time.sleep(9), "hang"),
        ("raw", lambda: [][1], "raw"),
        ("code", lambda: (os.mkdir(mutate.CANARY), "whole")[1], "code"),
        ("large", large, "memory"),
    ):
        # Short for the one alone that uses it up: a busy machine may take a second for any.
        monkeypatch.setattr(cases, "SECONDS", 0.5 if name == "hangs" else 20.0)
        assert outcomes(target(tmp_path / name, reader(does)), tmp_path) == [(n, outcome) for n in range(3)]
    strict = target(tmp_path / "strict", reader(lambda: "other"), strict=True)
    assert outcomes(strict, tmp_path) == [(n, "silent") for n in range(3)]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(ValueError("place/file.txt is damaged"), "refused"), (OSError(5, "no", "place/file.txt"), "refused"),
     (ValueError("the folder place has none"), "refused"), (ValueError("damaged"), "raw"),
     (KeyError("place/file.txt"), "raw"), (ValueError("place/file.txt\nis damaged"), "raw"),
     (RecursionError("place/file.txt"), "raw"),
     (UnicodeDecodeError("utf-8", b"", 0, 1, "place/file.txt"), "raw")],
)  # fmt: skip
def test_what_is_an_error_for_people(error, outcome):
    try:
        raise error
    except Exception as caught:
        assert judge(caught, Path("place/file.txt"))[0] == outcome


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.safetensors", "a.pt", "a.gz", "a.txt"])
@pytest.mark.parametrize("content", [b"", b"x", b'{"a": [1, {"b": null}]}\n{"a": 2}', bytes(range(256)) * 9])
def test_any_content_can_be_damaged_again_in_the_same_way(name, content):
    for seed in range(40):
        assert mutate.mutated(content, name, random.Random(seed)) == mutate.mutated(
            content, name, random.Random(seed)
        )


def test_the_table():
    found = {"one": [Case(0, "refused", "a", "told"), Case(1, "raw", "b", "KeyError: 1")]}
    assert faults(found) == ["one, case 1, b: raw: KeyError: 1"]
    assert "| one | 2 | 1 | 0 | 0 | 1 |" in table(found) and "1 an error that is not ours" in table(found)
