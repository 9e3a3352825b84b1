"""Settings of the recipe for language models: what they mean, what they accept, and where they do nothing."""

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


@dataclass(kw_only=True)
class LanguageData(DataSettings):
    """
    unit: what a token is: byte, subword or word.
    unit_size: subwords that are learnt, or words at most.
    min_frequency: occurrences; rarer words become <unk>.
    strip_lines: no white space at the ends of lines, as the public figures on the Penn Treebank have it.
    text_column: name of the column with texts in files that have columns.
    validation_share: share of the training text that chooses the epoch, where it has no split of its own.
    test_share: share held out where the text has no test split.
    reset: states begin anew at every document; else they are handed on.
    """

    unit: str = one_of("byte", "subword", "word")
    unit_size: int = whole(4, WIDEST)
    min_frequency: int = whole()
    strip_lines: bool = field()
    text_column: str = field()
    validation_share: float = part()
    test_share: float = part()
    reset: bool = field()


@dataclass(kw_only=True)
class LanguageTrain(TrainSettings):
    """
    chunk: tokens between two updates; what came before them comes by the state, without gradients.
    epoch_tokens: tokens of an epoch, the next one going on behind them; null for all.
    """

    chunk: int = whole(2, WIDEST)
    epoch_tokens: int | None = whole(1)


@dataclass(kw_only=True)
class SizeSettings:
    """
    embedding_size: numbers of a token's vector, and of the stream between blocks.
    layers: blocks, or layers of the RNN or transformer.
    embedding_dropout, dropout, output_dropout: shares silenced of the tokens' vectors, of what layers give,
        and of what the output map reads.
    """

    embedding_size: int = whole(1, WIDEST)
    layers: int = whole(1, 1000)
    embedding_dropout: float = share()
    dropout: float = share()
    output_dropout: float = share()


@dataclass(kw_only=True)
class SpikingModel(NeuronSettings, NGramSettings, SizeSettings, ModelSettings):
    """
    neurons: of a block.
    leaks: lowest and highest leak, between which neurons are spread by their time scales at the start; empty
        for `leak` in all of them.
    decay: how much of a membrane stays is a fixed number of the neuron, or computed from the input.
    kernel_size: tokens that a block's map sees: the last and those before it.
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
class RecurrentModel(NGramSettings, SizeSettings, ModelSettings):
    """
    hidden_size: units of a layer.
    """

    hidden_size: int = whole(1, WIDEST)


@dataclass(kw_only=True)
class TransformerModel(SizeSettings, ModelSettings):
    """
    heads: of attention.
    hidden_size: units of the feed-forward part.
    context: tokens that it looks back on at most.
    """

    heads: int = whole(1, 1000)
    hidden_size: int = whole(1, WIDEST)
    context: int = whole(2, WIDEST)


@dataclass(kw_only=True)
class LanguageEvaluate(EvaluateSettings):
    """
    energy_tokens: tokens that the energy account runs on.
    """

    energy_tokens: int = whole(2)


MODELS = {"snn": SpikingModel, "transformer": TransformerModel}  # the others are RNNs


def sections(model: str) -> dict[str, type]:
    return {
        "data": LanguageData,
        "model": MODELS.get(model, RecurrentModel),
        "train": LanguageTrain,
        "evaluate": LanguageEvaluate,
    }


RENAMED: dict[str, str] = {}
ADDED: dict[str, Any] = {"model.ngrams": list[int]()}


IDLE = (
    Idle(("train.batch_tokens",), always, "on language models, whose batches are rows of a text"),
    Idle(("train.precision",), always, "on language models, whose products are in float32"),
    Idle(("train.label_smoothing",), always, "on language models, which are measured by probabilities"),
    NOT_SPIKING,
    Idle(("data.unit_size",), lambda config: config.data.unit == "byte", "on bytes, of which there are 256"),
    Idle(("data.min_frequency",), lambda config: config.data.unit != "word", "without data.unit=word"),
    Idle(
        dotted("data", ("text_column", "validation_share", "test_share", "split_seed")),
        brings_splits,
        "on --data {data.source}, which has splits of its own",
    ),
    Idle(
        ("model.leak",),
        lambda config: bool(config.model.get("leaks")),
        "with model.leaks, which spreads leaks; model.leaks=[] takes one for all",
    ),
    IDLE_ROWS,
    Idle(
        ("model.recurrent",),
        lambda config: config.model.get("decay") == "input",
        "with model.decay=input, which goes without feedback",
    ),
    Idle(
        ("model.dropout",),
        lambda config: config.model.name in ("lstm", "gru") and config.model.layers == 1,
        "on one layer, as it acts between layers",
    ),
    Idle(
        ("data.reset",),
        lambda config: config.model.name == "transformer",
        "on transformer, whose chunks begin anew",
    ),
)
