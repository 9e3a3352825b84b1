"""`compile_events`: inference that reads only the weights of neurons that fired."""

from functools import singledispatch
from typing import Any

from torch import nn

from .checks import check_module, choice
from .fold import fold_embeddings, is_folded
from .models.sentiment import SpikingClassifier
from .modules import check_plain, of_kind, refuse, rewritten, spiking_maps
from .nn import TokenConv1d
from .nn.event_maps import COUNTING, WEIGHTS, EventConv1d, EventLinear, EventMap
from .outside import copied, outside


@singledispatch
def form(model: nn.Module, weights: str) -> nn.Module | None:
    """The form of its own that a model has when it is driven by events; None where it has none.

    Classes register theirs. weights: one of WEIGHTS.
    """
    return None


def compile_events(model: nn.Module, weights: str = "float32") -> nn.Module:
    """A copy of `model` for inference, in which maps of spikes read only the weights of neurons that fired.

    The embedding of a `SpikingClassifier` is folded (`fold_embeddings`), so that no dense map is left but its
    read-out. A `SpikingLanguageModel` with fixed leaks becomes, where weights stay float32, a
    `StreamedLanguageModel`: one call of the kernel for a token. In a `ConvSeq2Seq` the convolutions of
    spiking sides are changed; attention and the map to the vocabulary, which see analog values, stay so.

    Args:
        model: with spiking layers: a `SpikingClassifier`, an encoder-decoder, or any that holds `SpikingRNN`s
            or `SpikingConvBlock`s.
        weights: "float32": the same results but for the order of additions. "int8": a quarter of these maps'
            memory, whole-number additions, and rounded weights.
    Raises:
        TypeError: no map of spikes is known in the model, or it is compiled already.
        ValueError: unknown weights; a map of spikes, or the layer around it, that is not exactly what its
            class says (`modules.oddity`): naming path, class, reason and what to do; as `fold_embeddings`.
    """
    choice("weights", weights, WEIGHTS)
    check_module("model", model)
    if of_kind(model, EventMap):
        raise TypeError(f"this {type(model).__name__} is driven by events already")
    found = spike_maps(model)
    own = form(model, weights)
    if own is not None:
        return own.eval()
    foldable = isinstance(model, SpikingClassifier) and not is_folded(model)
    model = fold_embeddings(model) if foldable else copied(model).eval().requires_grad_(False)
    for path in found:
        part: Any = model.get_submodule(path)
        parent, _, name = path.rpartition(".")
        kind = EventLinear if isinstance(part, nn.Linear) else EventConv1d
        setattr(model.get_submodule(parent), name, kind(part, weights))
    return model


def spike_maps(model: nn.Module) -> list[str]:
    """Where in `model` there are maps whose input is spikes, as its layers say (`modules.spiking_maps`).

    Raises:
        TypeError: there are none.
        ValueError: one of them, or the layer that says so, is not exactly what its class says.
    """
    found: list[str] = []
    way_out = "remove that first, or leave the model as it is"
    for path, module in model.named_modules():
        for name in spiking_maps(module):
            if reason := rewritten(module):
                refuse(path, module, f"{reason}, which may use its {name} in other ways", way_out)
            place = f"{path}.{name}" if path else name
            check_plain(place, module.get_submodule(name), way_out, nn.Linear, TokenConv1d)
            found.append(place)
    registered = set(model.modules())
    for module, place in outside(model).items():
        if spiking_maps(module) and module not in registered:
            raise ValueError(
                f"{place} keeps a {type(module).__name__} outside the registered modules, where its maps"
                " would stay as they are; make it an nn.ModuleList"
            )
    if not found:
        kinds = "SpikingRNN, SpikingConvBlock, SpikingClassifier or an encoder-decoder"
        raise TypeError(f"{type(model).__name__} holds no map of spikes, as a {kinds} does")
    return found


def weights_read(model: nn.Module, reset: bool = False) -> int:
    """Weights that the event-driven maps of `model` have read so far: one per AC of the energy account.

    Args:
        reset: start at zero again.
    """
    maps = of_kind(check_module("model", model), EventMap).values()
    with COUNTING:
        total = sum(one.reads for one in maps)
        if reset:
            for one in maps:
                one.reads = 0
    return total
