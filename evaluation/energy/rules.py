"""One rule per kind of layer: what it does with an input, from a call that was seen to its counts."""

from torch import nn

from spikeseq.evaluation.energy.call import Rule
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.rules_attention import additive_attention, dot_attention, multihead_attention
from spikeseq.evaluation.energy.rules_maps import (
    bag,
    convolution,
    embedding,
    folded_convolution,
    linear,
    quantised_linear,
    token_convolution,
)
from spikeseq.evaluation.energy.rules_neurons import (
    elementwise,
    integrator,
    neurons,
    norm_layer,
    normalised_neurons,
    rectified,
)
from spikeseq.evaluation.energy.rules_recurrent import folded_recurrent, quantised_recurrent, recurrent
from spikeseq.events import EventConv1d, EventLinear
from spikeseq.fold import FoldedConv, FoldedRecurrent
from spikeseq.nn import (
    LIF,
    AdditiveAttention,
    DotAttention,
    Integrator,
    NormalisedLIF,
    NormalisedReLU,
    SequenceDropout,
    StepBatchNorm,
    TimedDropout,
    TokenConv1d,
)

free: Rule = lambda module, call: Operations()  # noqa: E731


def quantised_kinds() -> dict[type[nn.Module], Rule]:
    """Torch's own 8-bit layers, as long as torch has them."""
    try:
        from torch.ao.nn.quantized import dynamic
    except ImportError:
        return {}
    return {
        dynamic.Linear: quantised_linear,
        dynamic.LSTM: quantised_recurrent,
        dynamic.GRU: quantised_recurrent,
    }


RULES: dict[type[nn.Module], Rule] = {
    **quantised_kinds(),
    nn.Linear: linear,
    EventLinear: linear,
    EventConv1d: token_convolution,
    TokenConv1d: token_convolution,
    nn.Conv1d: convolution,
    nn.Conv2d: convolution,
    nn.Embedding: embedding,
    nn.EmbeddingBag: bag,
    FoldedRecurrent: folded_recurrent,
    FoldedConv: folded_convolution,
    nn.RNNBase: recurrent,
    nn.RNNCellBase: recurrent,
    DotAttention: dot_attention,
    AdditiveAttention: additive_attention,
    nn.MultiheadAttention: multihead_attention,
    NormalisedLIF: normalised_neurons,
    NormalisedReLU: rectified,
    LIF: neurons,
    Integrator: integrator,
    nn.LayerNorm: norm_layer("layer"),
    nn.GroupNorm: norm_layer("layer"),
    StepBatchNorm: norm_layer("batch"),
    nn.modules.batchnorm._BatchNorm: norm_layer("batch"),
    nn.ReLU: elementwise(0, 1),
    nn.LeakyReLU: elementwise(1, 1),
    nn.Tanh: elementwise(1, 0),
    nn.Sigmoid: elementwise(1, 0),
    nn.GELU: elementwise(3, 1),
    nn.SiLU: elementwise(2, 0),
    nn.Softmax: elementwise(2, 2),
    nn.LogSoftmax: elementwise(1, 3),
    nn.modules.pooling._AvgPoolNd: elementwise(0, 1),
    nn.modules.pooling._MaxPoolNd: elementwise(0, 1),
    nn.AdaptiveAvgPool1d: elementwise(0, 1),
    nn.AdaptiveAvgPool2d: elementwise(0, 1),
    nn.modules.dropout._DropoutNd: free,
    SequenceDropout: free,
    TimedDropout: free,
    nn.Identity: free,
    nn.Flatten: free,
    nn.Unflatten: free,
}
"""By kind of layer, the more special kinds first."""


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module; None for what is not known, or is only made of others."""
    return next((rule for kind, rule in RULES.items() if isinstance(module, kind)), None)
