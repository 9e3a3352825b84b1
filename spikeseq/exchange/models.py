"""Our networks taken apart, whatever they are."""

from collections.abc import Sequence

from torch import nn

from ..checks import has_values
from ..modules import check_initialised, check_plain
from ..nn import SpikingNetwork
from .apart import WAY_OUT, chain_apart, shape_of
from .parts import Parts, Shape
from .record import recorded


def apart(model: nn.Module | Sequence[nn.Module], input_shape: Shape | None = None) -> Parts:
    """A trained network as parts.

    Args:
        model: `SpikingRNN`, `SpikingNetwork`, or a chain: an nn.Sequential or a list of modules, each of
            which reads what the one before gives (of `LIF` its spikes), step by step; what a map at the end
            gives is to be summed up.
        input_shape: of one input, without time and batch; needed where the first module does not tell.
    Raises:
        ValueError: a module that no graph has a node for, naming it and the known ones; one that is not
            exactly what its class says; one without values; an input shape that is missing or does not fit.
    """
    chain = {"": model} if isinstance(model, nn.Module) else {f"[{at}].": one for at, one in enumerate(model)}
    for path, module in chain.items():
        if isinstance(module, nn.Module):  # else it is refused below
            check_initialised(module)
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if not has_values(tensor):
                    raise ValueError(f"{path}{name} has no values: it is on {tensor.device}; fill it first")
    if isinstance(model, SpikingNetwork):
        check_plain("", model, WAY_OUT, SpikingNetwork)
        return recorded(model, shape_of(input_shape, model))
    return chain_apart(model, input_shape)
