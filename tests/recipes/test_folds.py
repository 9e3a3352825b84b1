"""`spikeseq train --folds`: a run for each part, and their mean."""

import json

import pytest
from recipe_case import quick, refused, sets, write_rows

from spikeseq.recipes.comparison import compared_by

pytestmark = pytest.mark.usefixtures("cache")
BOW = sets(quick("bow", train__epochs=1, data__limit=None, evaluate__shuffled="false"))


def test_every_fold_is_a_run_and_their_mean_one_object(cli, tmp_path):
    data, out = write_rows(tmp_path / "all.csv"), tmp_path / "runs"
    words = ("train", "imdb", "--model", "bow", "--data", data, *BOW, "--folds", 3, "--out", out)
    done = cli(*words, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((out / "folds.json").read_text())
    runs = [json.loads((out / f"fold-{n}" / "metrics.json").read_text()) for n in (1, 2, 3)]
    each = [run["test"]["accuracy"] for run in runs]
    assert found["each"] == each and found["mean"] == pytest.approx(sum(each) / 3, abs=1e-3)
    assert (found["folds"], found["least"], found["most"]) == (3, min(each), max(each))
    assert sum(run["texts"]["test"] for run in runs) == 60
    assert f"accuracy over 3 folds: {found['mean']:.2f}" in done.err
    used = [compared_by(out / f"fold-{n}", run) for n, run in enumerate(runs, start=1)]
    assert used[0] != used[1]  # they do not stand in one table
    assert "exists; go on with --resume" in refused(cli(*words))
    (out / "folds.json").unlink()
    (out / "fold-3" / "metrics.json").unlink()
    for name in ("manifest.json", "model.safetensors"):
        (out / "fold-3" / name).unlink()
    again = cli(*words, "--resume", "--json")
    assert again.code == 0 and json.loads(again.out)["each"] == each
    assert again.err.count("is finished") == 2


def test_one_fold_is_an_ordinary_run(cli, tmp_path):
    data = write_rows(tmp_path / "all.csv")
    fold = sets(["data.folds=3", "data.fold=2"])
    done = cli("train", "imdb", "--model", "bow", "--data", data, *BOW, *fold, "--out", tmp_path / "a")
    assert done.code == 0
    result = json.loads(cli("evaluate", tmp_path / "a", "--json").out)
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert result["accuracy"] == metrics["test"]["accuracy"] and metrics["used"]["data.fold"] == 2
    other = write_rows(tmp_path / "other" / "train.csv")
    write_rows(tmp_path / "other" / "test.csv")
    assert cli("evaluate", tmp_path / "a", "--data", other.parent, "--json").code == 0


def test_folds_that_cannot_be(cli, tmp_path):
    data = write_rows(tmp_path / "all.csv")
    words = ("train", "imdb", "--model", "bow", *BOW, "--out", tmp_path / "run")
    assert "--folds must be at least 2, got 1" in refused(cli(*words, "--data", data, "--folds", 1))
    assert "data.folds has no effect on --data sample" in refused(cli(*words, "--folds", 3))
    text = refused(cli("train", "lm", "--folds", 3, "--out", tmp_path / "run"))
    assert "no setting 'data.folds'" in text
    assert "expected 99 for data.folds=99" in refused(cli(*words, "--data", data, "--folds", 99))
    assert not (tmp_path / "run").exists()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").touch()
    assert "is a run; choose another --out" in refused(cli(*words, "--data", data, "--folds", 3))
