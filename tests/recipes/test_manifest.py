"""A finished run says what it consists of, and what was changed since is refused."""

import json
import os
import shutil

import pytest
from recipe_case import before_manifests

import spikeseq
from spikeseq.recipes.manifest import LARGEST, RunError, checked, read_json, write_manifest
from spikeseq.recipes.runs import finished, read_config, read_log, read_metrics

READERS = {
    "config.yaml": read_config,
    "vocab.json": spikeseq.load,
    "classes.json": spikeseq.load,
    "model.safetensors": spikeseq.load,
    "metrics.json": read_metrics,
    "log.jsonl": read_log,
}


@pytest.fixture
def run(text_runs, tmp_path):
    """A copy of a finished run, elsewhere than it was trained."""
    return shutil.copytree(text_runs / "snn", tmp_path / "elsewhere" / "run")


def refusal(reader, folder):
    with pytest.raises(RunError) as caught:
        reader(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes in folders")
@pytest.mark.parametrize("name", [*READERS, "manifest.json"])
def test_pipes_and_devices_are_not_read(run, name):
    """Which could be done for ever: a folder of a stranger may hold them, or links to them."""
    path, reader = run / name, READERS.get(name, spikeseq.load)
    path.unlink()
    os.mkfifo(path)
    assert refusal(reader, run) == f"{path} is a pipe or a device; expected a file"
    path.unlink()
    path.symlink_to("/dev/zero")
    assert refusal(reader, run) == f"{path} is a pipe or a device; expected a file"


def test_a_run_lists_its_files_and_opens_wherever_it_lies(run, text_runs):
    listed = json.loads((run / "manifest.json").read_text())
    assert set(listed["files"]) == set(READERS) and listed["format"] == 1
    assert listed["files"]["vocab.json"]["bytes"] == (run / "vocab.json").stat().st_size
    here, there = (spikeseq.load(folder).predict(["film 1"]) for folder in (run, text_runs / "snn"))
    assert here == there
    assert len(read_log(run)) == finished(run)["epochs"]


@pytest.mark.parametrize("name", READERS)
def test_a_changed_file_is_refused(run, name):
    path, reader = run / name, READERS[name]
    whole = path.read_bytes()
    for place in (len(whole) // 3, len(whole) - 1):
        changed = bytes([whole[place] ^ 1])
        path.write_bytes(whole[:place] + changed + whole[place + 1 :])
        assert f"{path} is damaged: it has SHA-256" in refusal(reader, run)
    path.write_bytes(whole + b" ")
    assert f"it has {len(whole) + 1} bytes, not {len(whole)} as in manifest.json" in refusal(reader, run)
    path.write_bytes(whole)
    reader(run)


@pytest.mark.parametrize("name", sorted({*READERS} - {"config.yaml"}))
def test_a_file_that_is_gone_is_missed(run, name):
    (run / name).unlink()
    assert f"{name} is missing; manifest.json lists it" in refusal(READERS[name], run)


def test_a_file_that_came_later_is_no_part_of_a_run(run):
    (run / "tokenizer.json").write_text("{}")
    assert "tokenizer.json is no part of the run: manifest.json does not list it" in refusal(
        spikeseq.load, run
    )
    (run / "tokenizer.json").unlink()
    for name in ("report.html", "learning.png", "model.onnx", "notes.txt"):
        (run / name).write_text("mine")
    assert spikeseq.load(run) is not None


def test_a_manifest_that_is_gone_is_missed(run):
    (run / "manifest.json").unlink()
    for reader in READERS.values():
        assert "manifest.json is missing; metrics.json tells of it" in refusal(reader, run)


def test_a_run_of_a_version_without_manifests_opens(run):
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["manifest"]
    (run / "metrics.json").write_text(json.dumps(metrics))
    (run / "manifest.json").unlink()
    for reader in READERS.values():
        reader(run)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'{"format": 1}', b'{"format": 2, "files": {}}', b"null",
     b'{"format": 1, "files": []}', b'{"format": 1, "files": {"a": 3}}', b" " * (LARGEST + 1),
     b'{"format": 1, "files": {"config.yaml": {"bytes": "3", "sha256": "a"}}}'],
    ids=lambda content: content[:24].decode("latin1"),
)  # fmt: skip
def test_a_damaged_manifest_is_named(run, content):
    (run / "manifest.json").write_bytes(content)
    assert "manifest.json is damaged" in refusal(read_config, run)


def test_json_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "some.json"
    for content in (b"", b"\xff", b"[" * 100_000, b"{1: 2}", b"9" * 5_000):
        path.write_bytes(content)
        assert f"{path} is damaged: " in refusal(read_json, path)
    assert "nested too deep" in refusal(read_json, write(path, b'{"a":' * 100_000))
    path.unlink()
    assert "some.json cannot be read" in refusal(read_json, path)


def write(path, content):
    path.write_bytes(content)
    return path


def test_commands_refuse_a_changed_run(run, cli, tmp_path):
    (run / "classes.json").write_text('["good", "bad", "mixed"]')
    for arguments in (["classify", run], ["evaluate", run], ["report", run, "--out", tmp_path / "a.html"]):
        done = cli(*arguments, stdin=b"film")
        assert done.code == 2 and "classes.json is damaged" in done.err and "Traceback" not in done.err
    (run / "metrics.json").write_text("{}")
    done = cli("energy", run)
    assert done.code == 2 and "metrics.json is damaged" in done.err


def test_files_that_come_are_listed_by_their_content(tmp_path):
    (tmp_path / "a").write_text("one")
    write_manifest(tmp_path, ["a", "not there"], {"b": "zwei ü"})
    with pytest.raises(RunError, match="b is missing"):
        checked(tmp_path / "b")
    (tmp_path / "b").write_text("zwei ü", encoding="utf-8")
    assert checked(tmp_path / "b") == tmp_path / "b" and checked(tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "content"),
    [("vocab.json", "[" * 100_000), ("classes.json", "[" * 100_000),
     ("metrics.json", None), ("log.jsonl", '{"epoch": 1, "loss": null, "validation": {"score": 1}}')],
)  # fmt: skip
def test_damage_in_a_run_of_before_is_named(run, name, content):
    """Found by `make fuzz`: what a version without manifests wrote is refused by what it holds."""
    metrics = json.loads((run / "metrics.json").read_text())
    before_manifests(run)
    if content is None:
        content = json.dumps({**metrics, "tokenizer": ["a"]}).replace('"manifest"', '"other"')
    (run / name).write_text(content)
    assert f"{name} is damaged" in refusal(lambda f: (spikeseq.load(f), read_log(f)), run).replace(
        "vocab.json: not whole, valid JSON", "vocab.json is damaged"
    )
