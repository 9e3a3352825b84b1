"""Every command on the pages is one that the program takes, with its options and settings."""

import pkgutil
from importlib import import_module

import pytest
import typer
from pages import PAGES, commands

from spikeseq.recipes import command
from spikeseq.recipes.command.app import app
from spikeseq.recipes.config import load_config
from spikeseq.recipes.registry import RECIPES

for module in pkgutil.iter_modules(command.__path__):  # which join the app
    import_module(f"spikeseq.recipes.command.{module.name}")
PROGRAM = typer.main.get_command(app)
FOUND = {page: calls for page in PAGES if (calls := commands(page))}


def plain(words):
    """Words of a call without those that stand for others."""
    return [word.replace("$seed", "1").replace("SEED", "1").replace("$n", "1") for word in words]


@pytest.mark.parametrize("page", FOUND)
def test_commands(page):
    for words in map(plain, FOUND[page]):
        name, *given = words
        if name.startswith("-"):
            continue
        assert name in PROGRAM.commands, words
        try:
            with PROGRAM.commands[name].make_context(name, list(given)) as context:
                asked = dict(context.params)
        except typer.Exit:
            continue  # --help
        except Exception as error:
            raise AssertionError(f"{page}: spikeseq {' '.join(words)}: {error}") from error
        if name == "train" and asked["from_"] is None:
            checked(page, asked)


def checked(page, asked):
    assert asked["recipe"] in RECIPES, (page, asked["recipe"])
    settings = [one for one in asked["set_"] or [] if "$" not in one]
    try:
        load_config(
            asked["recipe"], model=asked["model"], method=asked["method"], epochs=asked["epochs"],
            data="sample" if asked["data"] is None else asked["data"], overrides=settings,
        )  # fmt: skip
    except Exception as error:
        raise AssertionError(f"{page}: train {asked['recipe']} {settings}: {error}") from error


def test_there_are_some():
    assert sum(map(len, FOUND.values())) > 150
