"""Recipe configurations: YAML, variants per model and data, overrides; errors name the nearest key."""

import difflib
import os
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

CONFIGS = Path(__file__).resolve().parent / "configs"
# What has an option of its own, on which sections of the file depend.
OPTIONS = {
    "recipe": "the argument RECIPE",
    "data.recipe": "the argument RECIPE",
    "model.name": "--model",
    "model.method": "--method",
    "model.start": "--from",
    "data.source": "--data",
    "seed": "--seed",
}
# Settings that may be null, and their type where they are not.
OPTIONAL = {
    "data.limit": int,
    "data.longest": int,
    "data.size": int,
    "data.frame_ms": float,
    "data.frame_events": int,
    "data.denoise_ms": float,
    "data.vectors": str,
    "conversion.substeps": int,
    "model.chunk": int,
    "model.surrogate_width": float,
    "evaluate.images": int,
}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key or value and what is accepted."""


def recipe_names() -> list[str]:
    """The recipes that can be trained."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def nearest(name: str, names: list[str]) -> str:
    """`; did you mean X?` for a near miss, and the valid names."""
    return hint(difflib.get_close_matches(name, names, n=1), names)


def hint(close: list[str], names: list[str]) -> str:
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Valid: {', '.join(names)}"


def load_config(
    recipe: str,
    *,
    model: str | None = None,
    method: str | None = None,
    data: str = "sample",
    seed: int = 1,
    epochs: int | None = None,
    overrides: list[str] | None = None,
) -> DictConfig:
    """The complete configuration of a run.

    In order of growing precedence: the recipe's file, on that of its `base`; its `sample` section if the data
    is the sample; its `variants.MODEL` section (and `variants.MODEL.sample`), its `methods.METHOD` section
    likewise, and of that the part for the model, `methods.METHOD.variants.MODEL`; `overrides` such as
    "train.learning_rate=0.001".

    Raises:
        ConfigError: unknown recipe, model, method or key (with the nearest valid one), or a value of another
            type.
    """
    if recipe not in recipe_names():
        raise ConfigError(f"no recipe {recipe!r}{nearest(recipe, recipe_names())}")
    config = _read(recipe)
    sample = config.pop("sample", None)
    layers = [sample if data == "sample" else None]
    chosen = {"variants": model or config.model.name, "methods": method or config.model.get("method")}
    for section, what in (("variants", "model"), ("methods", "method")):
        known, name = config.pop(section, {}), chosen[section]
        if name is None:
            continue
        if name not in known:
            names = [str(key) for key in known]
            why = nearest(str(name), names) if names else f": its models need no --{what}"
            raise ConfigError(f"recipe {recipe!r} has no {what} {name!r}{why}")
        own = known[name] or OmegaConf.create()
        own_sample, of_model = own.pop("sample", None), own.pop("variants", {}).get(chosen["variants"])
        layers += [own, own_sample if data == "sample" else None, of_model]
    for layer in layers:
        if layer is not None:
            config.merge_with(layer)
    # A path is made absolute, because the run folder is read from other places too.
    source = data if data in ("sample", "hub") else os.path.abspath(os.path.expanduser(data))
    config.recipe, config.model.name = recipe, chosen["variants"]
    config.seed, config.data.source = seed, source
    if chosen["methods"] is not None:
        config.model.method = chosen["methods"]
    if epochs is not None:
        if epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {epochs}")
        config.train.epochs = epochs
    for override in overrides or []:
        _override(config, override)
    _check_bits("--seed", seed)
    return config


def _read(recipe: str) -> DictConfig:
    """The recipe's file, on that of the recipe that it names as its `base`."""
    config = OmegaConf.load(CONFIGS / f"{recipe}.yaml")
    assert isinstance(config, DictConfig)
    base = config.pop("base", None)
    if base is None:
        return config
    whole = _read(base)
    whole.merge_with(config)
    return whole


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration as dotted keys and values."""
    if not isinstance(config, DictConfig):
        return {prefix: config}
    settings: dict[str, Any] = {}
    for name, value in config.items():
        settings |= flat(value, f"{prefix}.{name!s}".lstrip("."))
    return settings


def default_config(config: DictConfig) -> DictConfig:
    """That of the same recipe, model, method and data, with nothing else chosen."""
    return load_config(
        config.recipe,
        model=config.model.name,
        method=config.model.get("method"),
        data=config.data.source,
    )


def changes(config: DictConfig) -> dict[str, Any]:
    """What `--set` would have to change of the defaults to give this configuration, but for `OPTIONS`."""
    defaults = flat(default_config(config))
    found = {key: value for key, value in flat(config).items() if defaults.get(key) != value}
    return {key: value for key, value in found.items() if key not in OPTIONS}


def _override(config: DictConfig, text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, got {text!r}")
    settings = flat(config)
    if key in OPTIONS:
        raise ConfigError(f"{key} is not changed by --set but by {OPTIONS[key]}")
    if key not in settings:
        names = sorted(settings.keys() - OPTIONS.keys())
        section = key.split(".")[0]
        inside = [name for name in names if name.startswith(f"{section}.")]
        # Without its section, a key is looked for by its last part.
        same = [name for name in names if name.split(".")[-1] == key.split(".")[-1]]
        close = same or difflib.get_close_matches(key, names, n=1)
        raise ConfigError(f"no setting {key!r}{hint(close, inside or names)}")
    old = settings[key]
    kind = OPTIONAL.get(key, type(old))
    try:
        new = OmegaConf.create(f"value: {value}" if value else "value: null").value
    except Exception as error:
        raise ConfigError(f"{key}={value!r} is not a YAML value ({type(error).__name__})") from None
    if kind is float and type(new) is int:
        new = float(new)
    if kind is ListConfig and type(new) in (int, float):
        kind = type(new)  # one number for all
    if type(new) is not kind and not (key in OPTIONAL and new is None):
        null = " or null" if key in OPTIONAL else ""
        named = "a list or a number" if kind is ListConfig else kind.__name__
        raise ConfigError(f"{key} must be {named}{null}, such as {old!r}; got {value!r}")
    _check_bits(key, new)
    OmegaConf.update(config, key, new)


def _check_bits(key: str, value: Any) -> None:
    """Generators of random numbers, and tensors, know integers of 64 bits."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{key} must be an integer of 64 bits, got {value}")
