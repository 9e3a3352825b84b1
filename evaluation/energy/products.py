"""What operations of torch do where no module answers for them: seen below all functions, in the dispatcher.

Views, copies, indexing, and what is made from nothing cost nothing. Single values (pointwise operations) and
reductions are not seen. Products, normalisations, softmax and look-ups are counted. All else is named.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.energy.follow import Known, blown_up
from spikeseq.evaluation.energy.operations import FLOAT, Operations, product, rows_of
from spikeseq.evaluation.energy.rules_attention import products
from spikeseq.evaluation.energy.rules_maps import convolved
from spikeseq.evaluation.energy.rules_neurons import normalised


@dataclass(frozen=True)
class Seen:
    """An operation of torch that has run.

    spikes: their number in a tensor, as `Call.spikes`. rows: a tensor (rows, features) without padding.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Any
    known: Known
    spikes: Callable[[Tensor, Tensor], float | None]
    rows: Callable[[Tensor], Tensor]

    def argument(self, index: int, default: Any = None) -> Any:
        return self.args[index] if len(self.args) > index else default

    def weight(self, x: Tensor) -> bool:
        values = self.known.get(x)
        return values is not None and values.weight


def matrix(seen: Seen, left: Tensor, right: Tensor, bias: Any = None) -> Operations:
    """(..., m, k) times (..., k, n). The weights are what is made of parameters; else the right ones."""
    if seen.weight(left) and not seen.weight(right):
        left, right = right.mT, left.mT
    spikes = seen.spikes(left, seen.rows(left))
    told = seen.known.get(right)
    if spikes is None and told is not None and told.height is not None:
        left, right, spikes = right.mT, left.mT, seen.spikes(right, right)
    x = seen.rows(left)
    found = product(x, right.shape[-1], bias=bias is not None, spikes=spikes, size=right.element_size())
    if not seen.weight(right):  # activations on both sides
        both = found.macs + found.acs
        return Operations(macs=found.macs, acs=found.acs, adds=found.adds, activation_bytes=FLOAT * both)
    return found


def mm(seen: Seen) -> Operations:
    return matrix(seen, seen.args[0], seen.args[1])


def addmm(seen: Seen) -> Operations:
    return matrix(seen, seen.args[1], seen.args[2], seen.args[0])


def mv(seen: Seen) -> Operations:
    return matrix(seen, seen.args[0], seen.args[1].unsqueeze(1))


def addmv(seen: Seen) -> Operations:
    return matrix(seen, seen.args[1], seen.args[2].unsqueeze(1), seen.args[0])


def dot(seen: Seen) -> Operations:
    return matrix(seen, seen.args[0].unsqueeze(0), seen.args[1].unsqueeze(1))


def addr(seen: Seen) -> Operations:
    return matrix(seen, seen.args[1].unsqueeze(1), seen.args[2].unsqueeze(0), seen.args[0])


def value_by_value(seen: Seen) -> Operations:
    """An outer product: a MAC for each of its values. Factors of the same size are half a product so far."""
    if blown_up(seen.args[0], seen.args[1], seen.out):
        size = float(seen.out.numel())
        return Operations(macs=size, activation_bytes=FLOAT * size)
    return Operations()


def total(seen: Seen) -> Operations:
    """A sum of products is a matrix product."""
    values = seen.known.get(seen.args[0])
    if values is None or not values.factors:
        return Operations()
    size = float(seen.args[0].numel())
    return Operations(macs=size, activation_bytes=FLOAT * size)


def convolution(seen: Seen) -> Operations:
    x, weight, bias, stride, padding, dilation, transposed, _, groups = seen.args[:9]
    return convolved(
        x, weight, seen.out, seen.spikes(x, x), bias=bias is not None, stride=stride, padding=padding,
        dilation=dilation, groups=groups, transposed=transposed,
    )  # fmt: skip


def recurrent_layer(seen: Seen) -> Operations:
    """One layer and direction of an LSTM: its products; gates are single values."""
    x, of_input, of_state = seen.args[:3]
    spikes, tokens = seen.spikes(x, x), rows_of(x)
    found = product(x, of_input.shape[0], bias=False, spikes=spikes)
    found += Operations(macs=tokens * of_state.numel(), weight_bytes=FLOAT * tokens * of_state.numel())
    return found


def attention(seen: Seen) -> Operations:
    query, key, value = seen.args[:3]
    causal = bool(seen.argument(5) if isinstance(seen.argument(5), bool) else seen.kwargs.get("is_causal"))
    asked, given = query.shape[-2], key.shape[-2]
    pairs = sum(min(i + 1, given) for i in range(asked)) if causal else asked * given
    pairs *= query[..., 0, 0].numel()
    return products(float(pairs * (query.shape[-1] + value.shape[-1])), float(pairs))


def normalisation(kind: str) -> Callable[[Seen], Operations]:
    def rule(seen: Seen) -> Operations:
        values = float(seen.rows(seen.args[0]).numel())
        # Of a batch, or an instance, statistics are known beforehand unless they are asked for.
        own = kind == "batch" and seen.argument(5) is True
        found = normalised(values, "layer" if own else kind)
        found += Operations(activation_bytes=FLOAT * 2 * values)
        return found

    return rule


def each(multiplies: int, adds: int) -> Callable[[Seen], Operations]:
    def rule(seen: Seen) -> Operations:
        values = float(seen.rows(seen.args[0]).numel())
        return Operations(
            multiplies=multiplies * values, adds=adds * values, activation_bytes=FLOAT * 2 * values
        )

    return rule


def length(seen: Seen) -> Operations:
    values = float(seen.args[0].numel())
    return Operations(multiplies=values, adds=values, activation_bytes=FLOAT * values)


def look_up(seen: Seen) -> Operations:
    size = FLOAT * float(seen.out.numel())
    return Operations(weight_bytes=size, activation_bytes=size)


COUNTED: dict[str, Callable[[Seen], Operations]] = {
    "mm": mm, "bmm": mm, "addmm": addmm, "baddbmm": addmm, "addbmm": addmm, "mv": mv, "addmv": addmv,
    "dot": dot, "vdot": dot, "addr": addr, "mul": value_by_value, "sum": total, "mean": total,
    "convolution": convolution, "mkldnn_rnn_layer": recurrent_layer,
    "_scaled_dot_product_flash_attention": attention,
    "_scaled_dot_product_flash_attention_for_cpu": attention,
    "_scaled_dot_product_efficient_attention": attention,
    "_scaled_dot_product_cudnn_attention": attention,
    "native_layer_norm": normalisation("layer"), "native_group_norm": normalisation("layer"),
    "native_batch_norm": normalisation("batch"), "cudnn_batch_norm": normalisation("batch"),
    "_native_batch_norm_legit_no_training": normalisation("batch"), "linalg_vector_norm": length,
    "_softmax": each(2, 2), "_safe_softmax": each(2, 2), "_log_softmax": each(1, 3), "embedding": look_up,
}  # fmt: skip

FREE = {
    *("copy", "copy_", "clone", "_to_copy", "cat", "stack", "_stack", "_chunk_cat", "block_diag", "flip"),
    *("repeat", "repeat_interleave", "roll", "rot90", "_unsafe_view", "_reshape_copy", "pixel_shuffle"),
    *("pixel_unshuffle", "channel_shuffle", "constant_pad_nd", "im2col", "tril", "triu", "diag_embed"),
    *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "unsafe_split", "lift", "lift_fresh"),
    *("replication_pad1d", "replication_pad2d", "replication_pad3d", "unsafe_split_with_sizes", "set"),
    *("index", "index_select", "index_put", "index_copy", "index_fill", "gather", "scatter", "take", "put"),
    *("_unsafe_index", "_unsafe_index_put", "_index_put_impl", "select_scatter", "diagonal_scatter"),
    *("slice_scatter", "as_strided_scatter", "masked_fill", "masked_scatter", "masked_select", "nonzero"),
    *("fill", "zero", "zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like"),
    *("randint_like", "new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided", "uniform"),
    *("normal", "random", "bernoulli", "exponential", "multinomial", "poisson", "native_dropout", "resize"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_pack_padded_sequence", "item"),
    *("_local_scalar_dense", "is_same_size", "isin", "_assert_async", "_assert_tensor_metadata", "complex"),
    *("_is_all_true", "_is_any_true", "_nnz", "_lazy_clone", "_fused_sdp_choice", "_pin_memory", "equal"),
    *("_has_same_storage_numel",),
}
SMALL = {
    *("avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d"),
    *("adaptive_max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices", "max_unpool2d"),
    *("cumsum", "cummax", "cummin", "_cummax_helper", "_cummin_helper", "logcumsumexp", "_logcumsumexp"),
    *("sort", "topk", "kthvalue", "median", "mode", "unique_consecutive", "_unique2", "searchsorted"),
    *("bucketize", "bincount", "index_add", "scatter_add", "scatter_reduce", "index_reduce", "col2im"),
    *("relu", "gelu", "glu", "hardswish", "log_sigmoid_forward", "_prelu_kernel", "threshold", "copysign"),
    *("eq", "ne", "gt", "ge", "lt", "le", "rsub", "floor_divide", "heaviside", "xlogy", "mish"),
    *("trace", "allclose", "max", "min", "all", "any", "argmax", "argmin", "polar", "rrelu_with_noise"),
    *("mse_loss", "smooth_l1_loss", "huber_loss", "nll_loss_forward", "nll_loss2d_forward"),
    *("binary_cross_entropy", "binary_cross_entropy_with_logits", "soft_margin_loss"),
}
MARKS = {"rsqrt"}
"""Pointwise, and the part of a normalisation by which it is known: an RMS norm is several operations."""

SILENT = {"profiler", "prim"}
"""Spaces of what computes nothing: names for a profile, questions about a tensor."""


def kind_of(function: Any) -> str:
    """Of an operation: "free", "small", "counted" or "unknown"."""
    space, name = function._schema.name.split("::")
    name = name.removesuffix("_")
    tags = function.tags
    if space in SILENT:
        return "free"
    if space != "aten" or name in MARKS:
        return "unknown"
    if name in COUNTED:
        return "counted"
    views = torch.Tag.view_copy in tags or torch.Tag.inplace_view in tags or function.is_view
    if views or name in FREE or not any("Tensor" in str(a.type) for a in function._schema.arguments):
        return "free"
    small = torch.Tag.pointwise in tags or torch.Tag.reduction in tags or name in SMALL
    return "small" if small else "unknown"
