"""Recipe configurations: YAML, variants per model and data, overrides, and errors that name the nearest key."""

import difflib
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

CONFIGS = Path(__file__).resolve().parent / "configs"


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key or value and what is accepted."""


def recipe_names() -> list[str]:
    """The recipes that can be trained."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def nearest(name: str, names: list[str]) -> str:
    """`; did you mean X?` for a near miss, and the valid names."""
    close = difflib.get_close_matches(name, names, n=1)
    return (f"; did you mean {close[0]!r}?" if close else "") + f" Valid: {', '.join(names)}"


def load_config(
    recipe: str,
    *,
    model: str | None = None,
    data: str = "sample",
    seed: int = 1,
    epochs: int | None = None,
    overrides: list[str] | None = None,
) -> DictConfig:
    """The complete configuration of a run.

    In order of growing precedence: the recipe's file; its `sample` section if the data is the sample; its
    `variants.MODEL` section (and `variants.MODEL.sample`); `overrides` such as "train.learning_rate=0.001".

    Raises:
        ConfigError: unknown recipe, model or key (with the nearest valid one), or a value of another type.
    """
    if recipe not in recipe_names():
        raise ConfigError(f"no recipe {recipe!r}{nearest(recipe, recipe_names())}")
    config = OmegaConf.load(CONFIGS / f"{recipe}.yaml")
    assert isinstance(config, DictConfig)
    variants = config.pop("variants")
    sample = config.pop("sample", None)
    model = model or config.model.name
    if model not in variants:
        raise ConfigError(f"recipe {recipe!r} has no model {model!r}{nearest(str(model), [str(v) for v in variants])}")
    variant = variants[model]
    variant_sample = variant.pop("sample", None) if variant else None
    layers = [sample if data == "sample" else None, variant, variant_sample if data == "sample" else None]
    for layer in layers:
        if layer is not None:
            config = OmegaConf.merge(config, layer)
    config.recipe, config.model.name, config.seed, config.data.source = recipe, model, seed, os.fspath(data)
    if epochs is not None:
        if epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {epochs}")
        config.train.epochs = epochs
    assert isinstance(config, DictConfig)
    for override in overrides or []:
        _override(config, override)
    return config


def _override(config: DictConfig, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, got {text!r}")
    node: Any = config
    *parents, leaf = key.split(".")
    for depth, part in enumerate([*parents, leaf]):
        if not isinstance(node, DictConfig) or part not in node:
            prefix = ".".join(key.split(".")[:depth])
            names = [f"{prefix}.{name}".lstrip(".") for name in node] if isinstance(node, DictConfig) else []
            raise ConfigError(f"no setting {key!r}{nearest('.'.join(filter(None, (prefix, part))), names)}")
        if depth < len(parents):
            node = node[part]
    old = node[leaf]
    if isinstance(old, DictConfig):
        raise ConfigError(f"{key!r} is a section, set one of: {', '.join(f'{key}.{name}' for name in old)}")
    try:
        new = OmegaConf.create(f"value: {value}" if value else "value: null").value
    except Exception as error:
        raise ConfigError(f"{key}={value!r} is not a YAML value ({type(error).__name__})") from None
    number = isinstance(new, int | float) and not isinstance(new, bool)
    fits = (
        old is None
        or (isinstance(old, bool) and isinstance(new, bool))
        or (isinstance(old, float) and number)
        or (isinstance(old, int) and not isinstance(old, bool) and isinstance(new, int) and not isinstance(new, bool))
        or (isinstance(old, str) and isinstance(new, str))
    )
    if not fits:
        raise ConfigError(f"{key} must be {type(old).__name__}, like its default {old!r}; got {value!r}")
    try:
        node[leaf] = float(new) if isinstance(old, float) else new
    except OmegaConfBaseException as error:
        raise ConfigError(f"{key}={value!r}: {str(error).splitlines()[0]}") from None
