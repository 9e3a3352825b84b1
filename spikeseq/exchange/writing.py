"""From a network of ours to a NIR graph."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..files import check_place
from ..modules import named
from .lossy import LossyExchange, share_of_difference
from .models import apart
from .needed import FORMAT, nir
from .parts import INPUT, OUTPUT, Array, Conv, Factor, Flat, Integrate, Map, Neurons, Part, Parts, Pool, Shape
from .readers import Reader, reader_of, shape_array, without_feedback


def to_nir(
    model: nn.Module | Sequence[nn.Module],
    input_shape: Shape | None = None,
    *,
    reader: str | None = None,
    lossy: bool = False,
    dt: float | None = None,
    example: Tensor | None = None,
) -> Any:
    """A trained network as a `nir.NIRGraph`, one node for every map and every layer of neurons.

    NIR's neurons reset to a value, so networks with `reset="hard"` pass exactly. Its files hold no time step,
    and every library takes its own: the plain graph says its step in the metadata, and goes by the
    equations; one for a `reader` says tau, r and thresholds so that this reader, as it is, gives our spikes.

    Args:
        model: `SpikingRNN`, `SpikingNetwork`, or a chain of modules as an nn.Sequential or a list: linear
            maps, convolutions, average pooling, flattening, `LIF`, `SpikingRNN`, `Integrator`. Dropout is
            left out.
        input_shape: of one input, without time and batch; needed where the first module does not tell.
        reader: None, or one of `READERS`: the library that is to read it.
        lossy: write what the format or the reader cannot say as the nearest that it can, measure which share
            of the spikes differs then, say so in a `LossyExchange` warning and in the metadata. Default
            False: such a model is refused.
        dt: seconds that a sub-step lasts, for a plain graph; default 1e-4, as two of five readers take.
        example: (L, B, *) inputs to measure on; default 100 steps of 8 normal ones, the same every time.
    Returns:
        The graph. Its metadata: `dt`, `reset`, `substeps` that a row of input is held, `readout` ("spikes",
        "rate": the mean over the sub-steps of a row, "sum": the sum over all steps), `reader`, and with
        `lossy` the share of spikes that differ.
    Raises:
        ValueError: a module that NIR has no node for, a reset, an initial membrane or anything else that
            cannot be said (naming it, and what would do), an argument out of range.
        ImportError: the package `nir` is not installed.
    """
    profile = reader_of(reader)
    library = nir()
    if dt is not None and reader is not None:
        raise ValueError(
            f"dt goes with a plain graph; reader={reader!r} takes {profile.dt} whatever it is told"
        )
    step = profile.dt if dt is None else dt
    if isinstance(step, bool) or not isinstance(step, float | int) or not 0 < step < float("inf"):
        raise ValueError(f"dt must be a positive number of seconds, got {step!r}")
    parts = apart(model, input_shape)
    if not any(True for _ in parts.neurons()):
        what = named("", model) if isinstance(model, nn.Module) else "the model"
        raise ValueError(f"{what} has no spiking neurons")
    meant = meant_by(parts, profile)
    lost = losses(parts, profile)
    metadata: dict[str, Any] = {
        "spikeseq_format": FORMAT,
        "dt": float(step),
        "substeps": parts.substeps,
        "readout": "spikes" if parts.readout == "membrane" else parts.readout,
        "reset": ", ".join(sorted(parts.resets())),
        "reader": profile.name,
    }
    if lost:
        what = "; ".join(lost)
        if not lossy:
            raise ValueError(f"{what}. With lossy=True it is written all the same, and measured")
        share = share_of_difference(parts, profile, example)
        metadata |= {"lossy": what, "differing_spikes": share}
        warnings.warn(LossyExchange(what, share), stacklevel=2)
    return library.NIRGraph(*graph(meant, profile, step), metadata=metadata)


def meant_by(parts: Parts, reader: Reader) -> Parts:
    """The parts in the nodes that a reader knows."""
    kinds: tuple[type, ...] = (Factor,) if reader.average else (Factor, Pool)
    folded = parts.fold(kinds, keep=reader.factor)
    return folded if reader.synapse is None else behind_synapses(folded, reader.synapse)


def behind_synapses(parts: Parts, kept: float) -> Parts:
    """The maps before neurons larger, for synaptic currents that let through so little.

    Raises:
        ValueError: neurons that follow something else than maps of their own, or parts for images.
    """
    for name, part in list(parts.nodes.items()):
        if isinstance(part, Conv | Pool):
            raise ValueError(f"{name} is for images, which rockpool has no node for")
        if not isinstance(part, Neurons):
            continue
        for source in parts.sources(name):
            before = parts.nodes.get(source)
            if not isinstance(before, Map) or parts.targets(source) != [name]:
                raise ValueError(f"{name} follows no map of its own, whose weights rockpool needs larger")
            bias = None if before.bias is None else before.bias / before.bias.dtype.type(kept)
            weight = before.weight / before.weight.dtype.type(kept)
            parts.nodes[source] = replace(before, weight=weight, bias=bias)
    return parts


def losses(parts: Parts, reader: Reader) -> list[str]:
    """What gets lost, each in a sentence that names the neurons."""
    found = []
    wrong = sorted(name for name, part in parts.neurons() if part.reset not in reader.resets)
    if wrong:
        resets = ", ".join(sorted({parts.nodes[name].reset for name in wrong}))  # type: ignore[union-attr]
        where = ", ".join(wrong[:3]) + (" and more" if len(wrong) > 3 else "")
        if reader.resets:
            found.append(
                f"the {resets} reset of {where} has no place in NIR, whose neurons reset to a value"
                " (reset='hard' passes exactly)"
            )
        else:
            found.append(
                f"{reader.name} gives {where} ({resets} reset) neurons of its own, whatever the file says:"
                f" it {reader.otherwise}"
                + (" (spikeseq.exchange.settle sets them after reading)" if reader.settled else "")
            )
    if parts.readout == "membrane":
        found.append(
            "the membrane that the last layer gives out has no place in NIR, whose neurons give spikes"
            " (readout='spikes' and 'rate' pass)"
        )
    begun = [name for name, part in parts.neurons() if part.initial]
    if begun:
        found.append(
            f"membranes of {', '.join(begun[:3])} start above zero, which NIR cannot say (initial=0)"
        )
    return found


def graph(parts: Parts, reader: Reader, dt: float) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """Nodes and edges."""
    library, shapes = nir(), parts.shapes()
    nodes = {INPUT: library.Input(shape_array(parts.shape))}
    # A file gives its nodes back in the order of their names, and nirtorch needs that in which they run.
    digits = len(str(len(parts.nodes)))
    names = {name: f"n{place:0{digits}}_{name}" for place, name in enumerate(parts.nodes)}
    for name, part in parts.nodes.items():
        nodes[names[name]] = node_of(name, part, shapes[parts.sources(name)[0]], reader, dt)
    if len(set(parts.edges)) < len(parts.edges):
        twice = next(edge for edge in parts.edges if parts.edges.count(edge) > 1)
        raise ValueError(
            f"{twice[0]} reaches {twice[1]} twice, which NIR cannot say; multiply its weights by two"
        )
    nodes[OUTPUT] = library.Output(shape_array(shapes[parts.sources(OUTPUT)[0]]))
    return nodes, [(names.get(a, a), names.get(b, b)) for a, b in parts.edges]


def node_of(name: str, part: Part, shape: Shape, reader: Reader, dt: float) -> Any:
    """One node, for inputs of `shape`."""
    library = nir()
    match part:
        case Map():
            return linear_node(part.weight, part.bias, reader)
        case Conv():
            return conv_node(part, shape)
        case Pool():
            kind = library.SumPool2d if part.total else library.AvgPool2d
            sides = (shape_array(side) for side in (part.kernel, part.stride, part.padding))
            return kind(*sides)
        case Flat():  # counted from behind, because two readers count the batch from the front
            start = part.start - len(shape) if part.start >= 0 else part.start
            end = part.end - len(shape) if part.end >= 0 else part.end
            return library.Flatten({"input": shape_array(shape)}, start, end)
        case Neurons() if part.feedback is not None:
            return recurrent_node(name, part, reader, dt)
        case Neurons():
            return reader.node(name, part, dt)
        case Integrate() if reader.sums:
            return library.I(part.gain / dt)
        case Factor() if reader.factor:
            return library.Scale(np.full(shape, part.value, np.float64))
    raise ValueError(
        f"{name} adds up without spikes, which {reader.name} has no node for; leave it out, and sum what"
        " comes out"
    )


def linear_node(weight: Array, bias: Array | None, reader: Reader) -> Any:
    """Linear, or Affine where there is a bias or the reader knows nothing else."""
    if bias is None and reader.linear:
        return nir().Linear(weight)
    return nir().Affine(weight, np.zeros(len(weight), weight.dtype) if bias is None else bias)


def conv_node(part: Conv, shape: Shape) -> Any:
    """A convolution, which in NIR always has a bias."""
    bias = np.zeros(len(part.weight), part.weight.dtype) if part.bias is None else part.bias
    if len(part.stride) == 1:
        return nir().Conv1d(
            shape[1], part.weight, part.stride[0], part.padding[0], part.dilation[0], part.groups, bias
        )
    return nir().Conv2d(shape[1:], part.weight, part.stride, part.padding, part.dilation, part.groups, bias)


def recurrent_node(name: str, part: Neurons, reader: Reader, dt: float) -> Any:
    """Neurons and their feedback as a graph of its own: snnTorch takes a flat cycle for another one."""
    library = nir()
    assert part.feedback is not None
    alone = reader.node(name, part if not reader.feedback else without_feedback(part), dt)
    size = shape_array(part.leak.shape)
    nodes = {
        INPUT: library.Input(size),
        "lif": alone,
        "w_rec": linear_node(part.feedback, None, reader),
        OUTPUT: library.Output(size.copy()),
    }
    edges = [(INPUT, "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", OUTPUT)]
    return library.NIRGraph(nodes, edges)


def write_nir(graph: Any, path: str | Path) -> None:
    """Writes a graph to a file, whole or not at all.

    Raises:
        ValueError, OSError: the place cannot be written.
    """
    import io

    from ..files import write_whole

    path = Path(path)
    check_place(path)
    content = io.BytesIO()
    nir().write(content, graph)
    write_whole(path, content.getvalue())
