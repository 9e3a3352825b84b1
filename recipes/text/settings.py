"""Settings of the recipe for texts: what they mean, what they accept, and where they do nothing."""

from dataclasses import dataclass, field, fields
from typing import Any

from spikeseq.recipes.settings import (
    IDLE_ROWS,
    NOT_SPIKING,
    WIDEST,
    DataSettings,
    DistillationSettings,
    EvaluateSettings,
    Idle,
    ModelSettings,
    NeuronSettings,
    NGramSettings,
    TrainSettings,
    always,
    brings_splits,
    dotted,
    few_bits,
    one_of,
    part,
    positive,
    share,
    unit,
    whole,
)


@dataclass(kw_only=True)
class TextData(DataSettings):
    """
    text_column, label_column: names of the columns in files that have columns.
    test_share: share of the rows held out where a user's file has no test split.
    folds: parts of a cross-validation, for data without a test split; null for none. --folds trains them all.
    fold: the part that is tested on, from 1; the others are trained on.
    validation_share: share of the training texts that chooses the epoch, where there is no validation split.
    tokenizer: spacy-en, spacy-de, spacy-fr or whitespace.
    min_frequency: occurrences; rarer words become <unk>.
    vocabulary: words at most.
    kept_tokens: of a text, its head and tail, half each, as opinions stand at either end; null for all.
    vectors: "train", skip-gram on the training and unlabelled texts; a file, of GloVe or `spikeseq vectors`;
        or null.
    vector_words: whether all words of that file join the vocabulary, known though training texts lack them.
    vector_size: numbers of a trained vector.
    vector_epochs: passes that train them.
    vector_window: words to either side that a word is learnt from.
    vector_sample: frequency beyond which words are left out at random: faster, and windows reach further.
    vector_workers: threads; more than one is faster, and not reproducible bit for bit.
    vector_scale: standard deviation to which vectors are brought.
    """

    text_column: str = field()
    label_column: str = field()
    test_share: float = part()
    folds: int | None = whole(2, WIDEST)
    fold: int = whole(1, WIDEST)
    validation_share: float = part()
    tokenizer: str = field()
    min_frequency: int = whole()
    vocabulary: int = whole()
    kept_tokens: int | None = whole()
    vectors: str | None = field()
    vector_words: bool = field()
    vector_size: int = whole(1, WIDEST)
    vector_epochs: int = whole()
    vector_window: int = whole(1, WIDEST)
    vector_sample: float = unit()
    vector_workers: int = whole(1, 1024)
    vector_scale: float = positive()


@dataclass(kw_only=True)
class SizeSettings:
    """
    embedding_size: numbers of a word's vector.
    hidden_size: neurons of a layer.
    embedding_dropout, dropout: shares silenced by masks that are fixed over a text.
    word_dropout: share of the words taken for padding in training.
    """

    embedding_size: int = whole(1, WIDEST)
    hidden_size: int = whole(1, WIDEST)
    embedding_dropout: float = share()
    dropout: float = share()
    word_dropout: float = share()


@dataclass(kw_only=True)
class SpikingModel(NeuronSettings, NGramSettings, SizeSettings, ModelSettings):
    """
    kernel_size: tokens that the first map sees; 3 also sees the two before.
    integrators: neurons of the integrating layer.
    recurrent: neurons hear each other's last spikes.
    per_channel: one leak and threshold per neuron, not per layer.
    """

    kernel_size: int = whole(1, WIDEST)
    integrators: int = whole(1, WIDEST)
    recurrent: bool = field()
    per_channel: bool = field()


@dataclass(kw_only=True)
class RecurrentModel(NGramSettings, SizeSettings, ModelSettings):
    """
    pooling: of outputs: mean, over the text, or last, of the last token.
    bits: of the recurrence's operands, rounded in training as they are deployed; null: float32.
    rectified: with bits, states that are zero unless they pass a learnt threshold.
    start: the run that --from names, of the same model in float32.
    """

    pooling: str = one_of("mean", "last")
    bits: int | None = few_bits()
    rectified: bool = field()
    start: str | None = field()


@dataclass(kw_only=True)
class TextDistillation(DistillationSettings):
    """Answers of trained classifiers, as targets beside the labels. The section `distillation`.

    teachers: run folders of this recipe, whose answers are averaged; empty for none.
    unlabelled: learn from texts without a label, too, of which answers alone are known.
    """

    teachers: list[str] = field()
    unlabelled: bool = field()


@dataclass(kw_only=True)
class TextEvaluate(EvaluateSettings):
    """
    shuffled: also test on texts with shuffled tokens: what is left without their order.
    uncut: all tokens of a text where it is tested or classified, also of those that training cut
        (data.kept_tokens).
    energy_texts: texts that the energy account runs on.
    whole_numbers: also test and count the spiking network in whole numbers, with weights of 8 and of 4 bits,
        which takes longer than all other tests.
    """

    shuffled: bool = field()
    uncut: bool = field()
    energy_texts: int = whole()
    whole_numbers: bool = field()


@dataclass(kw_only=True)
class BagModel(NGramSettings, ModelSettings):
    pass


MODELS = {"snn": SpikingModel, "bow": BagModel}  # the others are RNNs


def sections(model: str) -> dict[str, type]:
    return {
        "data": TextData,
        "model": MODELS.get(model, RecurrentModel),
        "distillation": TextDistillation,
        "train": TrainSettings,
        "evaluate": TextEvaluate,
    }


RENAMED = {"data.longest": "data.kept_tokens", "model.width": "model.surrogate_width"}
ADDED: dict[str, Any] = {
    "model.ngrams": list[int](),
    "distillation": {},
    "evaluate.uncut": False,
    "evaluate.whole_numbers": False,
}
"""Names in run folders of earlier versions, and those of today; what earlier runs have not."""

OF_ANY_VECTORS = ("vector_words", "vector_scale")

TRAINED_VECTORS = [
    one.name for one in fields(TextData) if one.name.startswith("vector_") and one.name not in OF_ANY_VECTORS
]


def no_vectors(config: Any) -> bool:
    return config.data.vectors is None


def in_folds(config: Any) -> bool:
    return config.data.folds is not None


IDLE = (
    Idle(
        dotted("distillation", ("weight", "temperature", "unlabelled")),
        lambda config: not config.distillation.teachers,
        "without distillation.teachers",
    ),
    Idle(("train.batch_tokens",), always, "on texts, whose batches are counted in texts"),
    Idle(("train.precision",), always, "on texts, whose products are in float32"),
    NOT_SPIKING,
    Idle(
        ("evaluate.whole_numbers",),
        lambda config: config.model.name != "snn",
        "on {model.name}, which has no form in whole numbers",
    ),
    Idle(
        ("evaluate.whole_numbers",),
        lambda config: config.model.get("kernel_size", 1) > 1 or config.model.get("recurrent", False),
        "with model.kernel_size above 1 or model.recurrent, which have no form in whole numbers",
    ),
    IDLE_ROWS,
    Idle(
        ("evaluate.uncut",),
        lambda config: config.data.kept_tokens is None,
        "with data.kept_tokens=null, which cuts no text",
    ),
    Idle(
        ("train.embedding_rate", "data.vector_scale"),
        lambda config: config.model.name == "bow",
        "on bow, which has no embedding",
    ),
    Idle(
        ("data.vectors",),
        lambda config: config.model.name == "bow" and not no_vectors(config),
        "on bow, which has no embedding",
    ),
    Idle(
        dotted("data", TRAINED_VECTORS),
        lambda config: config.data.vectors != "train",
        "without data.vectors=train",
    ),
    Idle(
        ("model.bits", "model.rectified"),
        lambda config: config.model.name == "rnn",
        "on rnn; lstm and gru have operands of few bits",
    ),
    Idle(
        ("model.rectified",),
        lambda config: config.model.get("bits") is None,
        "without model.bits",
    ),
    Idle(("data.vector_scale",), no_vectors, "without data.vectors"),
    Idle(
        ("data.vector_words",),
        lambda config: config.data.vectors in (None, "train"),
        "without a file as data.vectors",
    ),
    Idle(("data.test_share",), in_folds, "with data.folds"),
    Idle(("data.fold",), lambda config: not in_folds(config), "without data.folds"),
    Idle(
        dotted("data", ("text_column", "label_column", "test_share", "folds", "fold")),
        brings_splits,
        "on --data {data.source}, which has columns and splits of its own",
    ),
)
