"""How `LIF` is set to be the neuron of another library; docs/neurons.md has what each was seen to do."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..checks import check_threshold


@dataclass(frozen=True)
class Other:
    """The neuron of another library, in our words.

    Args:
        version: that was tried.
        neuron: its class.
        resets: those that it has, its default first: ours, and how it is told.
        norm_input: whether it weights the input by 1 - leak, its default first.
        at_threshold: whether it fires where the membrane equals the threshold.
        several: whether it fires several times a step.
    """

    version: str
    neuron: str
    resets: dict[str, str]
    norm_input: dict[bool, str]
    at_threshold: bool = False
    several: bool = False


OTHERS = {
    "snntorch": Other(
        "1.0.0",
        "Leaky",
        {"soft": "as it comes", "hard": 'reset_mechanism="zero"', "soft_immediate": "reset_delay=False"},
        {False: "as it comes"},
    ),
    "norse": Other(
        "1.1.0",
        "LIFBoxCell",
        {"hard": "as it comes", "soft_immediate": "reset_method=reset_subtract"},
        {True: "as it comes"},
    ),
    "spikingjelly": Other(
        "2.0.0",
        "LIFNode",
        {"hard": "as it comes", "soft_immediate": "v_reset=None"},
        {True: "as it comes", False: "decay_input=False"},
        at_threshold=True,
    ),
    "sinabs": Other(
        "3.1.3",
        "LIF",
        {"soft_immediate": "as it comes", "hard": "reset_fn=MembraneReset()"},
        {True: "as it comes", False: "norm_input=False"},
        at_threshold=True,
        several=True,
    ),
    "rockpool": Other(
        "3.1.0", "LIFNeuronTorch", {"soft_immediate": "as it comes"}, {False: "as it comes"}, True, True
    ),
    "brian2": Other(
        "2.9.0",
        "NeuronGroup, dv/dt = (I - v) / tau",
        {"hard": 'reset="v = 0"', "soft_immediate": 'reset="v -= 1"'},
        {True: "as it comes", False: "dv/dt = (I / (1 - exp(-dt / tau)) - v) / tau"},
    ),
    "bindsnet": Other(
        "0.3.4", "LIFNodes", {"hard": "rest=0, reset=0, refrac=0"}, {False: "as it comes"}, True
    ),
    "lava": Other("0.10.0", "LIF", {"hard": "as it comes"}, {False: "du=1"}),
}


def settings(
    library: str,
    threshold: float | Sequence[float],
    reset: str | None,
    norm_input: bool | None,
    dtype: torch.dtype | None,
) -> dict[str, Any]:
    """Threshold, reset and norm_input of a `LIF` that is like a library's neuron.

    Raises:
        ValueError: no such library, or one without such a reset or input, with those that it has.
    """
    if library not in OTHERS:
        raise ValueError(f"library must be one of {', '.join(OTHERS)}, got {library!r}")
    other = OTHERS[library]
    for name, value, choices in (
        ("reset", reset, list(other.resets)),
        ("norm_input", norm_input, list(other.norm_input)),
    ):
        if value is not None and value not in choices:
            accepted = " or ".join(map(repr, choices))
            raise ValueError(f"{name} must be {accepted} for neurons like {library}'s, got {value!r}")
    if other.at_threshold:  # u >= v is u > the number before v
        kind = dtype or torch.get_default_dtype()
        each = isinstance(threshold, Sequence) and not isinstance(threshold, str)
        threshold = [below(one, kind) for one in threshold] if each else below(threshold, kind)  # type: ignore[union-attr]
    return {
        "threshold": threshold,
        "reset": next(iter(other.resets)) if reset is None else reset,
        "norm_input": next(iter(other.norm_input)) if norm_input is None else norm_input,
    }


def below(threshold: Any, dtype: torch.dtype) -> float:
    """The next number of a type, towards zero."""
    number = torch.tensor(check_threshold(threshold), dtype=dtype)
    return float(torch.nextafter(number, torch.tensor(-math.inf, dtype=dtype)))
