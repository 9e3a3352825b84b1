"""A sub-step of neurons as one matrix product and one clip, which onnxruntime runs as a single operator.

Rows of a matrix hold, for every neuron (a column), its membrane in two parts that are not negative, its
spike, a one, and the currents still to come. A sub-step multiplies it from the left, and clips it to [0, 1]
(`HardSigmoid` with slope 1):

    v = leak u+ - leak u- + I - threshold s
    u+ = clip(v)      u- = clip(-v)      s = clip(2^50 (v - threshold))

Membranes are scaled by 2^-60, so that the clip never meets one. Factors of two round nothing; a product adds
up in the order of its rows, and 2^50 times the least difference from a threshold is more than one. So every
bit is that of the kernel, for neurons that share a leak and a threshold and have the soft reset.
"""

from typing import Any

import numpy as np

from .body import Body, Call, Found
from .known import multiple

SCALE, STEEP = 60, 110
"""Powers of two: what a membrane is divided by; what its distance from the threshold is multiplied by."""
COUNT = 2.0**-24
"""What a spike counts in the row that adds them up."""

Row = tuple[str, int]


def one_product(call: Call, lengths: Any) -> bool:
    """Whether a call of the op can be written like this."""
    whole = call.readout == "spikes" or call.window == call.group * call.substeps
    ends = not call.ends or call.group == 1 or multiple(lengths, call.group)
    known = call.reset == "soft" and call.readout != "membrane" and call.dtype == call.ir.DataType.FLOAT
    return call.single and call.feedback is None and known and whole and ends


class Rows:
    """The rows that a sub-step leaves, in the order in which a product must add them.

    Args: of the op; group: rows of currents in a turn.
    """

    def __init__(self, group: int, substeps: int, counts: bool) -> None:
        self.group, self.substeps, self.counts = group, substeps, counts
        self.steps = group * substeps

    def before(self) -> list[Row]:
        """What the first sub-step reads: membranes, currents as they come, the last spike, a one."""
        return [("u", 1), ("u", -1), *[("given", row) for row in range(self.group)], ("s", -1), ("one", 0)]

    def after(self, step: int) -> list[Row]:
        """What sub-step `step` leaves: of currents, those that come later, in two parts."""
        later = range((step + 1) // self.substeps, self.group)
        currents = [(name, row) for row in later for name in ("more", "less")]
        if self.counts:
            kept: list[Row] = [("count", 0)] if step else []
        else:
            kept = [("s", earlier) for earlier in range(step)]
        return [("u", 1), ("u", -1), *currents, *kept, ("s", step), ("one", 0)]

    def factors(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Matrices: their sum, the second times the leak, the third times the threshold, is the product's."""
        into = self.before() if step == 0 else self.after(step - 1)
        out = self.after(step)
        fixed, leaks, thresholds = (np.zeros((len(out), len(into))) for _ in range(3))

        def current(row: int, at: int, factor: float) -> None:
            if ("given", row) in into:
                fixed[at, into.index(("given", row))] = factor * 2.0**-SCALE
            else:
                fixed[at, into.index(("more", row))] = factor
                fixed[at, into.index(("less", row))] = -factor

        for at, (name, which) in enumerate(out):
            if name == "u" or (name == "s" and which == step):
                sign = float(which) if name == "u" else 2.0**STEEP
                leaks[at, 0], leaks[at, 1] = sign, -sign
                current(step // self.substeps, at, sign)
                thresholds[at, into.index(("s", step - 1))] = -sign * 2.0**-SCALE
                if name == "s":
                    thresholds[at, into.index(("one", 0))] = -sign * 2.0**-SCALE
            elif name in ("more", "less") and ("given", which) in into:
                current(which, at, 1.0 if name == "more" else -1.0)
            elif name == "count":
                if (name, which) in into:
                    fixed[at, into.index((name, which))] = 1.0
                fixed[at, into.index(("s", step - 1))] = COUNT
            else:
                fixed[at, into.index((name, which))] = 1.0
        return fixed, leaks, thresholds


def products(call: Call) -> Found:
    """The loop over turns of tokens; a neuron of a text is a column."""
    op, ir, group = call.op, call.ir, call.group
    wide, clip = ir.DataType.FLOAT, {"alpha": 1.0, "beta": 0.0}
    rows = Rows(group, call.substeps, call.readout == "rate")
    body = Body(ir, call.tracer.opset.version)

    def constant(numbers: np.ndarray) -> Any:
        return op.Constant(value=ir.tensor(numbers.astype(np.float32)))

    def matrix(step: int) -> Any:
        fixed, leaks, thresholds = (constant(one) for one in rows.factors(step))
        return op.Add(op.Add(op.Mul(leaks, call.leak), op.Mul(thresholds, call.threshold)), fixed)

    columns = op.ReduceProd(op.Shape(call.x, start=1), keepdims=1)
    flat = op.Concat(op.Constant(value_ints=[-1, group]), columns, axis=0)
    currents = op.Reshape(call.x, flat)
    first = op.Reshape(call.before, op.Constant(value_ints=[1, -1]))
    signs = constant(np.array([[2.0**-SCALE], [-(2.0**-SCALE)]]))
    parts = op.HardSigmoid(op.Mul(first, signs), **clip)
    fired = op.CastLike(op.Greater(first, call.threshold), first)
    one = op.Expand(op.Constant(value_floats=[1.0]), op.Shape(first))

    membranes, spikes = (body.value(name, wide, [2, None]) for name in ("membranes", "spikes"))
    given = body.value("currents", wide, [group, None])
    z = body("Concat", membranes, given, spikes, like=wide, axis=0)
    for step in range(rows.steps):
        z = body("HardSigmoid", body("Gemm", matrix(step), z, like=wide), like=wide, **clip)
    last = rows.after(rows.steps - 1)
    kept = len(last) - 4
    sizes = [2, kept, 2] if kept else [2, 2]
    ends = body.split(z, op.Constant(value_ints=sizes), len(sizes))
    graph = ir.Graph([membranes, spikes, given], [ends[0], ends[-1], z], nodes=body.nodes, name="lif")
    start = [parts, op.Concat(fired, one, axis=0)]
    after, _, every = call.scan(start, [currents], graph)

    def cut(values: Any, first: int, last: int, axis: int) -> Any:
        return op.Slice(values, *(op.Constant(value_ints=[one]) for one in (first, last, axis)))

    def whole(values: Any, axis: int) -> Any:
        """Membranes from their two parts."""
        apart = op.Sub(cut(values, 0, 1, axis), cut(values, 1, 2, axis))
        return op.Mul(apart, op.Constant(value_float=2.0**SCALE))

    shape = call.size(-1)
    read = cut(every, 2, len(last) - 1, 1)
    if rows.counts:
        weights = np.ones((len(last) - 3, 1))
        weights[:-1] /= COUNT
        counted = op.ReduceSum(op.Mul(read, constant(weights)), op.Constant(value_ints=[1]), keepdims=0)
        read = op.Div(counted, op.Constant(value_float=float(rows.steps)))
    emitted = [group - 1] if rows.counts else [step // call.substeps for step in range(rows.steps)]
    membrane = op.Reshape(whole(after, 0), op.Shape(call.before))
    return Found(membrane, op.Reshape(read, shape), emitted, op.Reshape(whole(every, 1), shape), group)
