"""What attention does."""

from typing import Any

import torch
from torch import nn

from spikeseq.evaluation.energy.call import Call
from spikeseq.evaluation.energy.operations import FLOAT, Operations, macs_of_bits
from spikeseq.nn import AdditiveAttention
from spikeseq.quantisation.attention import RoundedAdditiveAttention, RoundedDotAttention


def dot_attention(module: Any, call: Call) -> Operations:
    """Scores, softmax and the weighted sum of values; projections are maps of their own."""
    size, pairs = call.arguments["prepared"].values.shape[2], attended(call)
    return products(2 * pairs * size, pairs)


def rounded_attention(module: RoundedDotAttention, call: Call) -> Operations:
    """`dot_attention` of operands of few bits, each rounded once."""
    prepared, pairs = call.arguments["prepared"], attended(call)
    size, bits = prepared.values.shape[2], module.bits
    queries = float(call.rows(call.input).numel()) / module.query_map.in_features * size
    products = 2 * pairs * size
    return Operations(
        **{macs_of_bits(bits): products},
        int_multiplies=3 * pairs + 2 * queries,
        int_adds=2 * pairs,
        activation_bytes=bits / 8 * products,
    )


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


def rounded_additive_attention(module: RoundedAdditiveAttention, call: Call) -> Operations:
    """`additive_attention` of operands of few bits: what tanh gives, and each share, is rounded once."""
    prepared, pairs, size = call.arguments["prepared"], attended(call), module.bits / 8
    compared = pairs * prepared.keys.shape[2]
    products = compared + pairs * prepared.values.shape[2]
    return Operations(
        **{macs_of_bits(module.bits): products},
        int_multiplies=3 * pairs + 2 * compared,
        int_adds=2 * pairs + compared,
        weight_bytes=size * compared,
        activation_bytes=size * products,
    )


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
