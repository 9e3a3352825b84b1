"""From a NIR graph to a network of ours."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..checks import choice, positive_int
from ..neuron import RESETS
from .files import read_nir
from .needed import FORMAT, nir
from .network import Network
from .nodes import KNOWN, Units, part_of
from .parts import INPUT, LINEAR, OUTPUT, Map, Neurons, Part, Parts
from .writers import FOR_READERS, WRITERS, writer_of

READOUTS = ("spikes", "rate", "sum")


def from_nir(
    graph: Any,
    *,
    dt: float | None = None,
    writer: str | None = None,
    reset: str | None = None,
    norm_input: bool | None = None,
    substeps: int | None = None,
) -> Network:
    """A NIR graph as a network that runs, streams and can be trained on.

    Args:
        graph: a `nir.NIRGraph`, or the path of a file.
        dt: the time step, in the unit of the graph's time constants. Default: what our own files say in their
            metadata, else what `writer` counts with.
        writer: one of `WRITERS`, the library that wrote the graph, which says what it means by tau, r and the
            reset. Default: our own, or somebody who goes by the equations.
        reset: "hard", "soft" or "soft_immediate": that of the neurons. Default: what our own files say, else
            the writer's; snnTorch writes both of its resets alike, so there it must be said.
        norm_input: whether neurons weight their input by 1 - leak; for writer="sinabs", which does not say.
        substeps: steps that a row of input is held; default what our own files say, else 1.
    Returns:
        The `Network`: x (L, B, *) in, what comes out step by step and the state out.
    Raises:
        ValueError: a node that we do not know, with those that we do; no time step, or one that the graph
            contradicts, that a delay is no multiple of, or that is longer than a time constant; a cycle
            without a delay; a graph of several inputs or outputs; a file of a newer version.
        ImportError: the package `nir` is not installed.
    """
    library = nir()
    given: dict[str, Any] = {
        "dt": dt, "writer": writer, "reset": reset, "norm_input": norm_input, "substeps": substeps,
    }  # fmt: skip
    if isinstance(graph, str | Path):
        read = read_nir(graph)
        try:
            return network_of(read, **given)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            told = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"{graph}: {told}") from error
    if not isinstance(graph, library.NIRGraph):
        raise TypeError(f"graph must be a nir.NIRGraph or a path, got {type(graph).__name__}")
    return network_of(graph, **given)


def network_of(
    graph: Any, dt: float | None, writer: str | None, reset: str | None, norm_input: bool | None,
    substeps: int | None,
) -> Network:  # fmt: skip
    """As `from_nir`, of a `nir.NIRGraph`."""
    said = own_words(graph)
    units = units_of(said, dt, writer, reset, norm_input)
    parts = parts_of(graph, units)
    steps = said.get("substeps", 1) if substeps is None else substeps
    parts.substeps = positive_int("substeps", int(steps) if substeps is None else steps)
    parts.readout = choice("readout", str(said.get("readout", "spikes")), READOUTS)
    return Network(parts)


def own_words(graph: Any) -> dict[str, Any]:
    """What our own metadata says of a graph; nothing of somebody else's.

    Raises:
        ValueError: it is of a newer version.
    """
    metadata = graph.metadata if isinstance(graph.metadata, dict) else {}
    said = {key: text(value) for key, value in metadata.items()}
    if "spikeseq_format" not in said:
        return {}
    if int(said["spikeseq_format"]) > FORMAT:
        raise ValueError(
            f"the graph was written by a newer spikeseq (format {said['spikeseq_format']}, this one reads"
            f" {FORMAT}); pip install -U spikeseq"
        )
    return said


def text(value: Any) -> Any:
    """A value of the metadata as it was written: strings and numbers come back as bytes and numpy scalars."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value


def units_of(
    said: dict[str, Any], dt: float | None, writer: str | None, reset: str | None, norm_input: bool | None
) -> Units:
    """The units that the graph is in, from what it says and what the caller says."""
    profile = writer_of(writer)
    if writer is None and said.get("reader") in FOR_READERS:
        profile = FOR_READERS[said["reader"]]
    step = dt if dt is not None else said.get("dt", profile.dt)
    if step is None:
        known = ", ".join(f"{name} {one.dt:g}" for name, one in WRITERS.items())
        raise ValueError(f"the graph says no time step; give dt= or writer= (time steps by writer: {known})")
    if isinstance(step, bool) or not isinstance(step, float | int) or not 0 < step < math.inf:
        raise ValueError(f"dt must be a positive number, got {step!r}")
    if "dt" in said and not math.isclose(step, said["dt"]):
        raise ValueError(
            f"dt is {said['dt']:g} in the graph's own metadata, got {step:g}; leave it out, or take the"
            " metadata away"
        )
    if reset is None:
        reset = said.get("reset", profile.reset)
        if reset is None:
            raise ValueError(
                f"{writer} writes all of its resets alike: say reset='soft' (its default, one step late),"
                " 'soft_immediate' (with reset_delay=False) or 'hard' (reset_mechanism='zero')"
            )
        if reset not in RESETS:
            raise ValueError(f"the graph has neurons of several resets ({reset}); say which, by reset=")
    choice("reset", reset, RESETS)
    if reset not in profile.resets:
        raise ValueError(f"reset must be {' or '.join(profile.resets)} for writer={writer!r}, got {reset!r}")
    if profile.norm_input and norm_input is None:
        raise ValueError(f"{writer} does not write whether neurons weight their input; say norm_input=")
    if norm_input is not None and not profile.norm_input:
        raise ValueError("norm_input goes with writer='sinabs'; other files say it by r")
    return Units(float(step), profile, reset, norm_input)


def parts_of(graph: Any, units: Units) -> Parts:
    """The graph's nodes as parts, graphs inside it laid open.

    Raises:
        ValueError: as `from_nir`.
    """
    nodes, edges = laid_open(graph)
    ends = {
        kind: [name for name, node in nodes.items() if type(node).__name__ == kind]
        for kind in ("Input", "Output")
    }
    for kind, names in ends.items():
        if len(names) != 1:
            raise ValueError(f"the graph has {len(names)} {kind} nodes; expected one")
    (first,), (last,) = ends["Input"], ends["Output"]
    renamed = {first: INPUT, last: OUTPUT}
    shape = nodes[first].input_type["input"]
    if shape is None:
        raise ValueError("the graph's Input has no shape")
    parts = Parts(tuple(int(side) for side in shape))
    parts.edges = [(renamed.get(a, a), renamed.get(b, b)) for a, b in edges]
    for name, node in nodes.items():
        if name not in renamed:
            made = part_of(name, node, units)
            parts.nodes[name] = made[0]
            for number, further in enumerate(made[1:], start=1):  # such as the neurons behind a synapse
                behind = f"{name} {number}"
                before = name if number == 1 else f"{name} {number - 1}"
                parts.edges = [(behind if a == before else a, b) for a, b in parts.edges]
                parts.edges.append((before, behind))
                parts.nodes[behind] = further
    of_one_type(parts, units)
    into_feedback(parts)
    return parts


def of_one_type(parts: Parts, units: Units) -> None:
    """Everything in float32 if any weight is, else in float64; thresholds at which neurons fire follow."""
    weights = [part.weight for part in parts.nodes.values() if isinstance(part, LINEAR)]
    kind = np.dtype(np.float32 if any(one.dtype == np.float32 for one in weights) else np.float64)
    for name, part in parts.nodes.items():
        if isinstance(part, LINEAR):
            bias = None if part.bias is None else part.bias.astype(kind)
            parts.nodes[name] = replace(part, weight=part.weight.astype(kind), bias=bias)
        elif isinstance(part, Neurons):
            threshold = part.threshold
            if units.writer.at_threshold:  # u >= v is u > the number before v
                threshold = np.nextafter(threshold.astype(kind), kind.type(-np.inf)).astype(np.float64)
            parts.nodes[name] = replace(part, threshold=threshold, dtype=kind.name)


def laid_open(graph: Any, prefix: str = "") -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges of a graph, those of graphs in it among them, by names with dots."""
    library = nir()
    nodes: dict[str, Any] = {}
    edges: list[tuple[str, str]] = []
    ways: dict[str, tuple[str, str]] = {}  # where an edge into a graph goes, and one out of it comes from
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if isinstance(node, library.NIRGraph):
            inner, inner_edges = laid_open(node, f"{full}.")
            found = {
                kind: [f"{full}.{one}" for one, inside in node.nodes.items() if type(inside).__name__ == kind]
                for kind in ("Input", "Output")
            }
            if any(len(names) != 1 for names in found.values()):
                raise ValueError(f"{full} is a graph without one Input and one Output")
            ways[full] = (found["Input"][0], found["Output"][0])
            nodes |= inner
            edges += inner_edges
        elif type(node).__name__ not in KNOWN:
            raise ValueError(
                f"{full} is a {type(node).__name__}, which is not among the nodes we know: {', '.join(KNOWN)}"
            )
        else:
            nodes[full] = node
    for a, b in graph.edges:
        a, b = f"{prefix}{a}", f"{prefix}{b}"
        for one in (a, b):
            if one not in nodes and one not in ways:
                raise ValueError(f"the edge from {a} to {b} names a node that is not there")
        edges.append((ways[a][1] if a in ways else a, ways[b][0] if b in ways else b))
    for start, end in ways.values():
        for one in (start, end):
            nodes, edges = passed_by(one, nodes, edges)
    return nodes, edges


def passed_by(
    name: str, nodes: dict[str, Any], edges: list[tuple[str, str]]
) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Without a node that only hands on."""
    before, behind = [a for a, b in edges if b == name], [b for a, b in edges if a == name]
    left = [edge for edge in edges if name not in edge]
    left += [(a, b) for a in before for b in behind]
    return {one: node for one, node in nodes.items() if one != name}, left


def into_feedback(parts: Parts) -> None:
    """Neurons with a map from and to themselves alone become neurons with feedback, which run much faster."""
    for name, part in list(parts.neurons()):
        for way in parts.targets(name):
            linear: Part | None = parts.nodes.get(way)
            if (
                isinstance(linear, Map)
                and parts.sources(way) == [name]
                and parts.targets(way) == [name]
                and (linear.bias is None or not linear.bias.any())
                and part.feedback is None
                and (part.gain == part.gain.flat[0]).all()
                and linear.weight.shape == (part.leak.size, part.leak.size)
            ):
                part = replace(part, feedback=linear.weight)
                parts.nodes[name] = part
                parts.edges = [edge for edge in parts.edges if way not in edge]
                del parts.nodes[way]
