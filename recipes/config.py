"""Configurations of runs: YAML on typed sections, variants per model and data, overrides."""

import difflib
import os
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args, get_type_hints

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from spikeseq.recipes.plain import (
    CONFIGS,
    ConfigError,
    Settings,
    check_bits,
    check_kept,
    check_recipe,
    flat,
    hint,
    nearest,
    plain,
    refuse_idle,
    room,
)
from spikeseq.recipes.settings import idle, meanings

# What has an option of its own, on which sections of the file depend.
OPTIONS = {
    "recipe": "the argument RECIPE",
    "data.recipe": "the argument RECIPE",
    "data.encoding": "--method",
    "model.name": "--model",
    "model.method": "--method",
    "model.start": "--from",
    "data.source": "--data",
    "seed": "--seed",
}
NAMES = {int: "int", float: "float", bool: "bool", str: "str"}


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
    """The complete configuration of a run, its sections of the classes in `settings.py` of the recipe's room.

    In order of growing precedence: the recipe's file, on that of its `base`; its `sample` section if the data
    is the sample; its `variants.MODEL` section (and `variants.MODEL.sample`), its `methods.METHOD` section
    likewise, and of that the part for the model, `methods.METHOD.variants.MODEL`; `overrides` such as
    "train.learning_rate=0.001".

    Raises:
        ConfigError: unknown recipe, model, method or key (with the nearest valid one), a value of another
            type, or one given to a setting that has no effect.
    """
    config = defaults(recipe, model, method, data)
    check_bits("--seed", seed)
    config.seed = seed
    given = []
    if epochs is not None:
        if epochs < 1:
            raise ConfigError(f"epochs must be at least 1, got {epochs}")
        config.train.epochs = epochs
        given.append("train.epochs")
    given += [_override(config, override) for override in overrides or []]
    refuse_idle(config, given)
    return config


def defaults(recipe: str, model: str | None, method: str | None, data: str) -> DictConfig:
    """The configuration with nothing else chosen. Raises as `load_config`."""
    check_recipe(recipe)
    plain = _read(recipe).copy()
    sample = plain.pop("sample", None)
    layers = [sample if data == "sample" else None]
    usual = {"variants": plain.model.name, "methods": plain.model.get("method")}
    chosen = {"variants": model, "methods": method}
    chosen = {section: usual[section] if name is None else name for section, name in chosen.items()}
    for section, what in (("variants", "model"), ("methods", "method")):
        known, name = plain.pop(section, {}), chosen[section]
        if name is None:
            continue
        if name not in known:
            names = [str(key) for key in known]
            why = nearest(str(name), names) if names else f": its models need no --{what}"
            raise ConfigError(f"recipe {recipe!r} has no {what} {name!r}{why}")
        own = known[name].copy() if known[name] else OmegaConf.create()
        own_sample, of_model = own.pop("sample", None), own.pop("variants", {}).get(chosen["variants"])
        layers += [own, own_sample if data == "sample" else None, of_model]
    if not data:  # an unset variable of a shell
        raise ConfigError("--data is empty; expected sample, hub or a path")
    source = data if data in ("sample", "hub") else absolute(data)
    chosen_so = {"recipe": recipe, "model": {"name": chosen["variants"]}, "data": {"source": source}}
    layers += [OmegaConf.create(chosen_so)]
    config = OmegaConf.create({"recipe": recipe, "seed": 1})
    for name, kind in room(recipe).sections(chosen["variants"]).items():
        config[name] = OmegaConf.structured(kind)
    OmegaConf.set_struct(config, True)
    for layer in (plain, *layers):
        if layer is not None:
            config.merge_with(layer)
    if chosen["methods"] is not None:
        config.model.method = chosen["methods"]
    return config


def absolute(data: str) -> str:
    """A path made absolute, because the run folder is read from other places too.

    Several paths that are there, with the path separator between, are made so one by one.
    """
    parts = [os.path.expanduser(part) for part in data.split(os.pathsep) if part]
    if len(parts) > 1 and not os.path.exists(data) and all(map(os.path.exists, parts)):
        return os.pathsep.join(map(os.path.abspath, parts))
    return os.path.abspath(os.path.expanduser(data))


@lru_cache(maxsize=16)
def _read(recipe: str) -> DictConfig:
    """The recipe's file, on that of the recipe that it names as its `base`. Not to be changed."""
    config = OmegaConf.load(CONFIGS / f"{recipe}.yaml")
    assert isinstance(config, DictConfig)
    base = config.pop("base", None)
    if base is None:
        return config
    whole = _read(base).copy()
    whole.merge_with(config)
    return whole


def default_config(config: Any) -> DictConfig:
    """That of the same recipe, model, method and data, with nothing else chosen."""
    return defaults(config.recipe, config.model.name, config.model.get("method"), str(config.data.source))


def changes(config: Any) -> dict[str, Any]:
    """What `--set` would have to change of the defaults to give this configuration, but for `OPTIONS`."""
    usual = flat(default_config(config))
    found = {key: value for key, value in flat(config).items() if usual.get(key) != value}
    return {key: value for key, value in found.items() if key not in OPTIONS}


def check_config(config: Any) -> None:
    """What can be told of a configuration before data is read.

    Raises:
        ValueError: as `check_kept`; for a changed setting that has no effect.
    """
    check_kept(config)
    refuse_idle(config, changes(config))


def completed(path: Path) -> Settings:
    """The configuration of a run that an older version wrote: today's names, and for settings that came later
    what it did: the room's `ADDED`, or else the defaults.

    Raises ValueError, and what OmegaConf and the readers of YAML do, for a file that is none.
    """
    config = OmegaConf.load(path)
    if not isinstance(config, DictConfig):
        raise ValueError("not a mapping")
    check_recipe(str(config.recipe))
    config = renamed(config.recipe, config)
    # A run of an older version lacks settings that were added since, and the sections that did; a cut file
    # lacks others.
    defaults = default_config(config)
    known, added = flat(defaults), room(config.recipe).ADDED
    for key, value in added.items():
        if key in known:
            OmegaConf.update(defaults, key, value)
    cut = [str(section) for section in defaults if section not in config and section not in added]
    if cut:
        raise ValueError(f"it has no {cut[0]}")
    merged = OmegaConf.merge(defaults, config)
    assert isinstance(merged, DictConfig)
    lost = sorted(flat(defaults).keys() - flat(merged).keys())
    if lost:
        raise ValueError(f"it has no {lost[0]}")
    container = OmegaConf.to_container(merged, resolve=True)
    assert isinstance(container, dict)
    return plain({str(name): value for name, value in container.items()})


def to_yaml(config: Any) -> str:
    """A configuration as a run folder keeps it."""
    sections = {name: dict(value) if isinstance(value, Mapping) else value for name, value in config.items()}
    return OmegaConf.to_yaml(OmegaConf.create(sections))


def renamed(recipe: str, config: DictConfig) -> DictConfig:
    """A configuration of an earlier version with today's names."""
    module = room(recipe)
    for old, new in module.RENAMED.items():
        section, _, name = old.partition(".")
        if section in config and name in config[section]:
            value = config[section].pop(name)
            OmegaConf.update(config, new, value, force_add=True)
    if hasattr(module, "renew"):
        module.renew(config)
    return config


def check_once(overrides: Iterable[str], epochs: int | None) -> None:
    """Raises ConfigError for a setting that a command line gives twice: one of the values would be lost."""
    given = {} if epochs is None else {"train.epochs": f"--epochs {epochs}"}
    for text in overrides:
        key = text.partition("=")[0]
        if key in given:
            raise ConfigError(f"{key} is given twice, by {given[key]} and --set {text}; leave one out")
        given[key] = f"--set {text}"


def _override(config: DictConfig, text: str) -> str:
    """Sets what `key=value` says; returns the key."""
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigError(f"--set takes key=value, got {text!r}")
    settings, now = flat(config), room(config.recipe).RENAMED
    if key not in settings and now.get(key) in settings:
        raise ConfigError(f"no setting {key!r}: it is {now[key]!r} now")
    if key in OPTIONS and key.split(".")[0] in config:
        raise ConfigError(f"{key} is not changed by --set but by {OPTIONS[key]}")
    if key not in settings:
        idle_keys = dict(idle(room(config.recipe).IDLE, config))
        names = sorted(settings.keys() - OPTIONS.keys() - idle_keys.keys())
        section = key.split(".")[0]
        inside = [name for name in names if name.startswith(f"{section}.")]
        # Without its section, a key is looked for by its last part.
        same = [name for name in names if name.split(".")[-1] == key.split(".")[-1]]
        close = same or difflib.get_close_matches(key, names, n=1)
        raise ConfigError(f"no setting {key!r}{hint(close, inside or names)}")
    try:
        new = OmegaConf.create(f"value: {value}" if value else "value: null").value
    except Exception as error:
        raise ConfigError(f"{key}={value!r} is not a YAML value ({type(error).__name__})") from None
    check_bits(key, new)
    _check_decimal(key, new, value)
    section, _, name = key.partition(".")
    old = settings[key]
    try:
        OmegaConf.update(config, key, new)
        stored = OmegaConf.select(config, key)
        same_kind = _same_kind(stored, new)
    except OmegaConfBaseException:
        same_kind = False
    if not same_kind:
        kind = OmegaConf.get_type(config[section])
        assert kind is not None
        accepted, said = type_name(get_type_hints(kind)[name]), meanings(kind).get(name)
        about = f" ({said.rstrip('.')})" if said else ""
        raise ConfigError(f"{key} must be {accepted}, such as {old!r}; got {value!r}{about}")
    return key


def _same_kind(stored: Any, given: Any) -> bool:
    """OmegaConf takes "1" for a number and 1 for true; only whole numbers for others may pass."""
    if isinstance(stored, ListConfig):
        pairs = list(zip(stored, given, strict=True))
        return all(not isinstance(one, ListConfig) and _same_kind(one, other) for one, other in pairs)
    return type(stored) is type(given) or (type(given) is int and type(stored) is float)


def _check_decimal(key: str, new: Any, text: str) -> None:
    """Refuses what YAML 1.1 takes for another number than it looks: 010 is 8, and 1:30 is 90."""
    numbers = new if isinstance(new, ListConfig) else [new]
    if any(type(number) in (int, float) for number in numbers):
        exponent = r"(?<![eE][-+])"  # 1e-05 is what it looks like
        odd = re.search(rf"(?<![\w.]){exponent}0[0-9_]+|[0-9_]+:[0-9_:.]+", text)
        if odd is not None:
            raise ConfigError(f"{key}={text!r}: {odd[0]} is no decimal number; write numbers like 10 or 0.5")


def type_name(hint: Any) -> str:
    """`int or null`, `list of float`."""
    args: tuple[Any, ...] = get_args(hint)
    if type(None) in args:
        return f"{NAMES[args[0]]} or null"
    return f"list of {NAMES[args[0]]}" if args else NAMES[hint]
