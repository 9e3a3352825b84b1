"""A `SpikingNetwork` taken apart by watching one pass: which modules it calls, and what connects them."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..modules import check_plain, class_of, named, refuse
from ..nn import SpikingNetwork
from ..nn.activation import SpikingActivation
from ..nn.clock import Clock, running
from ..nn.network import logits_of
from ..watch import Call, Watcher
from .apart import PLAIN, SILENT, WAY_OUT, factor, kind_of, label, neurons, part_of
from .parts import INPUT, LINEAR, OUTPUT, Flat, Parts, Shape

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
FLATTENED = {"flatten", "reshape", "view", "unflatten", "squeeze"}
SUMMED = {"add", "__add__", "__radd__", "__iadd__", "add_"}
HARMLESS = {"contiguous", "clone", "detach", "to", "float", "double", "dropout"}


@torch.no_grad()
def recorded(model: SpikingNetwork, shape: Shape) -> Parts:
    """The parts of a network of spiking activations, whatever its forward pass looks like.

    Raises:
        ValueError: something between the modules that is no sum and no flattening, naming it; a module that
            has no node; another shape than the network takes.
    """
    network, parts = model.network, Parts(shape, substeps=model.substeps, readout="sum")
    if model.encoding != "direct":
        refuse(
            "", model, f"draws its input ({model.encoding})", "take encoding='direct', or draw it yourself"
        )
    first = next(iter(network.parameters()))
    example = torch.zeros(2, *shape, dtype=first.dtype, device=first.device)
    recorder = Recorder(parts, network)
    recorder.know(example, (INPUT,))
    training = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with recorder.watching(), running(Clock(1, 1, 2, None)), recorder:
            out = logits_of(network(example))
    except (RuntimeError, TypeError) as error:
        why = str(error).partition("\n")[0]
        raise ValueError(f"the network fails on inputs of {shape}: {why}") from error
    finally:
        for module, mode in training.items():
            module.training = mode
    sources = recorder.seen.get(id(out))
    if sources is None:
        raise ValueError("what the network returns is not what one of its modules gives")
    parts.edges += [(source, OUTPUT) for source in sources]
    return parts


class Recorder(TorchFunctionMode):
    """Knows of every tensor which parts it is the sum of."""

    def __init__(self, parts: Parts, network: nn.Module) -> None:
        super().__init__()
        self.parts = parts
        self.paths = {module: path for path, module in network.named_modules()}
        self.seen: dict[int, tuple[str, ...]] = {}
        self.kept: list[Tensor] = []  # ids of tensors are taken anew once they are gone
        self.inside = 0
        self.calls: dict[nn.Module, int] = {}

    def know(self, tensor: Tensor, sources: tuple[str, ...]) -> None:
        """What a tensor is the sum of."""
        self.seen[id(tensor)] = sources
        self.kept.append(tensor)

    def watching(self) -> Watcher:
        """Sees every call of a module without parts of its own, and of every activation, as one part."""
        own = {part for one in self.paths if isinstance(one, SpikingActivation) for part in one.modules()}
        leaves = {
            path: module
            for module, path in self.paths.items()
            if isinstance(module, SpikingActivation) or (module not in own and not list(module.children()))
        }
        return Watcher(leaves, before=self._before, after=self._after)

    def _before(self, call: Call) -> None:
        self.inside += 1

    def _after(self, call: Call) -> None:
        if self.inside == 1:  # else it is a part of an activation
            self._part(call.module, call.input, call.output)
        self.inside -= 1

    def _normalise(self, path: str, module: Any, x: Tensor, sources: tuple[str, ...]) -> None:
        """Puts a batch normalisation into the map before it, which nobody else may read."""
        check_plain(path, module, WAY_OUT, *BATCH_NORMS)
        part: Any = self.parts.nodes.get(sources[0])
        mean: Any
        if len(sources) > 1 or not isinstance(part, LINEAR) or self.parts.targets(sources[0]):
            refuse(path, module, "follows no map of its own", "take norm='none'")
        if module.running_mean is None:
            refuse(path, module, "has no statistics of its own", "track them")
        values: Any = (module.running_mean, module.running_var, module.weight, module.bias)
        mean, variance, gain, offset = (None if one is None else one.double().cpu().numpy() for one in values)
        scale = (1 if gain is None else gain) / np.sqrt(variance + module.eps)
        bias = ((0 if part.bias is None else part.bias) - mean) * scale + (0 if offset is None else offset)
        kind, wide = part.weight.dtype, scale.reshape(-1, *[1] * (part.weight.ndim - 1))
        self.parts.nodes[sources[0]] = replace(
            part, weight=(part.weight * wide).astype(kind), bias=bias.astype(kind)
        )
        del self.seen[id(x)]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.inside or not isinstance(out, Tensor):
            return out
        given = [one for one in (*args, *(kwargs or {}).values()) if isinstance(one, Tensor)]
        known = [self.seen[id(one)] for one in given if id(one) in self.seen]
        name = getattr(func, "__name__", str(func))
        if not known or id(out) in self.seen:
            return out
        if name in HARMLESS:
            self.know(out, known[0])
        elif name in FLATTENED and out.dim() == 2 and len(known) == 1:
            self.know(out, (self.parts.add("flatten", Flat(), *known[0]),))
        elif name in SUMMED and len(known) == 2 and given[0].shape == given[1].shape == out.shape:
            self.know(out, (*known[0], *known[1]))
        elif name != "__get__":  # of a property, such as a shape
            raise ValueError(f"the network calls {name}, which has no node in a graph; make it a module of"
                             f" {', '.join(kind.__name__ for kind in PLAIN)}")  # fmt: skip
        return out

    def _part(self, module: nn.Module, x: Tensor, out: Tensor) -> None:
        """Puts in what a call of a module stands for."""
        path = self.paths[module]
        sources = self.seen.get(id(x))
        if sources is None:
            raise ValueError(f"{named(path, module)} reads what none of the modules before it gives")
        if isinstance(module, SILENT):
            self.know(out, sources)
            return
        shape = tuple(x.shape[1:])
        if class_of(module) in BATCH_NORMS:
            self._normalise(path, module, x, sources)
            self.know(out, sources)
            return
        if isinstance(module, SpikingActivation):
            check_plain(path, module, WAY_OUT, SpikingActivation)
            call = self.calls[module] = self.calls.get(module, -1) + 1
            lif: Any = module.neurons[call]
            part = neurons(f"{path}.neurons.{call}", lif, shape, initial=module.initial)
            name = self.parts.add(label(path, "neurons"), part, *sources)
            height = float(module.heights[call]) if module.scaled else 1.0
            self.know(out, (factor(self.parts, name, name, height),))
            return
        if class_of(module) not in PLAIN:
            refuse(path, module, "has no node in a graph", "take a network of " + ", ".join(
                kind.__name__ for kind in (*PLAIN, SpikingActivation)))  # fmt: skip
        found = part_of(path, module, shape)
        self.know(out, (self.parts.add(label(path, kind_of(found)), found, *sources),))
