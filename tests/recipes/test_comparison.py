"""Runs stand in one table where their data is exactly the same."""

import json
import shutil
from pathlib import Path

import pytest
import torch

import spikeseq
from spikeseq.recipes.comparison import compared_by, neighbours
from spikeseq.recipes.config import load_config
from spikeseq.recipes.gestures.data import GestureData, GestureSplit
from spikeseq.recipes.registry import CLASSES, RECIPES
from spikeseq.recipes.runs import finished

OLD = Path(__file__).parents[1] / "data" / "old_runs"


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_decides_the_rows_tells_runs_apart(name):
    recipe, config = RECIPES[name], load_config(name)
    counts = {recipe.counted: {"train": 8, "validation": 2, "test": 2}}
    first = recipe.used(config, counts)
    assert recipe.used(config, counts) == first
    assert recipe.used(config, {recipe.counted: {"train": 9}}) != first
    for key in recipe.rows:
        other = config.copy()
        other.data[key] = {str: "elsewhere", float: 0.5}.get(type(config.data[key]), 7)
        assert recipe.used(other, counts) != first, key


def test_gestures_of_other_limits_are_told_apart(tmp_path):  # case 4.8
    for name, limit in (("a", 44), ("b", 44), ("c", 33)):
        shutil.copytree(OLD / "dvs128-frames", tmp_path / name)
        config = tmp_path / name / "config.yaml"
        config.write_text(config.read_text().replace("limit: 44", f"limit: {limit}"))
    for name, wanted in (("a", ["a", "b"]), ("b", ["a", "b"]), ("c", ["c"])):
        rows = neighbours(tmp_path / name, finished(tmp_path / name))
        assert sorted(row["run"] for row in rows) == wanted


def test_gestures_are_the_same_data_where_as_much_is_seen_of_them():
    """Frames that span a recording see what its blocks see; a shorter window does not."""
    recipe, config = RECIPES["dvs128"], load_config("dvs128")

    def facts(*arrived):
        rows = torch.tensor([arrived] * 3)
        split = GestureSplit(torch.zeros(3, 1), torch.arange(3), torch.arange(3), rows)
        return GestureData("x", [], None, {"train": split, "validation": split, "test": split}).facts()

    blocks = recipe.used(config, facts(500))
    assert recipe.used(config, facts(100, 300, 500)) == blocks
    assert recipe.used(config, facts(100, 300)) != blocks


def test_a_finished_run_says_what_it_used(tmp_path):
    shutil.copytree(OLD / "imdb-bow", tmp_path / "old")
    metrics = finished(tmp_path / "old")
    before = compared_by(tmp_path / "old", metrics)
    used = RECIPES["imdb"].used(spikeseq.load(tmp_path / "old").config, metrics)
    (tmp_path / "old" / "metrics.json").write_text(json.dumps(metrics | {"used": used}))
    assert compared_by(tmp_path / "old", finished(tmp_path / "old")) == before


@pytest.mark.parametrize("name", ["imdb-snn", "mnist-ann", "multi30k-conv"])
@pytest.mark.parametrize(
    "size, kind", [(0, ValueError), (-1, ValueError), (1.5, TypeError), (None, TypeError)]
)
def test_batch_sizes_are_named(name, size, kind):  # case 4.7
    opened = spikeseq.load(OLD / name)
    inputs = torch.zeros(1, 1, 16, 16, dtype=torch.uint8) if opened.reads == "path" else ["a text"]
    call = opened.translate if opened.translates else opened.predict
    with pytest.raises(kind, match=f"batch_size must be .*got {size}"):
        call(inputs, batch_size=size)


@pytest.mark.parametrize("name", ["imdb-snn", "multi30k-conv"])
@pytest.mark.parametrize("wrong", ["a text", None, 3, ["a", None], [b"a"]])
def test_what_is_no_list_of_strings_is_named(name, wrong):
    opened = spikeseq.load(OLD / name)
    with pytest.raises(TypeError, match=r"(lines|texts) must be (a list of )?strings, got"):
        (opened.translate if opened.translates else opened.predict)(wrong)
