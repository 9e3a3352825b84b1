"""What is kept of finished runs and of benches."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recipe_case import refused
from results_case import results

from spikeseq.evaluation.results.evidence import read_evidence
from spikeseq.evaluation.results.taken import command, named, portable, take

OLD = Path(__file__).parents[2] / "data" / "old_runs"
BENCH = {
    "machine": {"cpu": "EPYC"},
    "benchmarks": [
        {"title": "layer", "rounds": [1], "contenders": {"lstm": {"ratio": {"total": 2.0}, "rounds": [1, 2]}}}
    ],
    "goals": [{"goal": "half", "measured": 2.0}, {"goal": "other", "measured": None}],
    "left_out": {},
}


@pytest.fixture
def folder(tmp_path):
    return results(tmp_path)


def test_a_run_is_kept_without_places_and_layers(tmp_path, folder, cli):
    shutil.copytree(OLD / "mnist-diet", tmp_path / "runs" / "diet")
    done = cli("results", "--root", tmp_path, "--add", tmp_path / "runs" / "diet")
    assert done.code == 0
    text = (folder / "runs" / "diet-sample-1.json").read_text()
    run = json.loads(text)
    assert run["command"].startswith("spikeseq train mnist --method diet --from runs/mnist-convert --set ")
    assert run["command"].endswith("--out runs/diet") and run["from"] == "mnist-convert-sample-1"
    assert run["settings"]["train.epochs"] == 1 and "model.start" not in run["settings"]
    assert run["figures"]["test"]["accuracy"] == 6.667 and run["figures"]["energy"]["table_5_3"]["first"] > 0
    assert "layers" not in run["figures"]["energy"] and "/data/" not in text and len(text) < 10_000
    assert read_evidence(folder)[1] == []
    assert "[diet-sample](runs/diet-sample-1.json)" in (folder / "README.md").read_text()


def test_a_run_in_8_bits_is_kept_with_the_command_that_rounds_it(tmp_path, folder, cli):
    """Its figures are of what was exported: the training alone gives others."""
    run = shutil.copytree(OLD / "imdb-bow", tmp_path / "runs" / "small")
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps(metrics | {"weights": "int8"}))
    assert cli("results", "--root", tmp_path, "--add", run).code == 0
    one = read_evidence(folder)[0]["small-sample"]
    training, rounding = one.commands
    assert training.startswith("spikeseq train imdb ") and training.endswith(" --out runs/small")
    assert rounding == "spikeseq export runs/small --to int8 --out runs/small-int8"
    page = (folder / "README.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("| [small-sample]")]
    assert " (weights: int8) | test |" in row
    assert f"{training}\n{rounding}\n" in page


def test_a_cross_validation_is_kept_as_its_mean(tmp_path, folder, cli):
    shutil.copytree(OLD / "imdb-bow", tmp_path / "mr" / "fold-1")
    means = {"figure": "accuracy", "folds": 2, "mean": 61.5, "least": 60.0, "most": 63.0, "deviation": 2.1}
    means |= {"each": [60.0, 63.0], "spike_rate": None, "picojoules": 5.0, "seconds": 9.0}
    (tmp_path / "mr" / "folds.json").write_text(json.dumps(means))
    assert cli("results", "--root", tmp_path, "--add", tmp_path / "mr").code == 0
    one = read_evidence(folder)[0]["mr-sample"]
    assert one.values("test.accuracy") == [61.5] and one.values("rounds.least") == [60.0]
    assert (one.folds, one.seconds) == (2, 9.0) and "--folds 2" in one.commands[0]
    del means["mean"]
    (tmp_path / "mr" / "folds.json").write_text(json.dumps(means))
    assert "it is no summary of rounds" in refused(
        cli("results", "--root", tmp_path, "--add", tmp_path / "mr")
    )


def test_what_is_there_already_is_not_written_over(tmp_path, folder, cli):
    shutil.copytree(OLD / "imdb-bow", tmp_path / "bow")
    assert cli("results", "--root", tmp_path, "--add", tmp_path / "bow").code == 0
    assert cli("results", "--root", tmp_path, "--add", tmp_path / "bow").code == 0  # the same run
    metrics = json.loads((tmp_path / "bow" / "metrics.json").read_text())
    metrics["test"]["accuracy"] = 99.0
    (tmp_path / "bow" / "metrics.json").write_text(json.dumps(metrics))
    assert "is of another run" in refused(cli("results", "--root", tmp_path, "--add", tmp_path / "bow"))


@pytest.mark.parametrize(
    "make, said",
    [
        (lambda path: None, "no such run folder or file"),
        (lambda path: path.mkdir(), "is not a run folder"),
        (lambda path: shutil.copytree(OLD / "imdb-snn-cut", path), "the run is not finished"),
        (lambda path: cut(path, "metrics.json"), "metrics.json is damaged"),
        (lambda path: recipe(path), "is damaged"),
        (lambda path: other(path), "metrics.json is of another run: model is 'lstm', 'bow' in config.yaml"),
        (lambda path: path.write_text("{"), "no run folder and no file of `spikeseq bench --json`"),
        (lambda path: path.write_text('{"benchmarks": 3}'), "no run folder and no file of"),
    ],
    ids=["none", "empty", "unfinished", "metrics", "recipe", "other", "file", "bench"],
)
def test_refusals(tmp_path, folder, cli, make, said):
    make(tmp_path / "run")
    assert said in refused(cli("results", "--root", tmp_path, "--add", tmp_path / "run"))
    assert not list((folder / "runs").glob("run*"))


def cut(path, name):
    shutil.copytree(OLD / "imdb-bow", path)
    (path / name).write_text((path / name).read_text()[:100])


def recipe(path):
    """A run of a recipe that there is not."""
    shutil.copytree(OLD / "imdb-bow", path)
    text = (path / "config.yaml").read_text().replace("recipe: imdb", "recipe: imbd")
    (path / "config.yaml").write_text(text)


def other(path):
    """A run whose metrics are those of another."""
    shutil.copytree(OLD / "imdb-bow", path)
    text = (path / "metrics.json").read_text().replace('"model": "bow"', '"model": "lstm"')
    (path / "metrics.json").write_text(text)


def test_two_files_of_a_run_are_enough(tmp_path, folder, cli):
    run = tmp_path / "copy"
    run.mkdir()
    shutil.copy(OLD / "imdb-bow" / "config.yaml", run)
    text = (OLD / "imdb-bow" / "metrics.json").read_text().rstrip().removesuffix("}").rstrip()
    (run / "metrics.json").write_text(text + ',\n  "manifest": 1\n}\n')
    assert cli("results", "--root", tmp_path, "--add", run).code == 0
    assert "copy-sample" in read_evidence(folder)[0]
    (run / "metrics.json").write_text(text)
    said = refused(cli("results", "--root", tmp_path, "--add", run))
    assert said.startswith(f"{run / 'metrics.json'} is damaged")


def test_checking_and_keeping_are_two_commands(tmp_path, folder, cli):
    said = refused(cli("results", "--root", tmp_path, "--check", "--add", tmp_path))
    assert said == "--check writes nothing; leave --add out"


def test_a_bench_is_kept(tmp_path, folder, cli):
    (tmp_path / "zen.json").write_text(json.dumps(BENCH))
    name, text = take(tmp_path / "zen.json")
    assert name == "zen.bench.json"
    kept = json.loads(text)
    assert kept["figures"] == {"layer": {"lstm": {"ratio": {"total": 2.0}}}, "goals": {"half": 2.0}}
    assert cli("results", "--root", tmp_path, "--add", tmp_path / "zen.json").code == 0
    assert read_evidence(folder)[0]["zen"].values("goals.half") == [2.0]


@pytest.mark.parametrize(
    "folder, seed, sample, name",
    [
        ("imdb-snn-1", 1, False, "imdb-snn-1"),
        ("imdb-snn-p0.3", 1, False, "imdb-snn-p0.3-1"),
        ("imdb-snn-128", 2, False, "imdb-snn-128-2"),
        ("a b/c d", 3, False, "c_d-3"),
        ("imdb-snn-1", 1, True, "imdb-snn-sample-1"),
    ],
    ids=str,
)
def test_names_end_in_the_seed(folder, seed, sample, name):
    assert named(Path(folder), seed, sample) == name


part = st.text("abcXYZ019._-", min_size=1, max_size=8)


@given(st.lists(part, min_size=2, max_size=4), st.sampled_from(["", "reads ", "at: ", "('"]))
def test_no_place_of_a_machine_is_kept(parts, before):
    place = "/" + "/".join(parts)
    assert place not in json.dumps(portable({"a": [before + place]}))


@pytest.mark.parametrize(
    "text", ["eq. 6.3-6.8, pJ: macs 4.6", "nJ/token", "and/or", "1/3 of 2/3", "https://a.org/b/c"], ids=str
)
def test_other_text_is_kept_as_it_is(text):
    assert portable(text) == text


def test_the_command_of_a_run_that_goes_on_without_a_method():
    kept = {"recipe": "imdb", "model": "lstm", "method": None, "seed": 1}
    told = command(kept, {"model.bits": 4}, "imdb", "lstm", "lstm-b4")
    assert told == "spikeseq train imdb --from runs/lstm --set model.bits=4 --out runs/lstm-b4"
