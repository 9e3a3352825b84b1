"""What all recipes' settings are made of: shared sections, accepted values, and rules of what has no effect.

A recipe's own sections stand in its room's `settings.py`, their values in `configs/`. A field's meaning, unit
and reason are told in the docstring of its class; what it accepts beside its type, in its metadata.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from itertools import pairwise
from typing import Any

SCHEDULES = ("cosine", "linear")
PRECISIONS = ("auto", "float32", "bf16")
SPLITS = ("test", "validation")
RESETS = ("soft", "soft_immediate", "hard")
MOST = 2**63 - 1  # generators of random numbers, and tensors, know integers of 64 bits
WIDEST = 1_000_000  # neurons, tokens or rows at once: more are a slip, and no memory holds them


Good = Callable[[Any], bool]


def accepted(text: str, good: Good, *more: tuple[str, Good]) -> dict[str, Any]:
    """Metadata of a field whose values must be `text`, for which `good` is true; null passes where it may."""
    return {"accepts": ((text, good), *more)}


def accepts(text: str, good: Good, **default: Any) -> Any:
    return field(metadata=accepted(text, good), **default)


def whole(least: int = 1, most: int = MOST, **default: Any) -> Any:
    high = f"at most {most:,}", lambda value: value <= most
    return field(metadata=accepted(f"at least {least}", lambda value: value >= least, high), **default)


def positive(**default: Any) -> Any:
    return accepts("a positive number", lambda value: 0 < value < math.inf, **default)


def not_negative(**default: Any) -> Any:
    return accepts("0 or a positive number", lambda value: 0 <= value < math.inf, **default)


def share(**default: Any) -> Any:
    return accepts("in [0, 1)", lambda value: 0 <= value < 1, **default)


def unit(**default: Any) -> Any:
    return accepts("in [0, 1]", lambda value: 0 <= value <= 1, **default)


def part(**default: Any) -> Any:
    return accepts("above 0 and below 1", lambda value: 0 < value < 1, **default)


def one_of(*choices: str, **default: Any) -> Any:
    text = " or ".join(choices) if len(choices) == 2 else f"one of {', '.join(choices)}"
    return accepts(text, lambda value: value in choices, **default)


def few_bits(**default: Any) -> Any:
    """Widths of operands that are rounded in training; null is float32."""
    return accepts("null, 8, 4 or 3", lambda value: value in (8, 4, 3), **default)


def check_values(section: str, settings: Any) -> None:
    """Raises ValueError naming the first field of `section` whose value is not accepted."""
    for one in fields(settings):
        value = getattr(settings, one.name)
        for text, good in one.metadata.get("accepts", ()):
            if value is not None and not good(value):
                raise ValueError(f"{section}.{one.name} must be {text}, got {value!r}")


def meanings(kind: type) -> dict[str, str]:
    """What the docstrings of a section's class, and of those that it stands on, say of its fields."""
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__[:-1]):
        text = inspect.cleandoc(one.__doc__ or "")
        for names, meaning in re.findall(r"^(\w+(?:, \w+)*): (.+(?:\n +.+)*)", text, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), " ".join(meaning.split()))
    return found


LEAKS = accepted(
    "empty or two rising numbers in [0, 1)",
    lambda leaks: not leaks or (len(leaks) == 2 and 0 <= leaks[0] <= leaks[1] < 1),
)


@dataclass(frozen=True)
class Idle:
    """Settings that do nothing under a condition, so that changing them is refused.

    keys: dotted. when: whether they do nothing, of a configuration. why: what follows "has no effect";
    `{model.name}` and the like stand for the configuration's values.
    """

    keys: tuple[str, ...]
    when: Callable[[Any], bool]
    why: str


def dotted(section: str, names: Any) -> tuple[str, ...]:
    return tuple(f"{section}.{name}" for name in names)


def always(config: Any) -> bool:
    return True


def brings_splits(config: Any) -> bool:
    """Whether the data is one that has splits, and columns, of its own."""
    return config.data.source in ("sample", "hub")


IDLE_ROWS = Idle(("model.ngram_rows",), lambda config: not config.model.get("ngrams"), "without model.ngrams")
NOT_SPIKING = Idle(
    ("train.spike_penalty",),
    lambda config: config.model.name != "snn",
    "on {model.name}, which has no spikes",
)
"""In recipes with one spiking model, "snn"."""


def idle(rules: Sequence[Idle], config: Any) -> Iterator[tuple[str, str]]:
    """Each key that does nothing in a configuration, and why."""
    for rule in rules:
        if rule.when(config):
            why = rule.why.format(**{str(name): config[name] for name in config})
            for key in rule.keys:
                yield key, why


@dataclass(kw_only=True)
class DataSettings:
    """What is trained on and tested. The section `data`.

    source: "sample", "hub", or a path; --data.
    limit: examples kept of every split, for a quick look; null for all.
    split_seed: of the choice of validation examples, and of those kept; --seed does not move it.
    """

    source: str
    limit: int | None = whole()
    split_seed: int = whole(0)


@dataclass(kw_only=True)
class ModelSettings:
    """The section `model`.

    name: --model.
    """

    name: str


@dataclass(kw_only=True)
class NeuronSettings:
    """Spiking neurons, in the section `model`.

    substeps: T, steps of every neuron for one input (a token, an image, a frame).
    leak: share of the membrane that a sub-step keeps; where it is learnt, at the start.
    threshold: membrane at which a neuron fires; where it is learnt, at the start.
    reset: what a spike does to the membrane: soft (less the threshold), soft_immediate or hard (to zero).
    surrogate: the spike's derivative in training.
    height: of the surrogate, its value at the threshold.
    surrogate_width: of the surrogate; null is its own.
    """

    substeps: int = whole(1, WIDEST)
    leak: float = unit()
    threshold: float = positive()
    reset: str = one_of(*RESETS)
    surrogate: str = field()
    height: float = positive()
    surrogate_width: float | None = positive()


@dataclass(kw_only=True)
class LearntNeuronSettings(NeuronSettings):
    """The same where leaks and thresholds may be held fixed.

    initial: share of the threshold that membranes start at.
    learn_leak, learn_threshold: whether training changes them.
    detach_reset: no gradient through the reset.
    """

    initial: float = unit()
    learn_leak: bool = field()
    learn_threshold: bool = field()
    detach_reset: bool = field()


def names_of(kind: type) -> tuple[str, ...]:
    """The fields of a section's class."""
    return tuple(one.name for one in fields(kind))


NGRAMS = accepted(
    "empty or rising whole numbers from 2 to 64",
    lambda orders: all(low < high for low, high in pairwise([1, *orders, 65])),
)


@dataclass(kw_only=True)
class NGramSettings:
    """
    ngrams: numbers of last tokens that have a vector together, added to the token's own; empty for none.
    ngram_rows: of the table of each, on which n-grams fall by a hash.
    """

    ngrams: list[int] = field(metadata=NGRAMS)
    ngram_rows: int = whole(1, WIDEST)


@dataclass(kw_only=True)
class DistillationSettings:
    """Answers of a trained network, as targets beside the labels. The section `distillation`.

    weight: share of the loss that they have.
    temperature: that the logits of both are divided by.
    """

    weight: float = unit()
    temperature: float = positive()


@dataclass(kw_only=True)
class EvaluateSettings:
    """What is measured once a model is trained. The section `evaluate`.

    split: that a trained model is read on once: test, or validation, to compare settings.
    """

    split: str = one_of(*SPLITS)


@dataclass(kw_only=True)
class TrainSettings:
    """How a model is trained. The section `train` of every recipe.

    epochs: passes over the training examples at most.
    batch_size: examples per batch.
    batch_tokens: padded tokens per batch and side, for recipes that batch by tokens; 0: not used.
    learning_rate: of AdamW, after `warmup` updates; then down to zero over all epochs.
    schedule: how it comes down, `cosine` or `linear`.
    beta2: decay of AdamW's mean of squared gradients.
    embedding_rate: learning rate of embedding tables relative to that of the rest; at 0 they are held fixed.
    weight_decay: of weight matrices; vectors, leaks, thresholds and embeddings have none.
    warmup: updates over which the rate rises.
    clip: largest norm of the gradient.
    average: decay of the exponential moving average of the weights, which is what is validated and kept.
    spike_penalty: weight, in the loss, of the share of neurons that fire per sub-step; in images, neurons
        weigh as much as the additions that their spikes cause.
    label_smoothing: share of the target that is spread over all classes.
    precision: of products, for recipes that leave it open: float32, bf16, or auto, bf16 where it is faster.
    patience: epochs without a better validation score before training stops; 0 to never stop early.

    Raises:
        ValueError: naming the setting, its value and what is accepted.
    """

    epochs: int = whole(default=10)
    batch_size: int = whole(default=64)
    batch_tokens: int = accepts("0 (not used) or more padded tokens", lambda v: v >= 0, default=0)
    learning_rate: float = positive(default=2e-3)
    schedule: str = one_of(*SCHEDULES, default="cosine")
    beta2: float = share(default=0.999)
    embedding_rate: float = not_negative(default=1.0)
    weight_decay: float = not_negative(default=0.01)
    warmup: int = accepts("0 or more updates", lambda v: v >= 0, default=200)
    clip: float = accepts("a positive number", lambda v: v > 0, default=1.0)
    average: float = share(default=0.998)
    spike_penalty: float = not_negative(default=0.0)
    label_smoothing: float = share(default=0.0)
    precision: str = one_of(*PRECISIONS, default="float32")
    patience: int = accepts("0 (never stop early) or more epochs", lambda v: v >= 0, default=3)

    def __post_init__(self) -> None:
        check_values("train", self)
