"""A sub-step of neurons in a few elementwise operators: every reset, read-out and leak."""

from typing import Any

from .body import Body, Call, Found


def operators(call: Call) -> Found:
    """The loop over turns of tokens."""
    op, ir, group, readout = call.op, call.ir, call.group, call.readout
    body = Body(ir, call.tracer.opset.version)
    wide, inner = call.dtype, list(call.inner)
    scanned = [call.turns(one) for one in ([call.x, call.leak] if call.own_leaks else [call.x])]
    front = [group] if group > 1 else []
    u = start = body.value("membrane", wide, inner)
    inputs = [
        body.value(name, wide, [*front, *inner])
        for name, _ in zip(("currents", "leaks"), scanned, strict=False)
    ]
    ones = op.Constant(value_ints=[1] * group)
    rows_in = [body.split(one, ones, group) if group > 1 else [one] for one in inputs]
    flag = ir.DataType.BOOL
    fired = body("Greater", u, call.threshold, like=flag)
    emitted: list[Any] = []
    rows: list[int] = []
    ends: list[Any] = []  # membranes after each row
    for row in range(group):
        decay = rows_in[1][row] if call.own_leaks else call.leak
        for step in range(call.substeps):
            drive = rows_in[0][row]
            if call.feedback is not None:
                heard = body("MatMul", body("Cast", fired, like=wide, to=int(wide)), call.feedback, like=wide)
                drive = body("Add", drive, heard, like=wide)
            u = moved(call, body, u, fired, drive, decay)
            last = row == group - 1 and step == call.substeps - 1
            if readout != "membrane" or not last:
                fired = body("Greater", u, call.threshold, like=flag)
            if readout != "membrane" or (row * call.substeps + step + 1) % call.window == 0:
                emitted.append(u if readout == "membrane" else fired)
                rows.append(row)
        ends.append(u)
    final = body("Squeeze", u, op.Constant(value_ints=[0]), like=u) if group > 1 else u
    outputs = [final, body.together(emitted)]
    if call.ends and emitted != ends:
        outputs.append(body.together(ends))
    # What a Scan gives back are different values of its graph, each made by a node.
    for at in range(1, len(outputs)):
        if any(outputs[at] is one for one in outputs[:at]):
            outputs[at] = body("Identity", outputs[at], like=outputs[at])
    graph = ir.Graph([start, *inputs], outputs, nodes=body.nodes, name="lif")
    membrane, found, *every = call.scan([call.before], scanned, graph)
    # (turns, those of a turn, B, *) to (all, B, *).
    flat = call.size(-1)
    found = op.Reshape(found, flat)
    return Found(membrane, found, rows, op.Reshape(every[0], flat) if every else found)


def moved(call: Call, body: Body, u: Any, fired: Any, drive: Any, decay: Any) -> Any:
    """The membrane after a sub-step: additions and products come in the kernel's order."""
    op = call.op
    zero, taken = op.CastLike(op.Constant(value_float=0.0), call.threshold), op.Neg(call.threshold)
    if call.reset == "soft":  # Sum adds from left to right
        less = body("Where", fired, taken, zero, like=u)
        return body("Sum", body("Mul", decay, u, like=u), drive, less, like=u)
    if call.reset == "hard":
        left = body("Where", fired, zero, u, like=u)
    else:
        left = body("Add", u, body("Where", fired, taken, zero, like=u), like=u)
    return body("Add", body("Mul", decay, left, like=u), drive, like=u)
