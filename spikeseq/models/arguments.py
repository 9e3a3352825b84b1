"""Arguments of models from the settings of a configuration."""

from typing import Any

from ..functional import SURROGATES

SHAPE = {"height": "height", "surrogate_width": "width"}


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
