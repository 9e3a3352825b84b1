"""One rule per class of layer: what it does with an input, from a call that was seen to its counts.

A rule is for modules that are exactly of its class (`spikeseq.modules`). What others do is seen operation by
operation (`products`).
"""

from typing import NamedTuple

from torch import nn

from spikeseq.evaluation.energy.call import Rule
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.rules_attention import (
    additive_attention,
    dot_attention,
    multihead_attention,
    rounded_additive_attention,
    rounded_attention,
)
from spikeseq.evaluation.energy.rules_language import streamed
from spikeseq.evaluation.energy.rules_maps import (
    bag,
    convolution,
    embedding,
    folded_convolution,
    linear,
    quantised_linear,
    rounded,
    rounded_bag,
    rounded_convolution,
    rounded_embedding,
    rounded_linear,
    rounded_map,
    rounded_table,
    token_convolution,
    token_shift,
)
from spikeseq.evaluation.energy.rules_neurons import (
    elementwise,
    integrator,
    mean_over_text,
    neurons,
    norm_layer,
    normalised_neurons,
    rectified,
)
from spikeseq.evaluation.energy.rules_recurrent import (
    folded_recurrent,
    quantised_recurrent,
    recurrent,
    rounded_recurrent,
)
from spikeseq.events import EventConv1d, EventLinear
from spikeseq.fold import FoldedConv, FoldedRecurrent
from spikeseq.models.language import TokenShift
from spikeseq.models.language.stream import StreamedLanguageModel
from spikeseq.models.sentiment import MeanOverText
from spikeseq.models.seq2seq.stacks import LeakyIntegrator
from spikeseq.modules import class_of, dense, rewritten
from spikeseq.nn import (
    LIF,
    AdditiveAttention,
    CausalConv1d,
    DotAttention,
    Integrator,
    LIFCell,
    NormalisedLIF,
    NormalisedReLU,
    SequenceDropout,
    StepBatchNorm,
    TimedDropout,
    TokenConv1d,
)
from spikeseq.quantisation import QuantisedLinear, QuantisedRecurrence, QuantisedTable, Quantiser
from spikeseq.quantisation.attention import RoundedAdditiveAttention, RoundedDotAttention
from spikeseq.quantisation.convolutional import RoundedTokenConv1d
from spikeseq.quantisation.gated import GateMap
from spikeseq.quantisation.maps import QuantisedBag
from spikeseq.quantisation.rounded import RoundedEmbedding, RoundedLinear
from spikeseq.quantisation.spiking import FixedPointLIF


class Known(NamedTuple):
    """How a class is counted.

    rule: from a call to its counts. core: whether it is a convolution or a recurrent layer, the scope of
    thesis table 6.9. parts: modules inside that the rule accounts for. passes: whether values go
    through as they are, or one by one: spikes may come out.
    """

    rule: Rule
    core: bool = False
    parts: tuple[str, ...] = ()
    passes: bool = False


def single(multiplies: int, adds: int) -> Known:
    return Known(elementwise(multiplies, adds), passes=True)


free = Known(lambda module, call: Operations(), passes=True)
gated, layer_norm, batch_norm = (
    Known(recurrent, core=True),
    Known(norm_layer("layer")),
    Known(norm_layer("batch")),
)
image, tokens = Known(convolution, core=True), Known(token_convolution, core=True)
pooled = single(0, 1)


def quantised_kinds() -> dict[type[nn.Module], Known]:
    """Torch's own 8-bit layers, as long as torch has them."""
    try:
        from torch.ao.nn.quantized import dynamic
    except ImportError:
        return {}
    return {
        dynamic.Linear: Known(quantised_linear, parts=("",)),
        dynamic.LSTM: Known(quantised_recurrent, core=True, parts=("",)),
        dynamic.GRU: Known(quantised_recurrent, core=True, parts=("",)),
    }


RULES: dict[type[nn.Module], Known] = {
    **quantised_kinds(),
    nn.Linear: Known(linear),
    EventLinear: Known(linear),
    **dict.fromkeys((EventConv1d, TokenConv1d, CausalConv1d), tokens),
    TokenShift: Known(token_shift, core=True),
    StreamedLanguageModel: Known(streamed, parts=("",)),
    **dict.fromkeys((nn.Conv1d, nn.Conv2d, nn.Conv3d), image),
    nn.Embedding: Known(embedding),
    nn.EmbeddingBag: Known(bag),
    FoldedRecurrent: Known(folded_recurrent, core=True),
    FoldedConv: Known(folded_convolution, core=True),
    QuantisedRecurrence: Known(rounded_recurrent, core=True, parts=("",)),
    QuantisedTable: Known(rounded_table),
    QuantisedBag: Known(rounded_bag),
    QuantisedLinear: Known(rounded_linear),
    Quantiser: Known(rounded),
    RoundedLinear: Known(rounded_map, parts=("inputs", "weights")),
    GateMap: Known(rounded_map, core=True, parts=("inputs", "weights")),
    RoundedTokenConv1d: Known(rounded_convolution, core=True, parts=("inputs", "weights")),
    RoundedEmbedding: Known(rounded_embedding, parts=("weights",)),
    RoundedAdditiveAttention: Known(
        rounded_additive_attention, parts=("score", "score.inputs", "score.weights", "values", "shares")
    ),
    RoundedDotAttention: Known(rounded_attention, parts=("queries", "keys", "values", "shares")),
    **dict.fromkeys((nn.LSTM, nn.GRU, nn.RNN, nn.LSTMCell, nn.GRUCell, nn.RNNCell), gated),
    DotAttention: Known(dot_attention),
    AdditiveAttention: Known(additive_attention, parts=("score",)),
    nn.MultiheadAttention: Known(multihead_attention, parts=("",)),
    NormalisedLIF: Known(normalised_neurons, parts=("batch",)),
    NormalisedReLU: Known(rectified, parts=("batch",)),
    **dict.fromkeys((LIF, LIFCell, FixedPointLIF), Known(neurons)),
    **dict.fromkeys((Integrator, LeakyIntegrator), Known(integrator)),
    MeanOverText: Known(mean_over_text),
    **dict.fromkeys((nn.LayerNorm, nn.GroupNorm), layer_norm),
    StepBatchNorm: Known(norm_layer("batch"), parts=("",)),
    **dict.fromkeys((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm), batch_norm),
    nn.ReLU: single(0, 1),
    nn.LeakyReLU: single(1, 1),
    nn.Tanh: single(1, 0),
    nn.Sigmoid: single(1, 0),
    nn.GELU: single(3, 1),
    nn.SiLU: single(2, 0),
    nn.Softmax: single(2, 2),
    nn.LogSoftmax: single(1, 3),
    **dict.fromkeys((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), pooled),
    **dict.fromkeys((nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d), pooled),
    **dict.fromkeys((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d), pooled),
    **dict.fromkeys((nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d), free),
    **dict.fromkeys((nn.AlphaDropout, nn.FeatureAlphaDropout, SequenceDropout, TimedDropout), free),
    **dict.fromkeys((nn.Identity, nn.Flatten, nn.Unflatten), free),
}


def known(module: nn.Module) -> Known | None:
    """How a module is counted; None for what is not known, or is only made of others.

    The `forward` must be that of its class, also of the parts that its rule accounts for, and the weights
    dense. Hooks, pruning and parametrizations are counted beside it.
    """
    found = RULES.get(class_of(module))
    if found is None:
        return None
    inside = [module, *(part for _, part in covered(module, found))]
    return None if any(rewritten(part) or not dense(part) for part in inside) else found


def covered(module: nn.Module, found: Known) -> list[tuple[str, nn.Module]]:
    """The parts of a module, by name, that its rule accounts for."""
    inside = [(name, part) for name, part in module.named_modules() if name]
    return inside if "" in found.parts else [(name, part) for name, part in inside if name in found.parts]
