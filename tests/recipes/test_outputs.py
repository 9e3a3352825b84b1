"""What commands may write over, and what not."""

import json
import shutil
from pathlib import Path

import pytest
from recipe_case import refused

from spikeseq.recipes.manifest import write_manifest
from spikeseq.recipes.outputs import check_apart, check_output

OLD = Path(__file__).parents[1] / "data" / "old_runs"


@pytest.fixture
def run(tmp_path):
    """A finished run of texts, with a manifest."""
    folder = shutil.copytree(OLD / "imdb-snn", tmp_path / "run")
    write_manifest(folder, [path.name for path in folder.iterdir()], {})
    return folder


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_file_that_is_read_is_not_written(tmp_path):
    texts, other = tmp_path / "texts.csv", tmp_path / "other.csv"
    texts.touch()
    other.touch()
    (tmp_path / "link.csv").symlink_to(texts)
    for path in (texts, tmp_path / "link.csv", tmp_path / "." / "texts.csv"):
        with pytest.raises(ValueError, match=f"{path} is read by this command; expected the name of another"):
            check_output(path, [None, "", "hub", "full:8KB", str(texts)])
    with pytest.raises(ValueError, match=r"link.csv is read"):
        check_output(tmp_path / "link.csv", [tmp_path / "link.csv"])
    check_output(other, [texts])
    check_output(tmp_path / "new.csv", [texts, "\0", tmp_path])


def test_files_of_a_folder_that_is_read(tmp_path):
    (tmp_path / "train.csv").touch()
    (tmp_path / "curve.png").touch()
    with pytest.raises(
        ValueError, match=r"train.csv is not written over: it lies in .*, which this command reads"
    ):
        check_output(tmp_path / "train.csv", [tmp_path])
    for good in ("curve.png", "vectors.txt"):
        check_output(tmp_path / good, [tmp_path])
    check_output(tmp_path / "train.csv")


def test_what_the_manifest_beside_lists(run, tmp_path):
    (tmp_path / "link").symlink_to(run / "model.safetensors")
    (run / "vocab.json").unlink()  # which is missed, and must come back as it was
    for path in (run / "config.yaml", run / "manifest.json", run / "vocab.json", tmp_path / "link"):
        with pytest.raises(
            ValueError, match=f"{path} is not written over: it is a part of the run {run}; expected"
        ):
            check_apart(path)
    (run / "mine.txt").touch()
    for good in (run / "mine.txt", run / "report.html", tmp_path / "config.yaml"):
        check_output(good, [run])


def test_a_run_without_a_manifest_and_a_manifest_of_others(tmp_path):
    run = shutil.copytree(OLD / "imdb-snn", tmp_path / "run")
    (run / "resume.pt").touch()
    (run / "report.html").touch()
    for name in ("config.yaml", "resume.pt", "model.safetensors"):
        with pytest.raises(ValueError, match="a part of the run"):
            check_apart(run / name)
    check_apart(run / "report.html", [run])
    (tmp_path / "manifest.json").write_text(json.dumps({"name": "a page", "icons": []}))
    check_apart(tmp_path / "manifest.json")
    check_apart(tmp_path / "model.safetensors")


COMMANDS = {
    "vectors": ["RUN", "--out", "RUN/model.safetensors"],
    "vectors of a file": ["texts.csv", "--out", "texts.csv"],
    "export": ["RUN", "--to", "nir", "--lossy", "--out", "RUN/config.yaml"],
    "export onnx": ["RUN", "--to", "onnx", "--out", "RUN/vocab.json"],
    "export pt2": ["RUN", "--to", "pt2", "--out", "RUN/log.jsonl"],
    "export a library": ["RUN", "--to", "pt2", "--out", "RUN/a.pt2"],
    "report": ["RUN", "--out", "RUN/metrics.json"],
    "classify": ["RUN", "--trace", "RUN/a.png"],
    "translate": ["RUN", "--attention", "RUN/a.png"],
    "energy": ["RUN", "--frontier", "RUN/a.png"],
    "bench": ["--plot", "RUN/a.png"],
    "evaluate": ["TRANSLATOR", "--out", "TRANSLATOR"],
}


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS)
def test_every_command_that_writes_a_file_refuses_what_would_be_lost(
    cli, run, tmp_path, monkeypatch, words, request
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "texts.csv").write_text("text,label\ngood,1\n")
    translator = shutil.copytree(OLD / "multi30k-conv", tmp_path / "translator")
    for folder, names in ((run, ("a.png", "a.so")), (translator, ("test.hypotheses", "test.references"))):
        for name in names:
            (folder / name).write_text("a part")
        write_manifest(folder, [path.name for path in folder.iterdir()], {})
    before = contents(tmp_path)
    name = request.node.callspec.id.split()[0]
    words = [word.replace("RUN", str(run)).replace("TRANSLATOR", str(translator)) for word in words]
    assert "expected the name of another file" in refused(cli(name, *words))
    assert contents(tmp_path) == before
