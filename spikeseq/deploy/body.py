"""What a Scan repeats, made a node at a time, and one call of the LIF op on its way there."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Call:
    """A call of the op, as values of a graph.

    Args:
        op, ir, tracer: onnxscript's operators, onnx_ir, and torch's list of nodes.
        x: currents (L, B, *) in the membranes' type. before: membranes (B, *).
        leak, threshold: so shaped that they meet a row; leak (L, B, *) where every row has its own.
        group: rows of currents that a turn takes. inner: the shape of a row. dtype: of membranes.
        own_leaks: whether every row has its own. single: whether all neurons share a leak and a threshold.
        ends: whether membranes are asked for at sequences' ends.
        feedback: the weights of spikes that come back, (from, to); None for none.
    """

    op: Any
    ir: Any
    tracer: Any
    x: Any
    before: Any
    leak: Any
    threshold: Any
    group: int
    substeps: int
    window: int
    reset: str
    readout: str
    inner: tuple[Any, ...]
    own_leaks: bool
    single: bool
    dtype: Any
    ends: bool
    feedback: Any = None

    def turns(self, values: Any) -> Any:
        """(L, B, *) as (L / group, group, B, *). Sizes that are not known are taken from the tensor."""
        if self.group == 1:
            return values
        return self.op.Reshape(values, self.size(-1, self.group))

    def size(self, *front: int) -> Any:
        """The shape of rows, with other dimensions before it."""
        op = self.op
        return op.Concat(op.Constant(value_ints=list(front)), op.Shape(self.x, start=1), axis=0)

    def scan(self, started: list[Any], scanned: list[Any], graph: Any) -> list[Any]:
        """What comes out of the loop."""
        ir = self.ir
        node = ir.Node(
            "",
            "Scan",
            [*started, *scanned],
            [ir.AttrGraph("body", graph), ir.AttrInt64("num_scan_inputs", len(scanned))],
            num_outputs=len(graph.outputs),
            version=self.tracer.opset.version,
        )
        self.tracer.nodes.append(node)
        for value, inside in zip(node.outputs, graph.outputs, strict=True):
            value.dtype = inside.dtype
        return list(node.outputs)


@dataclass(frozen=True)
class Found:
    """What a loop leaves.

    membrane: the last, (B, *). emitted: one row behind the other. rows: of which row of a turn each is.
    ends: membranes after every row, or after every `every` rows, where they were asked for.
    """

    membrane: Any
    emitted: Any
    rows: list[int]
    ends: Any
    every: int = 1


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
