"""What a configuration is, and that of a run as plain values: without OmegaConf, slow to import."""

import difflib
import importlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from spikeseq.recipes.registry import CLASSES
from spikeseq.recipes.settings import Idle, check_values, idle

CONFIGS = Path(__file__).resolve().parent / "configs"


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names the key or value and what is accepted."""


class Settings(dict[str, Any]):
    """Settings by name, as in `config.model.name`, or by key: those of a section, or all of them."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no setting {name!r} among {', '.join(self)}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        getattr(self, name)
        self[name] = value

    def copy(self) -> "Settings":
        """Another one, with sections of its own."""
        return plain(self)


def plain(config: Mapping[str, Any]) -> Settings:
    """Any configuration as `Settings`."""
    return Settings(
        (str(name), plain(value) if isinstance(value, Mapping) else value) for name, value in config.items()
    )


def recipe_names() -> list[str]:
    """The recipes that can be trained."""
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def check_recipe(name: str) -> None:
    """Raises ConfigError for a name that no recipe has; it tells the nearest one."""
    if name not in recipe_names():
        raise ConfigError(f"no recipe {name!r}{nearest(name, recipe_names())}")


def nearest(name: str, names: list[str]) -> str:
    """`; did you mean X?` for a near miss, and the valid names."""
    return hint(difflib.get_close_matches(name, names, n=1), names)


def hint(close: list[str], names: list[str]) -> str:
    return (f"; did you mean {close[0]!r}?" if close else ".") + f" Valid: {', '.join(names)}"


def room(recipe: str) -> Any:
    """The module of a recipe's settings, with `sections(model)`, `IDLE`, `RENAMED` and `ADDED`."""
    return importlib.import_module(f"{CLASSES[recipe].rpartition('.')[0]}.settings")


def flat(config: Any, prefix: str = "") -> dict[str, Any]:
    """A configuration as dotted keys and values."""
    if not isinstance(config, Mapping):
        return {prefix: config}
    settings: dict[str, Any] = {}
    for name, value in config.items():
        settings |= flat(value, f"{prefix}.{name!s}".lstrip("."))
    return settings


def section(config: Any, name: str) -> Any:
    """A section as the object that its settings are the fields of. Raises as its class does."""
    return room(config.recipe).sections(config.model.name)[name](**config[name])


def check_kept(config: Any) -> None:
    """What must hold of a run's configuration, of this version or an older one.

    Raises:
        ValueError: naming the setting, its value and what is accepted.
    """
    if type(config.seed) is not int:
        raise ConfigError(f"seed must be an integer, got {config.seed!r}")
    check_bits("seed", config.seed)
    for name in room(config.recipe).sections(config.model.name):
        check_values(name, section(config, name))


def check_bits(key: str, value: Any) -> None:
    """Generators of random numbers, and tensors, know integers of 64 bits."""
    numbers = value if isinstance(value, Sequence) else [value]
    for number in numbers:
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise ConfigError(f"{key} must be an integer of 64 bits, got {number}")


def refuse_idle(config: Any, keys: Iterable[str], rules: Sequence[Idle] | None = None) -> None:
    """Raises ConfigError for the first of `keys` that has no effect, by the recipe's rules or others."""
    reasons = dict(idle(room(config.recipe).IDLE if rules is None else rules, config))
    for key in keys:
        if key in reasons:
            raise ConfigError(f"{key} has no effect {reasons[key]}; got {flat(config).get(key)}")


def read_complete(path: Path) -> Settings | None:
    """The configuration that today's version wrote, each setting there and of its type.

    None for any other file, a damaged one too: `config.completed` has defaults for what is missing, and tells
    what is wrong. Values are still to be checked (`check_kept`).
    """
    import yaml

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
            keys = [key.value for key, _ in node.value]
            if len(set(keys)) < len(keys):
                raise yaml.YAMLError("a key is there twice")
            return super().construct_mapping(node, deep)

    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader)
        kinds = room(found["recipe"]).sections(found["model"]["name"])
        if found.keys() != {"recipe", "seed", *kinds}:
            return None
        config = Settings(recipe=found["recipe"], seed=found["seed"])
        for name, kind in kinds.items():
            hints = get_type_hints(kind)
            if found[name].keys() != hints.keys():
                return None
            config[name] = Settings((key, typed(found[name][key], hints[key])) for key in hints)
        return config
    except (OSError, ValueError, TypeError, LookupError, AttributeError, yaml.YAMLError):
        return None


def typed(value: Any, hint: Any) -> Any:
    """A value that has its type. Raises TypeError for another one, and for what OmegaConf reads otherwise."""
    accepted = get_args(hint)
    if get_origin(hint) is list and isinstance(value, list):
        return [typed(one, accepted[0]) for one in value]
    if type(None) in accepted:
        return None if value is None else typed(value, accepted[0])
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint or (hint is str and ("${" in value or value == "???")):
        raise TypeError(f"{value!r} is not {hint}")
    return value
