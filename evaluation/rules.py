"""What each kind of layer does with an input: one rule per kind, from a call that was seen to its counts.

Whether an input is spikes is read off its values. Rows past a sequence's length are not counted.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from spikeseq.events import EventConv1d, EventLinear
from spikeseq.fold import FoldedConv, FoldedRecurrent
from spikeseq.functional.taps import ranges
from spikeseq.models.seq2seq.stacks import LeakyIntegrator
from spikeseq.nn import (
    LIF,
    AdditiveAttention,
    DotAttention,
    Integrator,
    LIFCell,
    NormalisedLIF,
    NormalisedReLU,
    SequenceDropout,
    TokenConv1d,
)

from .operations import FLOAT, Operations, product, rows_of, spikes_in


@dataclass(frozen=True)
class Ragged:
    """A padded batch: (L, B, ...), or (B, L, ...) if `batch_first`; `lengths` (B,) tokens count."""

    lengths: Tensor
    longest: int
    batch_first: bool = False

    def mask(self, x: Tensor, batch: int = 1) -> Tensor | None:
        """True for the rows of x that count, (L', B), L' a multiple of L; (B, L) if `batch_first`.

        None if x is no such batch.
        """
        lengths = self.lengths.to(x.device)
        if self.batch_first:
            if x.shape[:2] != (len(lengths), self.longest):
                return None
            return torch.arange(self.longest, device=x.device) < lengths.unsqueeze(1)
        steps, left = divmod(len(x), self.longest) if self.longest else (0, 1)
        if left or x.dim() <= batch or x.shape[batch] != len(lengths):
            return None
        return torch.arange(len(x), device=x.device).unsqueeze(1) < lengths * steps


@dataclass(frozen=True)
class Call:
    """One call of a module: its arguments by name, its output, and the padded batch that it is part of."""

    arguments: dict[str, Any]
    output: Any
    ragged: Ragged | None

    @property
    def input(self) -> Any:
        return next(iter(self.arguments.values()))

    def rows(self, x: Tensor) -> Tensor:
        """x (*, features) without the rows that are padding."""
        mask = None if self.ragged is None or x.dim() != 3 else self.ragged.mask(x)
        return x if mask is None else x[mask]


Rule = Callable[[Any, Call], Operations]


def linear(module: Any, call: Call) -> Operations:
    x = call.rows(call.input)
    spikes, bias = spikes_in(x), module.bias is not None
    return product(x, module.out_features, bias=bias, spikes=spikes, size=module.weight.element_size())


def token_convolution(module: TokenConv1d | EventConv1d, call: Call) -> Operations:
    """Each value once for every tap whose output token exists."""
    x, state = call.input, call.arguments.get("state")
    given = x if state is None else torch.cat((state, x))
    before = 0 if state is not None else module.kernel_size - 1 if module.causal else module.kernel_size // 2
    mask = None if call.ragged is None or state is not None else call.ragged.mask(x, batch=x.dim() - 2)
    spikes, values = spikes_in(given), 0.0
    for inputs, made in ranges(len(given), len(x), module.kernel_size, before):
        part = given[inputs]
        if not len(part):
            continue
        if mask is not None:
            counts = (mask[inputs] & mask[made]).view(len(part), *[1] * (x.dim() - 3), -1, 1)
            part = part * counts if spikes is not None else counts.expand_as(part).to(part.dtype)
        values += float(part.double().sum()) if spikes is not None or mask is not None else part.numel()
    unit = 1.0 if not spikes else float(given.double().sum()) / spikes
    rows = rows_of(x) if mask is None else float(mask.sum()) * x[0].numel() / (x.shape[-2] * x.shape[-1])
    outputs = module.out_features if isinstance(module, EventConv1d) else module.out_channels
    found = mapped(
        values / unit, outputs, rows, module.bias is not None, spikes is not None,
        size=module.weight.element_size(),
    )  # fmt: skip
    if call.arguments.get("plus") is not None:
        found += Operations(adds=rows * outputs)
    return found


def mapped(
    values: float, fan_out: float, outputs: float, bias: bool, spiking: bool, size: int = FLOAT
) -> Operations:
    """A convolution: `values` inputs, each counted once for every tap, into `outputs` rows of `fan_out`."""
    return Operations(
        **{"acs" if spiking else "macs": values * fan_out},
        adds=outputs * fan_out if bias else 0.0,
        weight_bytes=(size * values + FLOAT * (outputs if bias else 0.0)) * fan_out,
        activation_bytes=FLOAT * (values + outputs * fan_out),
    )


def convolution(module: Any, call: Call) -> Operations:
    """Conv1d and Conv2d: a value meets the weights of those outputs that exist; padding is nothing."""
    x = call.input
    spatial = module.weight.dim() - 2
    batched = x if x.dim() == spatial + 2 else x.unsqueeze(0)
    spikes = spikes_in(batched)
    unit = 1.0 if not spikes else float(batched.double().sum()) / spikes
    seen = (batched.double() / unit if spikes is not None else torch.ones_like(batched).double()).sum(1, True)
    kernel = torch.ones(1, 1, *module.kernel_size, dtype=seen.dtype, device=seen.device)
    conv = (nn.functional.conv1d, nn.functional.conv2d)[spatial - 1]
    padding: Any = module.padding
    if module.padding_mode != "zeros":  # copies of values, which are multiplied like any other
        seen = nn.functional.pad(seen, module._reversed_padding_repeated_twice, mode=module.padding_mode)
        padding = 0
    met = conv(seen, kernel, stride=module.stride, padding=padding, dilation=module.dilation)
    outputs = call.output.numel() / module.out_channels
    fan_out = module.out_channels / module.groups
    found = mapped(float(met.sum()), fan_out, 0.0, False, spikes is not None)
    biases = outputs * module.out_channels if module.bias is not None else 0.0
    found += Operations(
        adds=biases, weight_bytes=FLOAT * biases, activation_bytes=FLOAT * outputs * module.out_channels
    )
    return found


def embedding(module: Any, call: Call) -> Operations:
    """A look-up: a row is read and handed on. What is padding by its id is none."""
    ids = call.input
    mask = None if call.ragged is None or ids.dim() != 2 else call.ragged.mask(ids)
    ids = ids if mask is None else ids[mask]
    looked_up = ids.numel() if module.padding_idx is None else float((ids != module.padding_idx).sum())
    values = FLOAT * module.embedding_dim * looked_up
    return Operations(weight_bytes=values, activation_bytes=values)


def bag(module: Any, call: Call) -> Operations:
    weights, size = call.arguments.get("per_sample_weights"), module.embedding_dim
    words = float(call.input.numel() if weights is None else (weights != 0).sum())
    return Operations(
        **{"acs" if weights is None else "macs": words * size},
        weight_bytes=FLOAT * words * size,
        activation_bytes=FLOAT * (call.output.numel() + (0 if weights is None else words)),
    )


# Gates of a recurrent layer, and per hidden value: products and functions, sums, states kept.
RECURRENT = {"LSTM": (4, 8, 1, 2), "GRU": (3, 6, 2, 1), "RNN": (1, 1, 0, 1)}


def recurrent(module: Any, call: Call) -> Operations:
    """Every weight once a token: 4 (LSTM), 3 (GRU), 1 (RNN) times f_in f_out + f_out f_out, eq. 6.3, 6.4.

    The input maps of a first layer whose input is spikes are ACs.
    """
    x = tokens_of(module, call)
    gates, functions, sums, states = RECURRENT[type(module).__name__.removesuffix("Cell")]
    layers, directions = getattr(module, "num_layers", 1), 2 if getattr(module, "bidirectional", False) else 1
    sizes = {name: p.numel() for name, p in module.named_parameters()}
    weights = sum(size for name, size in sizes.items() if name.startswith("weight"))
    biases = sum(size for name, size in sizes.items() if name.startswith("bias"))
    hidden, tokens, spikes = layers * directions * module.hidden_size, rows_of(x), spikes_in(x)
    fan_out = directions * gates * module.hidden_size
    analog = tokens * (weights if spikes is None else weights - x.shape[-1] * fan_out)
    read = analog + (spikes or 0.0) * fan_out
    between = tokens * 2 * (layers - 1) * directions * module.hidden_size
    return Operations(
        macs=analog,
        acs=(spikes or 0.0) * fan_out,
        multiplies=tokens * hidden * functions,
        adds=tokens * (hidden * sums + biases),
        weight_bytes=FLOAT * (read + tokens * biases),
        state_bytes=FLOAT * tokens * 2 * states * hidden,
        activation_bytes=FLOAT * (x.numel() + between + tokens * directions * module.hidden_size),
    )


def folded_recurrent(module: FoldedRecurrent, call: Call) -> Operations:
    """The recurrence that is left of eq. 6.3 and 6.4: f_out f_out per gate; the looked-up input is added."""
    tokens = rows_of(call.rows(call.input))
    gates, functions, sums, states = RECURRENT[module.kind]
    hidden, biases = module.hidden_size, 0 if module.bias is None else module.bias.numel()
    weights = module.weight.numel()
    return Operations(
        macs=tokens * weights,
        multiplies=tokens * hidden * functions,
        adds=tokens * (hidden * (sums + gates) + biases),
        weight_bytes=FLOAT * tokens * (weights + biases),
        state_bytes=FLOAT * tokens * 2 * states * hidden,
        activation_bytes=FLOAT * tokens * hidden * (gates + 1),
    )


def folded_convolution(module: FoldedConv, call: Call) -> Operations:
    """Look-ups, one for each tap whose token exists, added."""
    ids = call.input
    size = module.tables.shape[2]
    spans = ranges(len(ids), len(ids), len(module.tables), module.before)
    found = sum(len(ids[given]) for given, _ in spans) * ids[0].numel() * size
    biases = 0 if module.bias is None else ids.numel() * size
    return Operations(
        adds=found - ids.numel() * size + biases, weight_bytes=FLOAT * (found + biases),
        activation_bytes=FLOAT * ids.numel() * size,
    )  # fmt: skip


def tokens_of(module: Any, call: Call) -> Tensor:
    """(tokens, features) of a recurrent layer's input, without padding."""
    x = call.input
    if isinstance(x, PackedSequence):
        return x.data
    turned = getattr(module, "batch_first", False) and x.dim() == 3
    known = call.ragged is not None and call.ragged.batch_first
    return call.rows(x.transpose(0, 1) if turned and not known else x)


def dot_attention(module: Any, call: Call) -> Operations:
    """Scores, softmax and the weighted sum of values; projections are maps of their own."""
    size, pairs = call.arguments["prepared"].values.shape[2], attended(call)
    return products(2 * pairs * size, pairs)


def additive_attention(module: AdditiveAttention, call: Call) -> Operations:
    """The sums and tanh that compare, the scores, softmax and the weighted sum."""
    prepared, pairs = call.arguments["prepared"], attended(call)
    compared = pairs * prepared.keys.shape[2]
    found = products(pairs * prepared.values.shape[2], pairs)
    found += Operations(
        macs=compared, multiplies=compared, adds=compared,
        weight_bytes=FLOAT * compared, activation_bytes=FLOAT * compared,
    )  # fmt: skip
    return found


def attended(call: Call) -> float:
    """Pairs of a query and a source token, both of which count."""
    weights, lengths = call.output[1], call.arguments.get("lengths")  # (L, B, S)
    queries = torch.ones_like(weights[..., 0])
    mask = None if call.ragged is None else call.ragged.mask(weights)
    if mask is not None:
        queries = queries * mask
    sources = queries.new_full((weights.shape[1],), weights.shape[2]) if lengths is None else lengths
    return float((queries.sum(0) * sources).sum())


def products(macs: float, pairs: float) -> Operations:
    """MACs between activations, and a softmax over `pairs` scores."""
    return Operations(macs=macs, multiplies=2 * pairs, adds=2 * pairs, activation_bytes=FLOAT * macs)


def multihead_attention(module: nn.MultiheadAttention, call: Call) -> Operations:
    """nn.MultiheadAttention, whose projections are its own; padding is not known here, so give none."""
    query, key = call.arguments["query"], call.arguments["key"]
    batched = query.dim() == 3
    time = 1 if batched and module.batch_first else 0
    asked, given, size = query.shape[time], key.shape[time], module.embed_dim
    batch = query.shape[1 - time] if batched else 1
    biases = sum(p.numel() for name, p in module.named_parameters() if "bias" in name)
    inputs = asked * 2 * size + given * (module.kdim + module.vdim)  # of the four projections
    maps = float(batch * inputs * size)
    found = products(batch * 2.0 * asked * given * size, batch * float(module.num_heads) * asked * given)
    values = batch * (asked * (query.shape[-1] + 2 * size) + given * (module.kdim + module.vdim + 2 * size))
    added = batch * max(asked, given) * float(biases)
    found += Operations(
        macs=maps, adds=added, weight_bytes=FLOAT * (maps + added), activation_bytes=FLOAT * float(values)
    )
    return found


def neurons(module: LIF, call: Call) -> Operations:
    """Updates per neuron and sub-step, the membrane read and written at each; spikes as in eq. 6.6."""
    current, out = call.input, call.output[0]
    steps = call.arguments.get("substeps") or module.substeps
    readout, lengths = call.arguments.get("readout", "spikes"), call.arguments.get("lengths")
    cell = isinstance(module, LIFCell)
    rows, batch = (1, len(current)) if cell else current.shape[:2]
    size = prod(current.shape[1:] if cell else current.shape[2:])
    if readout == "membrane":
        out, _ = module.forward(**{**call.arguments, "readout": "rate"})
    scale = 1.0 if readout == "spikes" else call.arguments.get("window") or steps
    spikes = float(out.double().sum()) * scale
    tokens = float(rows * batch if lengths is None else lengths.sum())
    windows = steps / (call.arguments.get("window") or steps)
    written = tokens * size * windows if readout == "membrane" else None
    return fired(spikes, size, tokens, steps, currents=tokens * size, written=written)


def fired(
    spikes: float, size: int, tokens: float, steps: int, *, currents: float, written: float | None = None
) -> Operations:
    """Of `size` neurons over `tokens` of `steps` sub-steps; they read `currents` values and write spikes, or
    `written` analog values."""
    updates = tokens * steps * size
    return Operations(
        updates=updates,
        adds=spikes,  # the reset
        state_bytes=FLOAT * 2 * updates,
        activation_bytes=FLOAT * (currents + (spikes if written is None else written)),
        spikes=spikes,
        neurons=size,
    )


def normalised_neurons(module: NormalisedLIF, call: Call) -> Operations:
    currents, lengths = call.input, call.arguments.get("lengths")
    tokens = float(currents.shape[0] * currents.shape[2] if lengths is None else lengths.sum())
    values = tokens * currents.shape[1] * module.features
    spikes = float(call.output[0].double().sum())
    found = fired(spikes, module.features, tokens, module.substeps, currents=values)
    found += normalised(values, module.norm)
    return found


def rectified(module: NormalisedReLU, call: Call) -> Operations:
    x, lengths = call.input, call.arguments.get("lengths")
    values = float(x.numel() if lengths is None else lengths.sum() * x.shape[1] * x.shape[3])
    found = normalised(values, module.norm)
    found += Operations(adds=values, activation_bytes=FLOAT * 2 * values)
    return found


def normalised(values: float, norm: str) -> Operations:
    """Layer: mean, variance, scale, gain and offset. Batch: gain and offset, the rest is known beforehand."""
    multiplies, adds = {"layer": (3, 4), "batch": (1, 1), "none": (0, 0)}[norm]
    return Operations(multiplies=multiplies * values, adds=adds * values)


def integrator(module: Any, call: Call) -> Operations:
    """Adds per value and sub-step; leaky ones multiply as well."""
    current, lengths = call.input, call.arguments.get("lengths")
    rows = current.shape[0] * current.shape[1] if lengths is None else float(lengths.sum())
    values = float(rows * prod(current.shape[2:]) * getattr(module, "substeps", 1))
    leaky = isinstance(module, LeakyIntegrator)
    return Operations(
        multiplies=2 * values if leaky else 0.0, adds=values, state_bytes=FLOAT * 2 * values,
        activation_bytes=FLOAT * 2 * values,
    )  # fmt: skip


def norm_layer(kind: str) -> Rule:
    def rule(module: Any, call: Call) -> Operations:
        values = float(call.rows(call.input).numel())
        found = normalised(values, kind)
        found += Operations(activation_bytes=FLOAT * 2 * values)
        return found

    return rule


def elementwise(multiplies: int, adds: int) -> Rule:
    def rule(module: Any, call: Call) -> Operations:
        values = float(call.rows(call.input).numel())
        return Operations(
            multiplies=multiplies * values, adds=adds * values, activation_bytes=FLOAT * 2 * values
        )

    return rule


def quantised_linear(module: Any, call: Call) -> Operations:
    """Dynamic 8-bit quantisation: weights of a byte, activations scaled and rounded on the way."""
    x = call.rows(call.input)
    outputs = rows_of(x) * module.out_features
    return Operations(
        int8_macs=x.numel() * module.out_features, multiplies=x.numel() + outputs, adds=outputs,
        weight_bytes=x.numel() * module.out_features + FLOAT * outputs,
        activation_bytes=x.numel() + FLOAT * outputs,
    )  # fmt: skip


def quantised_recurrent(module: Any, call: Call) -> Operations:
    """The 8-bit form of `recurrent`; gates and states stay float32."""
    x = tokens_of(module, call)
    gates, functions, sums, states = RECURRENT[type(module).__name__]
    tokens, hidden = rows_of(x), module.hidden_size
    directions = 2 if module.bidirectional else 1
    inputs = [x.shape[-1]] + [hidden * directions] * (module.num_layers - 1)
    weights = sum(directions * gates * hidden * (size + hidden) for size in inputs)
    cells = module.num_layers * directions * hidden
    return Operations(
        int8_macs=tokens * weights,
        multiplies=tokens * (cells * (functions + 2 * gates) + sum(inputs)),
        adds=tokens * cells * (sums + 2 * gates),
        weight_bytes=tokens * (weights + FLOAT * 2 * gates * cells),
        state_bytes=FLOAT * tokens * 2 * states * cells,
        activation_bytes=tokens * (x.shape[-1] + FLOAT * hidden * directions),
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
    nn.Identity: free,
    nn.Flatten: free,
    nn.Unflatten: free,
}
"""By kind of layer, the more special kinds first."""


def rule_of(module: nn.Module) -> Rule | None:
    """The rule of a module; None for what is not known, or is only made of others."""
    return next((rule for kind, rule in RULES.items() if isinstance(module, kind)), None)


def bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name."""
    try:
        return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {**{str(i): value for i, value in enumerate(args)}, **kwargs}
