"""Settings of the recipes for long sequences: what they mean, what they accept, and where they do nothing."""

from dataclasses import dataclass, field
from typing import Any

from spikeseq.recipes.settings import (
    IDLE_ROWS,
    LEAKS,
    NOT_SPIKING,
    WIDEST,
    DataSettings,
    EvaluateSettings,
    Idle,
    ModelSettings,
    NeuronSettings,
    NGramSettings,
    TrainSettings,
    always,
    brings_splits,
    dotted,
    one_of,
    part,
    share,
    whole,
)

PICTURES = {"psmnist": "mnist", "scifar": "cifar10"}
"""Recipes whose sequences are pixels, and the image recipe that their images are read by."""


@dataclass(kw_only=True)
class SequenceData(DataSettings):
    """
    recipe: what sequences are made of.
    validation_share: share of the training sequences of each class that chooses the epoch.
    size: side in pixels that images are brought to; null: as they are.
    shift: pixels that a training image moves at most.
    flip: mirror half of the training images.
    permutation: seed of the fixed order in which pixels come; null: row by row.
    text_column, label_column: names of the columns in files that have columns.
    test_share: share of the rows held out where a user's file has no test split.
    longest: bytes kept of a text, its first ones.
    """

    recipe: str = field()
    validation_share: float = part()
    size: int | None = whole(1, 10_000)
    shift: int = whole(0, 1000)
    flip: bool = field()
    permutation: int | None = whole(0, 2**32 - 1)
    text_column: str = field()
    label_column: str = field()
    test_share: float = part()
    longest: int = whole(1, WIDEST)


@dataclass(kw_only=True)
class FrontSettings(NGramSettings):
    """
    embedding_size: numbers of a vector that the front gives, and of the stream between blocks.
    stride: rows, pixels or bytes, from tick to tick; what is behind the front runs once a tick.
    recent: rows that the front's map sees as they are, at least `stride`; 0: none; null: as many as `stride`.
    modes: oscillators that remember what came before; 0 for none.
    span: rows in which they fade, and the slowest of them turns once.
    layers: blocks, or layers of the RNN.
    front_dropout, dropout, output_dropout: shares silenced of what the front gives, of what layers give, and
        of what is read out.
    readout: mean, over ticks, or last, of the last tick.
    """

    embedding_size: int = whole(1, WIDEST)
    stride: int = whole(1, WIDEST)
    recent: int | None = whole(0, WIDEST)
    modes: int = whole(0, WIDEST)
    span: int = whole(1, WIDEST)
    layers: int = whole(1, 1000)
    front_dropout: float = share()
    dropout: float = share()
    output_dropout: float = share()
    readout: str = one_of("mean", "last")


@dataclass(kw_only=True)
class SpikingModel(NeuronSettings, FrontSettings, ModelSettings):
    """
    neurons: of a block.
    leaks: lowest and highest leak, between which neurons are spread by their time scales at the start; empty
        for `leak` in all of them.
    decay: how much of a membrane stays is a fixed number of the neuron, or computed from the input.
    kernel_size: ticks that a block's map sees: the last and those before it.
    recurrent: neurons hear each other's last spikes.
    mixer: neurons without memory in a second part of each block; 0 for none.
    """

    neurons: int = whole(1, WIDEST)
    leaks: list[float] = field(metadata=LEAKS)
    decay: str = one_of("fixed", "input")
    kernel_size: int = whole(1, 1000)
    recurrent: bool = field()
    mixer: int = whole(0, WIDEST)


@dataclass(kw_only=True)
class RecurrentModel(FrontSettings, ModelSettings):
    """
    hidden_size: units of a layer.
    """

    hidden_size: int = whole(1, WIDEST)


@dataclass(kw_only=True)
class SequenceEvaluate(EvaluateSettings):
    """
    energy_sequences: sequences that the energy account runs on.
    streamed_sequences: sequences that are also read row by row, to compare the answers.
    """

    energy_sequences: int = whole()
    streamed_sequences: int = whole()


def sections(model: str) -> dict[str, type]:
    return {
        "data": SequenceData,
        "model": SpikingModel if model == "snn" else RecurrentModel,
        "train": TrainSettings,
        "evaluate": SequenceEvaluate,
    }


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {}


def of_pixels(config: Any) -> bool:
    return config.data.recipe in PICTURES


IDLE = (
    Idle(("train.batch_tokens",), always, "on sequences, whose batches are counted in sequences"),
    Idle(("train.precision",), always, "on sequences, whose products are in float32"),
    NOT_SPIKING,
    Idle(
        (
            *dotted("data", ("text_column", "label_column", "test_share", "longest")),
            *("model.ngrams", "model.ngram_rows", "train.embedding_rate"),
        ),
        of_pixels,
        "on {data.recipe}, whose sequences are pixels",
    ),
    Idle(
        (
            *dotted("data", ("size", "shift", "flip", "permutation")),
            *dotted("model", ("recent", "modes", "span")),
        ),
        lambda config: not of_pixels(config),
        "on {data.recipe}, whose sequences are bytes",
    ),
    Idle(("data.size",), lambda config: config.data.source == "sample", "on the sample, of one size"),
    Idle(
        dotted("data", ("text_column", "label_column", "test_share")),
        brings_splits,
        "on --data {data.source}, which has columns and splits of its own",
    ),
    Idle(("model.span",), lambda config: not config.model.modes, "without model.modes"),
    IDLE_ROWS,
    Idle(
        ("model.leak",),
        lambda config: bool(config.model.get("leaks")),
        "with model.leaks, which spreads leaks; model.leaks=[] takes one for all",
    ),
    Idle(
        ("model.recurrent",),
        lambda config: config.model.get("decay") == "input",
        "with model.decay=input, which goes without feedback",
    ),
    Idle(
        ("model.dropout",),
        lambda config: config.model.name != "snn" and config.model.layers == 1,
        "on one layer, as it acts between layers",
    ),
)
