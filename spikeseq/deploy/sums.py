"""Neurons that never forget and never fire (`nn.Integrator`) as running sums."""

import numpy as np

from .body import Call, Found
from .known import number


def integrates(call: Call) -> bool:
    """Whether leak 1 and a threshold out of reach stand in the graph, and every row is read out."""
    if (
        call.readout != "membrane"
        or call.group != 1
        or call.substeps != 1
        or call.own_leaks
        or call.feedback is not None
    ):
        return False
    highest = np.finfo(call.dtype.numpy()).max
    return number(call.leak) == 1 and number(call.threshold) == highest


def sums(call: Call) -> Found:
    """Membranes before, and currents behind them, added up one after the other."""
    op = call.op
    start, one, end = (op.Constant(value_ints=[at]) for at in (0, 1, 2**31))
    rows = op.Concat(op.Unsqueeze(call.before, start), call.x, axis=0)
    found = op.Slice(op.CumSum(rows, op.Constant(value_int=0)), one, end, start)
    last = op.Squeeze(op.Gather(found, op.Constant(value_ints=[-1]), axis=0), start)
    return Found(last, found, [0], found)
