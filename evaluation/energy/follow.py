"""What is known of tensors while a model runs, followed from what made them to the map that reads them.

Known are the memories of tensors, so a view knows what its base knows. A tensor of which nothing is known
(an input, what somebody else's neurons emit) is left for `operations.spikes_in` to judge by its values.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef


class Values(NamedTuple):
    """height: of a spike, where values are spikes or sums of them; 0.0: all are zero; None: analog.

    weight: made of parameters and buffers alone. factors: a product, value by value, of two analog tensors,
    which is half of a matrix product: the sum is missing.
    """

    height: float | None = None
    weight: bool = False
    factors: bool = False


ANALOG, ZERO, BINARY = Values(), Values(0.0), Values(1.0)


class Known:
    """What is known, by the memory of tensors. Memory that is gone is forgotten."""

    def __init__(self) -> None:
        self.memory: dict[int, tuple[StorageWeakRef, Values]] = {}
        self.room = 1024

    def get(self, x: Any) -> Values | None:
        storage = storage_of(x)
        found = None if storage is None else self.memory.get(storage._cdata)
        return None if found is None or found[0].expired() else found[1]

    def set(self, x: Any, values: Values | None) -> None:
        storage = storage_of(x)
        if storage is None:
            return
        if values is None:
            self.memory.pop(storage._cdata, None)
            return
        if len(self.memory) >= self.room:
            self.memory = {key: one for key, one in self.memory.items() if not one[0].expired()}
            self.room = 2 * len(self.memory) + 1024
        self.memory[storage._cdata] = (StorageWeakRef(storage), values)

    def pass_on(
        self, name: str, args: Any, kwargs: Any, out: Any, written: list[Tensor], *, mixes: bool
    ) -> None:
        """From what went into an operation of torch to what came out, and to what it wrote into.

        mixes: it is a product or a normalisation, whatever went in.
        """
        values = self.passed(name, args, kwargs, out, mixes)
        given = {address(x) for x in tensors((args, kwargs))}
        for x in tensors(out):
            if address(x) not in given:  # else it is a view, or written into
                self.set(x, values)
        for x in written:
            storage = storage_of(x)
            whole = storage is not None and x.numel() * x.element_size() == storage.nbytes()
            self.set(x, values if whole else joined([self.get(x), values]))

    def passed(self, name: str, args: Any, kwargs: Any, out: Any, mixes: bool) -> Values | None:
        given = [x for x in tensors((args, kwargs)) if x.is_floating_point() or x.dtype == torch.bool]
        found = [self.get(x) for x in given]
        if name in THRESHOLDS:
            return BINARY
        if name in ZEROS:
            return ZERO
        if rule := HEIGHTS.get(name):
            return rule(self, args, kwargs, out)
        if name in FIRST:
            return found[0] if found else None
        if name in ALIKE:
            return joined(found)
        if name in STEPS:
            return None
        if name in LOOKED_UP:
            return ANALOG
        if given and all(one is not None and one.weight for one in found):
            return Values(weight=True)
        if mixes or any(one is not None and one.height is None for one in found):
            return ANALOG
        return None


def storage_of(x: Any) -> Any:
    """The memory of a tensor; None for those that have none: sparse, quantised, not made yet."""
    if not isinstance(x, Tensor):
        return None
    try:
        return x.untyped_storage()
    except (NotImplementedError, RuntimeError, ValueError):
        return None


def address(x: Any) -> int | None:
    storage = storage_of(x)
    return None if storage is None else int(storage._cdata)


def tensors(tree: Any) -> Iterator[Tensor]:
    match tree:
        case Tensor():
            yield tree
        case dict():
            for part in tree.values():
                yield from tensors(part)
        case list() | tuple():
            for part in tree:
                yield from tensors(part)


def joined(found: list[Values | None]) -> Values | None:
    """Of tensors put side by side or added: spikes of one height stay such; beside analog values all is."""
    some = [one for one in found if one is None or one.height != 0]
    if not some:
        return ZERO if found else None
    if all(one is not None and one == some[0] for one in some):
        return some[0]
    if any(one is not None and one.height is None for one in some):
        return Values(weight=all(one is not None and one.weight for one in some))
    heights = {None if one is None else one.height for one in some}
    return Values(heights.pop()) if len(heights) == 1 and None not in heights else None


def scaled(values: Values | None, factor: float) -> Values | None:
    if values is None or values.height is None:
        return values
    return values._replace(height=values.height * abs(factor)) if math.isfinite(factor) else None


def number(x: Any) -> float | None:
    """A factor that all values share, of a number or a tensor of one value."""
    match x:
        case Tensor():
            return float(x) if x.numel() == 1 and x.device.type != "meta" else None
        case bool() | int() | float():
            return float(x)
    return None


def multiplied(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    left, right = args[0], args[1]
    for x, factor in ((left, number(right)), (right, number(left))):
        if factor is not None and isinstance(x, Tensor):
            return scaled(known.get(x), factor)
    one, other = known.get(left), known.get(right)
    if one is not None and other is not None:
        if one.height is not None and other.height is not None:  # one where both are
            return Values(one.height * other.height)
        if 0.0 in (one.height, other.height):
            return ZERO
        if one.weight and other.weight:
            return Values(weight=True)
    known_analog = [x is not None and x.height is None for x in (one, other)]
    if not any(known_analog):
        return None
    gated = any(x is not None and x.height is not None for x in (one, other))
    return Values(factors=not gated and not blown_up(left, right, out))


def blown_up(left: Any, right: Any, out: Any) -> bool:
    """Whether a product, value by value, is larger than both its factors: an outer product."""
    both = isinstance(left, Tensor) and isinstance(right, Tensor) and isinstance(out, Tensor)
    return both and out.numel() > max(left.numel(), right.numel()) > 1 < min(left.numel(), right.numel())


def divided(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    factor = number(args[1])
    values = known.get(args[0])
    if factor:
        return scaled(values, 1 / factor)
    return values if values is not None and values.height in (None, 0.0) else None


def added(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    left, right = args[0], args[1]
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        alpha = float((kwargs or {}).get("alpha", 1))
        return joined([known.get(left), scaled(known.get(right), alpha)])
    x, other = (left, right) if isinstance(left, Tensor) else (right, left)
    values = known.get(x)
    if number(other) == 0 or values is None:
        return values
    return Values(weight=values.weight)


def averaged(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    values = known.get(args[0])
    return scaled(values, out.numel() / args[0].numel()) if out.numel() and args[0].numel() else values


def average_pooled(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    """Every value is a sum over one window, divided by its size, where no window is cut short."""
    given = dict(zip(POOLING, args, strict=False)) | (kwargs or {})
    values, padded = known.get(args[0]), any(given.get("padding") or [0])
    if given.get("ceil_mode") or (padded and given.get("count_include_pad") is False):
        return values if values is not None and values.height in (None, 0.0) else None
    kernel = given["kernel_size"]
    sides = args[0].dim() - 2 if args[0].dim() > 3 else 2
    size = math.prod(kernel) if len(kernel) > 1 else kernel[0] ** sides
    return scaled(values, 1 / (given.get("divisor_override") or size))


POOLING = ("x", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")


def adaptively_pooled(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    sides = len(args[1])
    even = all(a % b == 0 for a, b in zip(args[0].shape[-sides:], out.shape[-sides:], strict=True))
    values = known.get(args[0])
    if even:
        return averaged(known, args, kwargs, out)
    return values if values is not None and values.height in (None, 0.0) else None


def filled(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    """Values replaced by a number where a mask says so, or around them."""
    found = next((x for x in reversed(args) if isinstance(x, int | float)), 0)
    values = known.get(args[0])
    return values if found == 0 else None if values is None else Values(weight=False)


def padded_by(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    value = args[2] if len(args) > 2 else 0
    values = known.get(args[0])
    return values if value == 0 or values is None else ANALOG


def copied(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    return known.get(args[1])


def full_of(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    return ZERO if number(args[1]) == 0 else None


def summed(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    values = known.get(args[0])
    return None if values is None else values._replace(factors=False)


def chosen(known: Known, args: Any, kwargs: Any, out: Any) -> Values | None:
    parts = [x for x in args[1:] if not (isinstance(x, int | float) and x == 0)]
    return joined([known.get(x) for x in parts])


Rule = Callable[[Known, Any, Any, Any], Values | None]
HEIGHTS: dict[str, Rule] = {
    "mul": multiplied, "div": divided, "add": added, "sub": added, "mean": averaged, "sum": summed,
    "cumsum": summed, "nansum": summed, "avg_pool2d": average_pooled, "avg_pool3d": average_pooled,
    "_adaptive_avg_pool2d": adaptively_pooled, "_adaptive_avg_pool3d": adaptively_pooled,
    "masked_fill": filled, "constant_pad_nd": padded_by, "full": full_of, "full_like": full_of,
    "fill": full_of, "where": chosen, "copy": copied,
}  # fmt: skip
THRESHOLDS = {
    *("gt", "ge", "lt", "le", "eq", "ne", "isinf", "isnan", "sign", "sgn", "heaviside", "bernoulli"),
    *("logical_and", "logical_or", "logical_not", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_not"),
}
"""Made by a comparison: -1, 0 and 1, whatever is compared."""
ZEROS = {"zeros", "new_zeros", "zeros_like", "zero"}
FIRST = {
    *("index", "index_select", "gather", "take", "masked_select", "_unsafe_index", "take_along_dim"),
    *("relu", "neg", "abs", "clamp", "clamp_min", "clamp_max", "hardtanh", "threshold", "contiguous"),
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("amax", "amin", "max", "min", "sort", "topk", "clone", "_to_copy"),
    *("repeat", "flip", "roll", "repeat_interleave", "_unsafe_view", "unfold_copy", "im2col", "rot90"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "pixel_shuffle", "pixel_unshuffle"),
    *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "native_dropout", "lift_fresh", "tril"),
    *("replication_pad1d", "replication_pad2d", "replication_pad3d", "channel_shuffle", "triu", "set"),
    *("_pack_padded_sequence", "_reshape_copy", "unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"),
}
"""What comes out has the values of what comes first; none of them is another number than before."""
ALIKE = {
    *("cat", "stack", "maximum", "minimum", "fmax", "fmin", "index_put", "index_copy", "index_add"),
    *("scatter_add", "select_scatter", "slice_scatter", "diagonal_scatter", "masked_scatter", "block_diag"),
}
STEPS = {"round", "floor", "ceil", "trunc", "fmod", "remainder", "floor_divide", "scatter", "index_fill"}
"""Whole numbers, perhaps: not known."""
LOOKED_UP = {"embedding", "_embedding_bag", "_embedding_bag_forward_only"}
