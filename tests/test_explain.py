"""`explain`: a row for every op and every reason, and a check that there is none without a row."""

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import pytest
import torch
from explain_case import (
    CONV,
    CURRENTS,
    EVENTS,
    IMAGES,
    ROWS,
    SPIKES,
    TEXT,
    X,
    convolution,
    norm_only,
    quiet,
    rnn,
    stdp,
    streamed,
)  # fmt: skip

import spikeseq
from spikeseq.explain import explain
from spikeseq.nn import LIF
from spikeseq.ops import build, dispatch


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("row", ROWS, ids=[f"{op}: {reason or way}" for op, way, _, reason, _ in ROWS])
def test_way_and_reason(row):
    op, way, path, reason, run = row
    found = run()
    assert (way, reason) in [(record.way, record.reason) for record in found.of(path, op)], str(found)


KERNELS = {
    "lif_stack": lambda: quiet(rnn(), X), "linear_lif": lambda: explain(rnn(), X),
    "lif_recurrent": lambda: explain(rnn(recurrent=True), X), "lif": lambda: explain(LIF(), X),
    "conv3x3": lambda: explain(convolution(), IMAGES),
    "norm_lif": lambda: explain(norm_only(), CURRENTS), "add_taps": lambda: explain(CONV, SPIKES),
    "add_events": lambda: explain(EVENTS, torch.ones(2, 6)),
    "language_stream": lambda: explain(streamed(), TEXT),
    "stdp_present": lambda: explain(stdp(), torch.full((1, 3), 50.0)),
}  # fmt: skip
NO_KERNEL = "no native kernel (SPIKESEQ_BACKEND=python)"


@pytest.mark.parametrize("op", KERNELS)
def test_without_a_kernel(op, monkeypatch):
    monkeypatch.setattr(build, "_loaded", {})
    monkeypatch.setenv("SPIKESEQ_BACKEND", "python")
    (found,) = {(r.way, r.reason) for r in KERNELS[op]().records if r.op == op}
    assert found == ("python loop" if op == "lif" else "plain", NO_KERNEL)


# Ops whose slow way runs for want of a kernel alone, which `test_without_a_kernel` has.
WITHOUT_A_KERNEL = {"lif": {"python loop"}, "stdp_present": {"plain"}}
FOLDERS = ("ops", "functional", "nn", "stdp")
ROOT = Path(spikeseq.__file__).parent


def modules():
    for folder in FOLDERS:
        for found in pkgutil.iter_modules([str(ROOT / folder)]):
            yield importlib.import_module(f"spikeseq.{folder}.{found.name}")


def test_every_op_has_rows():
    ops = {value for module in modules() for value in vars(module).values() if isinstance(value, dispatch.Op)}
    assert {op.name for op in ops} == {row[0] for row in ROWS}
    for op in {op.name for op in ops}:
        ways = {row[1] for row in ROWS if row[0] == op} | WITHOUT_A_KERNEL.get(op, set())
        assert len(ways) == 2 and "fused" in ways, f"{op} has rows for {ways} only"


ANSWERS = ("str | None", "Parts | str")


def reasons(module):
    """Patterns of the strings that functions which answer `str | None` return, and that `tell` is told."""
    for node in ast.walk(ast.parse(Path(module.__file__).read_text())):
        if isinstance(node, ast.FunctionDef) and ast.unparse(node.returns or node) in ANSWERS:
            for inner in ast.walk(node):
                if isinstance(inner, ast.Return) and inner.value is not None:
                    yield from patterns(inner.value, module)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "tell":
            for given in node.args[1:]:
                yield from patterns(given, module)


def patterns(node, module):
    if isinstance(node, ast.Constant | ast.Name):
        text = node.value if isinstance(node, ast.Constant) else getattr(module, node.id, None)
        if isinstance(text, str):
            yield re.escape(text)
    elif isinstance(node, ast.JoinedStr):
        yield "".join(re.escape(v.value) if isinstance(v, ast.Constant) else ".+" for v in node.values)
    elif isinstance(node, ast.BoolOp | ast.IfExp):
        for part in node.values if isinstance(node, ast.BoolOp) else (node.body, node.orelse):
            yield from patterns(part, module)


def test_every_reason_has_a_row():
    known = [NO_KERNEL, *(row[3] for row in ROWS if row[3])]
    found = {pattern for module in modules() for pattern in reasons(module)}
    assert len(found) > 20
    for pattern in sorted(found):
        # `explain` puts the layer's path before a reason that begins with a dot.
        shown = pattern.removeprefix(r"\.")
        assert any(re.search(f"{shown}$", reason) for reason in known), f"no row for the reason {pattern!r}"
