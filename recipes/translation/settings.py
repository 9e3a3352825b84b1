"""Settings of the recipe for translation: what they mean, what they accept, and where they do nothing."""

from dataclasses import dataclass, field
from typing import Any

from spikeseq.recipes.settings import (
    LEAKS,
    WIDEST,
    DataSettings,
    EvaluateSettings,
    Idle,
    ModelSettings,
    NeuronSettings,
    TrainSettings,
    always,
    brings_splits,
    dotted,
    few_bits,
    names_of,
    not_negative,
    one_of,
    part,
    share,
    whole,
)


@dataclass(kw_only=True)
class ParallelData(DataSettings):
    """
    source_language, target_language: ends of the files' names; BLEU must know the target's tokens.
    test_split: name of the test files in a folder that has several.
    validation_share: share of the pairs cut from the training pairs where there is no validation file.
    test_share: likewise.
    tokenizer: subword, pieces learnt from the training pairs; spacy, words, as the thesis; or whitespace.
    lower: lower-case, as the thesis does.
    min_frequency: occurrences of a word in the training pairs; rarer ones become <unk>.
    pieces: of the subword tokenizer, both languages together.
    merge_dropout: share of merges left out of source pieces, anew in every epoch (BPE-dropout).
    longest: tokens; training pairs with a longer side are left out; null for none.
    """

    source_language: str = field()
    target_language: str = field()
    test_split: str = field()
    validation_share: float = part()
    test_share: float = part()
    tokenizer: str = one_of("spacy", "subword", "whitespace")
    lower: bool = field()
    min_frequency: int = whole()
    pieces: int = whole(1, WIDEST)
    merge_dropout: float = share()
    longest: int | None = whole()


@dataclass(kw_only=True)
class SideSettings(NeuronSettings, ModelSettings):
    """
    layers: of either side.
    dropout: share of the neurons silenced per token after each layer.
    embedding_dropout: share of the embeddings' features silenced.
    norm: of the currents: layer, none; of convolutions also batch.
    residual: add each layer's current to the next one's.
    """

    layers: int = whole(1, 1000)
    dropout: float = share()
    embedding_dropout: float = share()
    norm: str = field()
    residual: bool = field()


@dataclass(kw_only=True)
class ConvModel(SideSettings):
    """
    channels: of all layers and embeddings.
    kernel_size: tokens that a convolution spans.
    positions: rows of the position tables; later tokens share the last one.
    stream: membranes persist from token to token.
    detach_reset: no gradient through the reset: less noise from sub-step to sub-step.
    bits: of the operands of all products, rounded in training as they are deployed; null: float32.
    """

    channels: int = whole(1, WIDEST)
    kernel_size: int = whole(1, WIDEST)
    positions: int = whole(1, WIDEST)
    stream: bool = field()
    detach_reset: bool = field()
    bits: int | None = few_bits()
    norm: str = one_of("layer", "batch", "none")


@dataclass(kw_only=True)
class RecurrentModel(SideSettings):
    """
    embedding_size: numbers of a token's vector, in both languages.
    hidden_size: neurons of a layer and direction.
    layers: of the encoder, and of the decoder in all, but at least two there.
    bidirectional: the encoder reads its source from both ends.
    carry_state: the decoder starts from a map of the encoder's final state, not from zero.
    leaks: two leaks that the neurons of a layer are spread between, each with a leak and threshold of its
        own; empty: one of both per layer, starting at `leak`.
    bypass: the residual also flows into the integrators.
    accumulate: integrators at the end of a side.
    bits: of the operands of all products, rounded in training as they are deployed; null: float32.
    """

    embedding_size: int = whole(1, WIDEST)
    hidden_size: int = whole(1, WIDEST)
    bidirectional: bool = field()
    carry_state: bool = field()
    leaks: list[float] = field(metadata=LEAKS)
    bypass: bool = field()
    accumulate: bool = field()
    bits: int | None = few_bits()
    norm: str = one_of("layer", "none")


@dataclass(kw_only=True)
class TranslationEvaluate(EvaluateSettings):
    """
    beam: live hypotheses of the search that tests; 1 is greedy.
    length_penalty: power of the length that a hypothesis's log-probability is divided by; also of
        `spikeseq translate`.
    energy_texts: sentences that the energy account runs on.
    """

    beam: int = whole(1, 1000)
    length_penalty: float = not_negative()
    energy_texts: int = whole()


@dataclass(kw_only=True)
class TranslationTrain(TrainSettings):
    """
    batch_tokens: padded tokens per batch on either side.
    """

    batch_tokens: int = whole(default=2000)


def is_conv(model: str) -> bool:
    return model.startswith("conv-")


def sections(model: str) -> dict[str, type]:
    return {
        "data": ParallelData,
        "model": ConvModel if is_conv(model) else RecurrentModel,
        "train": TranslationTrain,
        "evaluate": TranslationEvaluate,
    }


RENAMED = {"model.width": "model.surrogate_width", "model.start": "model.carry_state"}
ADDED: dict[str, Any] = {}
"""Names in run folders of earlier versions, and those of today."""


def renew(config: Any) -> None:
    """A pair of leaks had the name of one."""
    if not is_conv(config.model.name) and "leak" in config.model and "leaks" not in config.model:
        if isinstance(config.model.leak, float | int):
            config.model.leaks = []
        else:
            config.model.leaks = config.model.pop("leak")


def no_spikes(config: Any) -> bool:
    return "snn" not in config.model.name.split("-")


SPIKING = (*names_of(NeuronSettings), "detach_reset", "stream", "leaks", "bypass", "accumulate")
RECURRENT_SPIKING = ("norm", "residual")  # which convolutions with ReLU have, too

IDLE = (
    Idle(
        ("train.batch_size",),
        always,
        "on pairs, whose batches are counted in train.batch_tokens",
    ),
    Idle(("train.precision",), always, "on pairs, whose products are in float32"),
    Idle(
        ("train.spike_penalty", *dotted("model", SPIKING)),
        no_spikes,
        "on {model.name}, which has no spiking side",
    ),
    Idle(
        dotted("model", RECURRENT_SPIKING),
        lambda config: no_spikes(config) and not is_conv(config.model.name),
        "on {model.name}, which has no spiking side",
    ),
    Idle(
        ("model.leak",),
        lambda config: bool(config.model.get("leaks")),
        "with model.leaks={model.leaks}; for one leak per layer, model.leaks=[]",
    ),
    Idle(
        dotted("data", ("pieces", "merge_dropout")),
        lambda config: config.data.tokenizer != "subword",
        "with data.tokenizer={data.tokenizer}, only with subword",
    ),
    Idle(
        ("data.min_frequency",),
        lambda config: config.data.tokenizer == "subword",
        "with data.tokenizer=subword, whose pieces are all kept",
    ),
    Idle(
        dotted("data", ("validation_share", "test_share")),
        brings_splits,
        "on --data {data.source}, which brings its splits",
    ),
    Idle(
        ("data.split_seed",),
        lambda config: brings_splits(config) and config.data.limit is None,
        "on --data {data.source}, which brings its splits, without data.limit",
    ),
)
