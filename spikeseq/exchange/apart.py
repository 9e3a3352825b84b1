"""Our networks taken apart: what a model computes, as `Parts`, or one error that names what is in the way."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..checks import check_module
from ..modules import check_plain, class_of, named, refuse
from ..nn import LIF, Integrator, SequenceDropout, SpikingNetwork, SpikingRNN
from ..nn.activation import SpikingActivation, TimedDropout
from ..nn.layer import Passed, SpikingLayer
from .parts import (
    INPUT,
    LINEAR,
    OUTPUT,
    Array,
    Conv,
    Factor,
    Flat,
    Integrate,
    Map,
    Neurons,
    Parts,
    Pool,
    Shape,
    per_neuron,
)

SILENT = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, SequenceDropout, TimedDropout)
"""What does nothing once a network is trained."""
PLAIN = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten)
NEURONS = (LIF, SpikingActivation, SpikingLayer, SpikingRNN, Integrator)
KNOWN = ", ".join(kind.__name__ for kind in (*PLAIN, *NEURONS, *SILENT[:2], SpikingNetwork, nn.Sequential))
WAY_OUT = "make it a module without, such as a copy with the same weights"


def chain_apart(model: nn.Module | Sequence[nn.Module], input_shape: Shape | None = None) -> Parts:
    """Modules of which each reads what the one before gives, as parts; as `models.apart`."""
    if isinstance(model, nn.Module):
        chain = [("", model)]
    else:
        chain = [(f"[{number}]", module) for number, module in enumerate(model)]
    chain = list(flattened(chain))
    if not chain:
        raise ValueError("the model has no modules")
    first = chain[0][1]
    parts = Parts(shape_of(input_shape or own_shape(first), first))
    last = INPUT
    for index, (path, module) in enumerate(chain):
        shape = parts.shapes()[last]
        if isinstance(module, SILENT):
            continue
        if isinstance(module, SpikingRNN):
            last = stack(parts, last, path, module, is_last=index == len(chain) - 1)
        elif isinstance(module, SpikingLayer):
            hold(parts, path, module, 1 if module.spiking_input else module.substeps, last)
            last = layer(parts, last, path, module)
        elif isinstance(module, LIF):
            hold(parts, path, module, module.substeps, last)
            last = parts.add(label(path, "neurons"), neurons(path, module, shape), last)
        elif isinstance(module, Integrator):
            hold(parts, path, module, module.substeps, last)
            last = parts.add(label(path, "sums"), Integrate(np.ones(shape), np.ones(shape)), last)
        else:
            part = part_of(path, module, shape)
            last = parts.add(label(path, kind_of(part)), part, last)
    parts.edges.append((last, OUTPUT))
    if isinstance(parts.nodes.get(last), LINEAR):
        parts.readout = "sum"
    return parts


def flattened(chain: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, nn.Module]]:
    """Every nn.Sequential in a chain replaced by what is in it."""
    for path, module in chain:
        check_module(f"the model's {path}", module)
        if class_of(module) is nn.Sequential:
            check_plain(path, module, WAY_OUT, nn.Sequential)
            inner = ((f"{path}.{name}" if path else name, part) for name, part in module.named_children())
            yield from flattened(inner)
        else:
            yield path, module


def own_shape(module: nn.Module) -> Shape | None:
    """What a first module says of its input."""
    if isinstance(module, nn.Linear):
        return (module.in_features,)
    if isinstance(module, SpikingRNN | SpikingLayer):
        return (module.input_size,)
    if isinstance(module, LIF) and module.channels:
        return (module.channels,)
    return None


def shape_of(shape: Any, module: nn.Module) -> Shape:
    """A checked input shape."""
    if shape is None:
        raise ValueError(
            f"input_shape is needed, the shape of one input without time and batch: {type(module).__name__}"
            " does not tell"
        )
    shape = tuple(shape)
    if not shape or not all(isinstance(side, int) and side > 0 for side in shape):
        raise ValueError(f"input_shape must be a tuple of positive numbers, got {shape}")
    return shape


def label(path: str, kind: str) -> str:
    """A node's name, from where the module stands."""
    place = path.replace("[", "").replace("]", "")
    return f"{kind}_{place}" if place else kind


def kind_of(part: Any) -> str:
    """What nodes of a part are called."""
    return type(part).__name__.lower()


def array(tensor: Tensor | None) -> Array | None:
    """A copy as numpy has it; half precision, which it has not, as float32."""
    if tensor is None:
        return None
    wide = torch.float64 if tensor.dtype == torch.float64 else torch.float32
    return tensor.detach().to("cpu", wide).numpy().copy()


def stack(parts: Parts, last: str, path: str, rnn: SpikingRNN, is_last: bool) -> str:
    """The layers of a SpikingRNN."""
    check_plain(path, rnn, WAY_OUT, SpikingRNN)
    if rnn.bidirectional:
        refuse(path, rnn, "reads sequences from both ends, which no graph can say", "take one direction")
    if not is_last and rnn.readout != "spikes":
        way = "take readout='spikes', or make it the last one"
        refuse(path, rnn, f"gives its {rnn.readout} to the next module", way)
    hold(parts, path, rnn, rnn.substeps, last)
    for index, one in enumerate(rnn.layers):
        last = layer(parts, last, f"{path}.layers.{index}" if path else f"layers.{index}", one)
    parts.readout = rnn.readout
    return last


def hold(parts: Parts, path: str, module: nn.Module, steps: int, last: str) -> None:
    """Rows of input are held for `steps`, which only the first neurons can ask for."""
    if any(True for _ in parts.neurons()):
        if steps != 1 and parts.substeps != steps:
            refuse(path, module, f"holds every spike for {steps} sub-steps", "take substeps=1 behind neurons")
        return
    parts.substeps = steps


def layer(parts: Parts, last: str, path: str, module: nn.Module) -> str:
    """Map and neurons of one layer, with feedback if it has some."""
    check_plain(path, module, WAY_OUT, SpikingLayer)
    assert isinstance(module, SpikingLayer)
    if module.norm is not None:
        refuse(path, module, "has a normalisation, which no graph has a node for", "take norm=None")
    if not isinstance(module.input_map, Passed):
        shape = parts.shapes()[last]
        last = parts.add(label(path, "map"), part_of(f"{path}.input_map", module.input_map, shape), last)
    check_plain(f"{path}.lif", module.lif, WAY_OUT, LIF)
    feedback: Any = module.feedback
    weight = None
    if feedback is not None:
        check_plain(f"{path}.feedback", feedback, WAY_OUT, nn.Linear)
        if feedback.bias is not None:
            refuse(f"{path}.feedback", feedback, "has a bias", "put it into the input map")
        weight = array(feedback.weight)
    part = neurons(f"{path}.lif", module.lif, (module.hidden_size,), weight)
    return parts.add(label(path, "neurons"), part, last)


def neurons(
    path: str, lif: LIF, shape: Shape, feedback: Array | None = None, initial: float = 0.0
) -> Neurons:
    """What an nn.LIF stands for, in a layer of `shape`."""
    check_plain(path, lif, WAY_OUT, LIF)
    if lif.channels is not None and lif.channels != shape[0]:
        raise ValueError(
            f"{named(path, lif)} has {lif.channels} channels, and what reaches it is {shape}; expected"
            f" {lif.channels} in the first place"
        )
    own = lif.neuron()
    leak = per_neuron(array(own.leak), shape)
    gain = 1 - leak if lif.norm_input else np.ones(shape)
    dtype = "float64" if own.leak.dtype == torch.float64 else "float32"
    return Neurons(leak, gain, per_neuron(array(own.threshold), shape), lif.reset, feedback, initial, dtype)


def part_of(path: str, module: nn.Module, shape: Shape) -> Map | Conv | Pool | Flat:
    """A map, pooling or flattening, for inputs of `shape`."""
    kind = class_of(module)
    if kind not in PLAIN:
        refuse(path, module, "has no node in a graph", f"known are {KNOWN}")
    check_plain(path, module, WAY_OUT, *PLAIN)
    match module:
        case nn.Linear():
            if shape != (module.in_features,):
                raise ValueError(f"{named(path, module)} takes ({module.in_features},), and gets {shape}")
            return Map(array(module.weight), array(module.bias))
        case nn.Conv1d() | nn.Conv2d():
            return conv(path, module, shape)
        case nn.AvgPool2d():
            return pool(path, module)
        case nn.AdaptiveAvgPool2d():
            sides = pair(module.output_size)
            if any(n is None or side % n for n, side in zip(sides, shape[1:], strict=True)):
                refuse(path, module, f"divides {shape[1:]} unevenly", "take nn.AvgPool2d")
            kernel = tuple(side // int(n or 1) for n, side in zip(sides, shape[1:], strict=True))
            return Pool(kernel, kernel)
        case nn.Flatten():
            if module.start_dim != 1 or module.end_dim not in (-1, len(shape)):
                refuse(path, module, "keeps some dimensions", "take nn.Flatten() as it comes")
    return Flat()


def conv(path: str, module: nn.Conv1d | nn.Conv2d, shape: Shape) -> Conv:
    """A convolution whose padding is a number of zeros."""
    if module.padding_mode != "zeros":
        refuse(path, module, f"has padding_mode={module.padding_mode!r}", "take zeros")
    if len(shape) != len(module.kernel_size) + 1 or shape[0] != module.in_channels:
        raise ValueError(f"{named(path, module)} takes {module.in_channels} channels, and gets {shape}")
    padding = module.padding
    if padding == "valid":
        padding = (0,) * len(module.kernel_size)
    elif padding == "same":
        wide = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        if any(side % 2 for side in wide):
            refuse(path, module, "pads one side more than the other", "take an odd kernel")
        padding = tuple(side // 2 for side in wide)
    assert isinstance(padding, tuple)
    weight, bias = array(module.weight), array(module.bias)
    return Conv(weight, bias, tuple(module.stride), padding, tuple(module.dilation), module.groups)


def pool(path: str, module: nn.AvgPool2d) -> Pool:
    """An average over whole windows."""
    if any(pair(module.padding)) or module.ceil_mode or module.divisor_override:
        refuse(path, module, "has padding, ceil_mode or a divisor of its own", "take none of them")
    return Pool(pair(module.kernel_size), pair(module.stride))


def pair(value: Any) -> tuple[Any, ...]:
    """A number for each of two sides."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def factor(parts: Parts, last: str, name: str, height: float) -> str:
    """The height of spikes, where it is not one."""
    return last if height == 1 else parts.add(f"{name}_height", Factor(height), last)
