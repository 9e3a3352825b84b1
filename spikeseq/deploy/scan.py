"""The LIF op in standard ONNX operators: a Scan over tokens, in whose body their sub-steps stand in a row.

Additions and products come in the kernel's order, so that spikes are the same to the last bit wherever the
currents are.
"""

import math
from typing import Any

OLDEST_OPSET = 18  # what torch.onnx translates the rest to
FORMULA = {
    "soft": "leak * u + current - threshold * spike",
    "soft_immediate": "leak * (u - threshold * spike) + current",
    "hard": "leak * u * (1 - spike) + current",
}


class Body:
    """The graph that a Scan repeats, made a node at a time."""

    def __init__(self, ir: Any, version: int) -> None:
        self.ir, self.version, self.nodes = ir, version, []  # type: ignore[var-annotated]

    def __call__(self, kind: str, *inputs: Any, like: Any, **attributes: Any) -> Any:
        """The output of a new node; `like` is a value of its type, or that type."""
        given = self.ir.convenience.convert_attributes(attributes)
        node = self.ir.Node("", kind, inputs, given, version=self.version)
        out = node.outputs[0]
        out.name = f"scan_{len(self.nodes)}"
        out.dtype = getattr(like, "dtype", like)
        self.nodes.append(node)
        return out

    def split(self, values: Any, ones: Any, count: int) -> list[Any]:
        """The `count` rows of a value, each with a first dimension of one."""
        given = self.ir.convenience.convert_attributes({"axis": 0})
        node = self.ir.Node("", "Split", [values, ones], given, num_outputs=count, version=self.version)
        for at, out in enumerate(node.outputs):
            out.name, out.dtype = f"scan_{len(self.nodes)}_{at}", values.dtype
        self.nodes.append(node)
        return list(node.outputs)

    def together(self, values: list[Any]) -> Any:
        """Values one behind the other, along the first dimension."""
        return self("Concat", *values, like=values[0], axis=0) if len(values) > 1 else values[0]

    def value(self, name: str, dtype: Any, shape: Any) -> Any:
        """An input of the graph."""
        return self.ir.Value(name=name, type=self.ir.TensorType(dtype), shape=self.ir.Shape(shape))


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
    import onnx_ir as ir
    from onnxscript import opset18 as op
    from torch.onnx._internal.exporter import _core  # where nodes with graphs in them go

    tracer = _core.current_tracer
    assert tracer is not None
    if reset not in FORMULA:
        raise NotImplementedError(f"reset {reset!r} has no translation; known are {', '.join(FORMULA)}")
    if state.shape[0] != 1:
        raise NotImplementedError(f"surrogate {surrogate!r} remembers, which has no translation")
    inner = list(current.shape[1:])  # of a row: (B, *)
    neurons = [int(size) for size in inner[1:]]
    wide, given = state.dtype, current.dtype

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
    scanned = [x, leaks] if rows_of_leaks else [x]
    if group > 1:
        # (L, B, *) to (L / group, group, B, *). Sizes that are not known are taken from the tensor.
        size = op.Concat(op.Constant(value_ints=[-1, group]), op.Shape(current, start=1), axis=0)
        scanned = [op.Reshape(one, size) for one in scanned]

    body = Body(ir, tracer.opset.version)
    front = [group] if group > 1 else []
    u = start = body.value("membrane", wide, inner)
    inputs = [
        body.value(name, wide, [*front, *inner])
        for name, _ in zip(("currents", "leaks"), scanned, strict=False)
    ]
    zero = op.CastLike(op.Constant(value_float=0.0), threshold)
    taken = op.Neg(thresholds)
    ones = op.Constant(value_ints=[1] * group)
    rows_in = [body.split(one, ones, group) if group > 1 else [one] for one in inputs]
    flag = ir.DataType.BOOL
    fired = body("Greater", u, thresholds, like=flag)
    emitted: list[Any] = []
    rows_of_emitted: list[int] = []
    ends: list[Any] = []  # membranes after each row
    for row in range(group):
        drive = rows_in[0][row]
        decay = rows_in[1][row] if rows_of_leaks else leaks
        for step in range(substeps):
            if reset == "soft":  # Sum adds from left to right
                less = body("Where", fired, taken, zero, like=u)
                u = body("Sum", body("Mul", decay, u, like=u), drive, less, like=u)
            else:
                if reset == "hard":
                    left = body("Where", fired, zero, u, like=u)
                else:
                    left = body("Add", u, body("Where", fired, taken, zero, like=u), like=u)
                u = body("Add", body("Mul", decay, left, like=u), drive, like=u)
            last = row == group - 1 and step == substeps - 1
            if readout != "membrane" or not last:
                fired = body("Greater", u, thresholds, like=flag)
            if readout != "membrane" or (row * substeps + step + 1) % window == 0:
                emitted.append(u if readout == "membrane" else fired)
                rows_of_emitted.append(row)
        ends.append(u)
    final = body("Squeeze", u, op.Constant(value_ints=[0]), like=u) if group > 1 else u
    # What a Scan gives back are different values of its graph, each made by a node.
    outputs = [final, body.together(emitted)]
    if lengths is not None and emitted != ends:
        outputs.append(body.together(ends))
    if outputs[0] is outputs[1]:
        outputs[1] = body("Identity", outputs[1], like=outputs[1])
    if len(outputs) > 2 and outputs[2] is outputs[0]:
        outputs[2] = body("Identity", outputs[2], like=outputs[2])
    graph = ir.Graph([start, *inputs], outputs, nodes=body.nodes, name="lif")

    before = op.Squeeze(state, op.Constant(value_ints=[0]))
    node = ir.Node(
        "",
        "Scan",
        [before, *scanned],
        [ir.AttrGraph("body", graph), ir.AttrInt64("num_scan_inputs", len(scanned))],
        num_outputs=len(outputs),
        version=tracer.opset.version,
    )
    tracer.nodes.append(node)
    for value, inside in zip(node.outputs, outputs, strict=True):
        value.dtype = inside.dtype
    membrane, found = node.outputs[:2]
    # (turns, those of a turn, B, *) to (all, B, *).
    flat = op.Concat(op.Constant(value_ints=[-1]), op.Shape(current, start=1), axis=0)
    found = op.Reshape(found, flat)
    if alive is not None:
        # A sequence's membrane is that of its last row, and what it reads out ends there.
        every = op.Reshape(node.outputs[2], flat) if len(outputs) > 2 else found
        batch = op.Squeeze(op.Shape(lengths))
        column = op.Range(op.Constant(value_int=0), batch, op.Constant(value_int=1))
        at = op.Max(op.Sub(lengths, op.Constant(value_int=1)), op.Constant(value_int=0))
        membrane = op.GatherND(every, op.Concat(shaped(at, -1, 1), shaped(column, -1, 1), axis=1))
        begun = shaped(op.Greater(lengths, op.Constant(value_int=0)), -1, *[1] * len(neurons))
        membrane = op.Where(begun, membrane, before)
        counted = masks(op, alive, group, rows_of_emitted)
        off = None if readout != "membrane" else op.CastLike(op.Constant(value_float=0.0), found)
        found = op.And(found, counted) if off is None else op.Where(counted, found, off)
    if readout != "membrane":
        found = op.Cast(found, to=int(wide))
        if readout == "rate":
            size = op.Concat(op.Constant(value_ints=[-1, window]), op.Shape(current, start=1), axis=0)
            summed = op.ReduceSum(op.Reshape(found, size), op.Constant(value_ints=[1]), keepdims=0)
            found = op.Div(summed, op.CastLike(op.Constant(value_float=float(window)), summed))
    found = op.Cast(found, to=int(given)) if given != wide else op.Identity(found)
    after = op.Unsqueeze(membrane, op.Constant(value_ints=[0]))
    return found, after, op.Identity(op.Constant(value_floats=[0.0]))  # checkpoints are for gradients


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
