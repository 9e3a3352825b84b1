"""The recipes by name, and what every one of them answers."""

import subprocess
import sys

import pytest

from spikeseq.recipes.config import load_config
from spikeseq.recipes.plain import ConfigError, check_recipe, recipe_names
from spikeseq.recipes.recipe import Recipe
from spikeseq.recipes.registry import CLASSES, RECIPES


def test_every_recipe_has_a_class_and_a_file():
    assert sorted(RECIPES) == sorted(CLASSES) == recipe_names()
    assert all(isinstance(recipe, Recipe) for recipe in RECIPES.values())
    assert RECIPES["cifar10"] is RECIPES["mnist"] is not RECIPES["imdb"]


def test_names_are_known_without_torch():
    """Commands list the recipes, and end at a mistake, before anything slow is imported."""
    code = (
        "import sys; from spikeseq.recipes.registry import RECIPES; from spikeseq.recipes import recipe\n"
        "assert len(RECIPES) >= 9 and 'imdb' in RECIPES\n"
        "slow = {'torch', 'numpy', 'omegaconf', 'spikeseq.recipes.text'} & set(sys.modules)\n"
        "assert not slow, slow"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(ConfigError, match="no recipe 'imbd'; did you mean 'imdb'"):
        check_recipe("imbd")
    check_recipe("imdb")


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_what_decides_the_rows_are_settings(name):
    """A setting that was renamed would be left out of what runs are compared by."""
    recipe, config = RECIPES[name], load_config(name)
    used = recipe.used(config, {})
    assert {f"data.{key}" for key in recipe.rows} <= set(used)
    assert all(key in config.data for key in recipe.rows)


def test_a_recipe_says_what_it_does_not_write():
    """What has a default need not be written, and the rest is asked for by Python itself."""
    with pytest.raises(TypeError, match="abstract"):
        Recipe()
    optional = {"trains", "inherited", "taken_over", "check_start", "blank", "draw", "scopes", "thesis"}
    assert not optional & Recipe.__abstractmethods__
    asked = {"load", "task", "test", "energy", "open", "reopen", "row"}
    assert Recipe.__abstractmethods__ == asked


@pytest.mark.parametrize("name", ["lm", "mnist-stdp", "dvs128"])
def test_from_is_refused_where_nothing_starts_from_a_run(cli, tmp_path, name):
    from recipe_case import refused

    line = refused(cli("train", name, "--from", tmp_path))
    assert line == f"--from: no run of {name!r} starts from another one; leave it out"
