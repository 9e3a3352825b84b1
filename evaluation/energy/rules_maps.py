"""What maps of values do: linear ones, convolutions, look-ups."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.energy.call import Call
from spikeseq.evaluation.energy.operations import FLOAT, STATE, Operations, macs_of_bits, product, rows_of
from spikeseq.events import EventConv1d
from spikeseq.fold import FoldedConv
from spikeseq.models.language import TokenShift
from spikeseq.nn import TokenConv1d
from spikeseq.ops.taps import ranges
from spikeseq.quantisation import QuantisedLinear, QuantisedTable, Quantiser
from spikeseq.quantisation.convolutional import RoundedTokenConv1d
from spikeseq.quantisation.maps import QuantisedBag
from spikeseq.quantisation.rounded import RoundedEmbedding, RoundedLinear


def linear(module: Any, call: Call) -> Operations:
    x = call.rows(call.input)
    bias, size = module.bias is not None, module.weight.element_size()
    return product(x, module.out_features, bias=bias, spikes=call.spikes(x), size=size)


def rounded_linear(module: QuantisedLinear | RoundedLinear, call: Call) -> Operations:
    """Weights of few bits, met by spikes: a bit each, or where they are summed up a byte.

    The sums stay where the neurons that they are for take them up (`rules_neurons.whole_number_neurons`).
    """
    x = call.rows(call.input)
    spikes = call.spikes(x)
    outputs, size = rows_of(x) * module.out_features, module.bits / 8
    biases = 0.0 if module.bias is None else outputs
    if spikes is None:  # an analog value has the bits of the weights
        met, kind, read = float(x.numel()), macs_of_bits(module.bits), size
    else:
        met, kind, read = spikes, "int_acs", 1 / 8 if spikes == float((x != 0).sum()) else 1.0
    return Operations(
        **{kind: met * module.out_features},
        int_adds=biases,
        weight_bytes=size * met * module.out_features + STATE * biases,
        dense_bytes=size * x.numel() * module.out_features + STATE * biases,
        activation_bytes=read * x.numel(),
    )


def token_convolution(module: TokenConv1d | EventConv1d, call: Call) -> Operations:
    """Each value once for every tap whose output token exists."""
    x, state = call.input, call.arguments.get("state")
    given = x if state is None else torch.cat((state, x))
    before = 0 if state is not None else module.kernel_size - 1 if module.causal else module.kernel_size // 2
    mask = None if call.ragged is None or state is not None else call.ragged.mask(x, batch=x.dim() - 2)
    spikes, values = call.spikes(given, "state"), 0.0
    for inputs, made in ranges(len(given), len(x), module.kernel_size, before):
        part = given[inputs]
        if not len(part):
            continue
        if mask is not None:
            counts = (mask[inputs] & mask[made]).view(len(part), *[1] * (x.dim() - 3), -1, 1)
            part = part * counts if spikes is not None else counts.expand_as(part).to(part.dtype)
        values += float(part.double().sum()) if spikes is not None or mask is not None else part.numel()
    unit = 1.0 if not spikes else float(given.double().sum()) / spikes
    rows = rows_of(x) if mask is None else float(mask.sum()) * math.prod(x.shape[1:-2])
    outputs = module.out_channels
    size = module.weight.element_size()
    found = mapped(values / unit, outputs, rows, module.bias is not None, spikes is not None, size=size)
    if spikes is not None:
        dense = given.numel() if mask is None else rows * given.shape[-1]  # but for the ends of a text
        found.dense_bytes += size * (module.kernel_size * dense - values / unit) * outputs
    if call.arguments.get("plus") is not None:
        found += Operations(adds=rows * outputs)
    return found


def few_bits(bits: int, met: float, outputs: float, given: float, *, bias: bool, dense: float) -> Operations:
    """A map of operands of few bits: `met` inputs that are not zero, each into all weights that it has.

    Args:
        met, dense: products, and those if no input were zero. outputs, given: values. Each is brought to its
            scale by a product, an output and a bias in 16 bits.
    """
    size, biases = bits / 8, outputs if bias else 0.0
    return Operations(
        **{macs_of_bits(bits): met},
        int_multiplies=given + outputs,
        int_adds=biases,
        weight_bytes=size * met + STATE * biases,
        dense_bytes=size * dense + STATE * biases,
        activation_bytes=size * given + STATE * outputs,
    )


def rounded_map(module: RoundedLinear, call: Call) -> Operations:
    """Zeros among the rounded inputs are skipped; spikes are not rounded. Sums are written, in 16 bits."""
    x = call.rows(call.input)
    if module.inputs is None:
        found = rounded_linear(module, call)
        found += Operations(activation_bytes=STATE * rows_of(x) * module.out_features)
        return found
    outputs = rows_of(x) * module.out_features
    met = float((module.inputs(x) != 0).sum()) * module.out_features
    dense = float(x.numel() * module.out_features)
    return few_bits(module.bits, met, outputs, float(x.numel()), bias=module.bias is not None, dense=dense)


def rounded_convolution(module: RoundedTokenConv1d, call: Call) -> Operations:
    """As `token_convolution` of what is not zero: rounded values, or spikes."""
    if module.inputs is None:
        found = token_convolution(module, call)
        biases = found.adds
        return Operations(
            int_acs=found.acs, int_adds=biases,
            weight_bytes=module.bits / 8 * found.acs + STATE * biases,
            dense_bytes=module.bits / 8 * (found.dense_bytes - FLOAT * biases) / FLOAT + STATE * biases,
            activation_bytes=call.input.numel() / 8 + STATE * call.output[0].numel(),
        )  # fmt: skip
    first, *_ = call.arguments
    given = {**call.arguments, first: (module.inputs(call.input) != 0).to(call.input.dtype)}
    if given.get("state") is not None:
        given["state"] = (given["state"] != 0).to(call.input.dtype)
    seen = replace(call, arguments=given, judge=lambda x, values: float(x.sum()))
    found, outputs = token_convolution(module, seen), float(call.output[0].numel())
    dense = (found.dense_bytes - FLOAT * outputs * (module.bias is not None)) / FLOAT
    return few_bits(
        module.bits, found.acs, outputs, float(call.input.numel()), bias=module.bias is not None, dense=dense
    )


def rounded_embedding(module: RoundedEmbedding, call: Call) -> Operations:
    found = embedding(module, call)
    share = module.bits / 8 / FLOAT
    return Operations(
        weight_bytes=share * found.weight_bytes, activation_bytes=share * found.activation_bytes
    )


def token_shift(module: TokenShift, call: Call) -> Operations:
    """Each value once for every tap whose output token exists."""
    x, taps = call.input, module.kernel_size
    if call.arguments.get("state") is None:
        values = sum(max(0, len(x) - tap) for tap in range(taps)) * x[0].numel()
    else:
        values = taps * x.numel()
    read = FLOAT * values
    return Operations(
        macs=values, weight_bytes=read, dense_bytes=read, activation_bytes=FLOAT * (values + x.numel())
    )


def mapped(
    values: float, fan_out: float, outputs: float, bias: bool, spiking: bool, size: int = FLOAT
) -> Operations:
    """A convolution: `values` inputs, each counted once for every tap, into `outputs` rows of `fan_out`."""
    read = (size * values + FLOAT * (outputs if bias else 0.0)) * fan_out
    return Operations(
        **{"acs" if spiking else "macs": values * fan_out},
        adds=outputs * fan_out if bias else 0.0,
        weight_bytes=read,
        dense_bytes=read,
        activation_bytes=FLOAT * (values + outputs * fan_out),
    )


def convolution(module: Any, call: Call) -> Operations:
    """Conv1d, Conv2d and Conv3d; padding by copies of values is multiplied like any other value."""
    x, padding = call.input, module.padding
    spikes = call.spikes(x)
    if module.padding_mode != "zeros":
        total = float(x.double().abs().sum())
        x = nn.functional.pad(x, module._reversed_padding_repeated_twice, mode=module.padding_mode)
        padding = 0
        if spikes:
            spikes *= float(x.double().abs().sum()) / total
    return convolved(
        x, module.weight, call.output, spikes, bias=module.bias is not None, stride=module.stride,
        padding=padding, dilation=module.dilation, groups=module.groups,
    )  # fmt: skip


def convolved(
    x: Tensor,
    weight: Tensor,
    out: Tensor,
    spikes: float | None,
    *,
    bias: bool,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    transposed: bool = False,
) -> Operations:
    """A value meets the weights of those outputs that exist; zeros around it are nothing.

    Args:
        spikes: the number of them in x, or None.
    """
    spatial = weight.dim() - 2
    x = x if x.dim() == spatial + 2 else x.unsqueeze(0)
    if spikes is None:
        seen = torch.ones_like(x, dtype=torch.float64).sum(1, True)
    else:  # a spike that is subtracted is one too
        sizes = x.double().abs()
        seen = (sizes / (float(sizes.sum()) / spikes) if spikes else sizes).sum(1, True)
    kernel = torch.ones(1, 1, *weight.shape[2:], dtype=seen.dtype, device=seen.device)
    conv: Any = (CONVOLUTIONS_BACK if transposed else CONVOLUTIONS)[spatial - 1]
    met = conv(seen, kernel, stride=stride, padding=padding, dilation=dilation)
    channels = weight.shape[1] * groups if transposed else len(weight)
    found = mapped(
        float(met.sum()), channels / groups, 0.0, False, spikes is not None, size=weight.element_size()
    )
    values = out.numel()
    biases = values if bias else 0.0
    found += Operations(
        adds=biases, weight_bytes=FLOAT * biases, dense_bytes=FLOAT * biases, activation_bytes=FLOAT * values
    )
    if spikes is not None and not transposed:  # every value around an output, but for the borders
        found.dense_bytes = weight.element_size() * values * weight[0].numel() + FLOAT * biases
    return found


F = nn.functional
CONVOLUTIONS = (F.conv1d, F.conv2d, F.conv3d)
CONVOLUTIONS_BACK = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def embedding(module: Any, call: Call) -> Operations:
    """A look-up: a row is read and handed on. What is padding by its id is none."""
    ids = call.input
    mask = None if call.ragged is None or ids.dim() != 2 else call.ragged.mask(ids)
    ids = ids if mask is None else ids[mask]
    looked_up = ids.numel() if module.padding_idx is None else float((ids != module.padding_idx).sum())
    values = FLOAT * module.embedding_dim * looked_up
    return Operations(weight_bytes=values, activation_bytes=values)


def rounded_table(module: QuantisedTable, call: Call) -> Operations:
    """A look-up of values of few bits."""
    ids = call.input
    mask = None if call.ragged is None or ids.dim() != 2 else call.ragged.mask(ids)
    values = float(ids.numel() if mask is None else mask.sum()) * module.embedding_dim * module.bits / 8
    return Operations(weight_bytes=values, activation_bytes=values)


def rounded_bag(module: QuantisedBag, call: Call) -> Operations:
    """Rows of few bits, added."""
    values = float(call.input.numel() * module.embedding_dim)
    read = module.bits / 8 * values
    return Operations(int_adds=values, weight_bytes=read, activation_bytes=read)


def rounded(module: Quantiser, call: Call) -> Operations:
    """Each value brought to its step; weights are rounded once and for all."""
    values = 0.0 if module.constant else float(call.rows(call.input).numel())
    return Operations(int_multiplies=values, activation_bytes=module.bits / 8 * values)


def bag(module: Any, call: Call) -> Operations:
    weights, size = call.arguments.get("per_sample_weights"), module.embedding_dim
    words = float(call.input.numel() if weights is None else (weights != 0).sum())
    return Operations(
        **{"acs" if weights is None else "macs": words * size},
        weight_bytes=FLOAT * words * size,
        activation_bytes=FLOAT * (call.output.numel() + (0 if weights is None else words)),
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


def quantised_linear(module: Any, call: Call) -> Operations:
    """Dynamic 8-bit quantisation: weights of a byte, activations scaled and rounded on the way."""
    x = call.rows(call.input)
    outputs = rows_of(x) * module.out_features
    read = x.numel() * module.out_features + FLOAT * outputs
    return Operations(
        int8_macs=x.numel() * module.out_features, multiplies=x.numel() + outputs, adds=outputs,
        weight_bytes=read, dense_bytes=read,
        activation_bytes=x.numel() + FLOAT * outputs,
    )  # fmt: skip
