"""Arguments of models from the settings of a configuration."""

import inspect
from collections.abc import Mapping
from typing import Any

from ..functional import SURROGATES
from ..nn import LIF

GIVEN = {"kind", "encoder", "decoder", "attention", "device", "dtype"}  # by the name, or by whoever builds
SHAPE = {"height": "height", "surrogate_width": "width"}


def by_name(config: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    """The model's name, one of `names`, and the arguments that stand beside it; None stands for a default.

    Raises:
        TypeError: it is no mapping. ValueError: no name, or an unknown one.
    """
    if not isinstance(config, Mapping):
        raise TypeError(f"the model must be a mapping with its name and arguments, got {config!r:.60}")
    arguments = {str(key): value for key, value in config.items() if value is not None}
    name = arguments.pop("name", None)
    if name not in names:
        raise ValueError(f"model must be one of {', '.join(names)}, got {name!r}")
    return str(name), arguments


def check_arguments(name: str, given: Mapping[str, Any], *kinds: type, beside: tuple[str, ...] = ()) -> None:
    """Refuses arguments that a model of this name has not: they are those by name of `kinds`, the model and
    the layers that it hands on the rest to, and of `beside`.

    Raises:
        TypeError: naming the argument, and all that there are.
    """
    parameters = [one for kind in kinds for one in inspect.signature(kind).parameters.values()]
    known = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY} - GIVEN
    if LIF in kinds:
        known |= {"surrogate", *SHAPE}
    for key in given:
        if key not in known | set(beside):
            raise TypeError(f"{name} takes no {key!r}; it takes {', '.join(sorted(known | set(beside)))}")


def with_surrogate(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with the `Surrogate` that `surrogate`, its name, `height` and `surrogate_width` describe.

    Raises:
        ValueError: an unknown name.
    """
    kind = settings.get("surrogate", "piecewise_linear")
    if kind not in SURROGATES:
        raise ValueError(f"model.surrogate must be one of {', '.join(SURROGATES)}, got {kind!r}")
    shape = {SHAPE[key]: value for key, value in settings.items() if key in SHAPE}
    others = {key: value for key, value in settings.items() if key not in SHAPE}
    return others | {"surrogate": SURROGATES[kind](**shape)}
