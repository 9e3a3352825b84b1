"""The LIF op in standard ONNX operators: a Scan over tokens, in whose body their sub-steps stand in a row.

A sub-step is a few operators (`operators.py`) or, where that is possible, a single product (`products.py`).
Additions and products come in the kernel's order, so that spikes are the same to the last bit wherever the
currents are.
"""

import math
from typing import Any

from .body import Call
from .operators import operators
from .products import one_product, products
from .sums import integrates, sums

OLDEST_OPSET = 18  # what torch.onnx translates the rest to
FORMULA = {
    "soft": "leak * u + current - threshold * spike",
    "soft_immediate": "leak * (u - threshold * spike) + current",
    "hard": "leak * u * (1 - spike) + current",
}


def lif(
    current,  # tensors stay without types: torch reads those of attributes, and takes the rest for inputs
    state,
    leak,
    threshold,
    lengths,
    substeps: int,
    window: int,
    reset: str,
    readout: str,
    surrogate: str,
    height: float,
    width: float,
    detach_reset: bool,
    norm_input: bool,
):
    """`spikeseq::lif` for the `custom_translation_table` of `torch.onnx.export`; takes what the op takes."""
    if state.shape[0] != 1:
        raise NotImplementedError(f"surrogate {surrogate!r} remembers, which has no translation")
    from onnxscript import opset18 as op

    before = op.Squeeze(state, op.Constant(value_ints=[0]))
    options = (substeps, window, reset, readout, norm_input)
    found, membrane = neurons_of(current, before, state.dtype, leak, threshold, lengths, options)
    after = op.Unsqueeze(membrane, op.Constant(value_ints=[0]))
    return found, after, op.Identity(op.Constant(value_floats=[0.0]))  # checkpoints are for gradients


def lif_recurrent(
    current,
    state,
    weight,
    leak,
    threshold,
    lengths,
    substeps: int,
    window: int,
    reset: str,
    readout: str,
    surrogate: str,
    height: float,
    width: float,
    detach_reset: bool,
):
    """`spikeseq::lif_recurrent`, the same with a product of the last spikes in every sub-step."""
    from onnxscript import opset18 as op

    options = (substeps, window, reset, readout, False)
    feedback = op.Transpose(weight, perm=[1, 0])
    found, after = neurons_of(current, state, state.dtype, leak, threshold, lengths, options, feedback)
    return found, after, op.Identity(op.Constant(value_floats=[0.0]))


Options = tuple[int, int, str, str, bool]


def neurons_of(
    current: Any, before: Any, wide: Any, leak: Any, threshold: Any, lengths: Any, options: Options,
    feedback: Any = None,
) -> tuple[Any, Any]:  # fmt: skip
    """What neurons read out, and their membranes (B, *) at the end.

    Args: of the op; wide: the type of the membranes `before`. feedback: (from, to), or None.
    """
    substeps, window, reset, readout, norm_input = options
    import onnx_ir as ir
    from onnxscript import opset18 as op
    from torch.onnx._internal.exporter import _core  # where nodes with graphs in them go

    tracer = _core.current_tracer
    assert tracer is not None
    if reset not in FORMULA:
        raise NotImplementedError(f"reset {reset!r} has no translation; known are {', '.join(FORMULA)}")
    inner = list(current.shape[1:])  # of a row: (B, *)
    neurons = [int(size) for size in inner[1:]]
    given = current.dtype

    def shaped(values: Any, *shape: int) -> Any:
        return op.Reshape(values, op.Constant(value_ints=list(shape)), allowzero=0)

    def spread(values: Any) -> Any:
        """(1,) or (C,) so that it meets (B, C, *); leaks (L, B, *) as they are."""
        if len(values.shape) > 1 or len(neurons) < 2 or values.shape[0] == 1:
            return values
        return shaped(values, neurons[0], *[1] * (len(neurons) - 1))

    rows_of_leaks = len(leak.shape) > 1
    leaks, thresholds = spread(leak), spread(threshold)
    x = current if given == wide else op.Cast(current, to=int(wide))
    if norm_input:
        one = op.CastLike(op.Constant(value_float=1.0), leak)
        x = op.Mul(x, op.Sub(one, leaks))
    alive = None
    if lengths is not None:
        rows = op.Squeeze(op.Shape(current, start=0, end=1))
        at = op.Range(op.Constant(value_int=0), rows, op.Constant(value_int=1))
        alive = op.Less(op.Unsqueeze(at, op.Constant(value_ints=[1])), lengths)  # (L, B)
        alive = shaped(alive, 0, 0, *[1] * len(neurons))

    # So many rows make whole windows; a turn of the Scan takes them together.
    group = math.lcm(substeps, window) // substeps
    single = tuple(leak.shape) == (1,) == tuple(threshold.shape)
    call = Call(
        op, ir, tracer, x, before, leaks, thresholds, group, substeps, window, reset, readout, tuple(inner),
        rows_of_leaks, single, wide, lengths is not None, feedback,
    )  # fmt: skip
    fast = one_product(call, lengths)
    loop = products(call) if fast else sums(call) if integrates(call) else operators(call)
    found, membrane = loop.emitted, loop.membrane
    if alive is not None:
        # A sequence's membrane is that of its last row, and what it reads out ends there.
        batch = op.Squeeze(op.Shape(lengths))
        column = op.Range(op.Constant(value_int=0), batch, op.Constant(value_int=1))
        turns = op.Div(lengths, op.Constant(value_int=loop.every)) if loop.every > 1 else lengths
        at = op.Max(op.Sub(turns, op.Constant(value_int=1)), op.Constant(value_int=0))
        membrane = op.GatherND(loop.ends, op.Concat(shaped(at, -1, 1), shaped(column, -1, 1), axis=1))
        begun = shaped(op.Greater(lengths, op.Constant(value_int=0)), -1, *[1] * len(neurons))
        membrane = op.Where(begun, membrane, before)
        counted = masks(op, alive, group, loop.rows)
        flags = readout != "membrane" and not fast
        off = None if flags else op.CastLike(op.Constant(value_float=0.0), found)
        found = op.And(found, counted) if off is None else op.Where(counted, found, off)
    if readout != "membrane" and not fast:
        found = op.Cast(found, to=int(wide))
        if readout == "rate":
            size = op.Concat(op.Constant(value_ints=[-1, window]), op.Shape(current, start=1), axis=0)
            summed = op.ReduceSum(op.Reshape(found, size), op.Constant(value_ints=[1]), keepdims=0)
            found = op.Div(summed, op.CastLike(op.Constant(value_float=float(window)), summed))
    return (op.Cast(found, to=int(given)) if given != wide else op.Identity(found)), membrane


def masks(op: Any, alive: Any, group: int, rows: list[int]) -> Any:
    """Which rows of a Scan count, (turns * emitted, B, 1, ...), from those of currents, (L, B, 1, ...).

    A turn takes `group` rows of currents. It emits one for each of `rows`, which says of which current.
    """
    if rows == list(range(group)):
        return alive
    size = op.Shape(alive, start=1)
    turns = op.Reshape(alive, op.Concat(op.Constant(value_ints=[-1, group]), size, axis=0))
    chosen = op.Gather(turns, op.Constant(value_ints=rows), axis=1)
    return op.Reshape(chosen, op.Concat(op.Constant(value_ints=[-1]), size, axis=0))
