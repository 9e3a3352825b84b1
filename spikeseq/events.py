"""`compile_events`: inference that reads only the weights of neurons that fired."""

from functools import singledispatch
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from .checks import check_module, choice
from .fold import fold_embeddings, is_folded
from .functional.events import add_events
from .models.sentiment import SpikingClassifier
from .modules import check_plain, of_kind, refuse, rewritten, spiking_maps
from .nn import TokenConv1d
from .nn.conv import over_tokens
from .ops.taps import flat, ranges
from .outside import copied, outside

WEIGHTS = ("float32", "int8")
_counting = Lock()  # several threads may use one model


class EventMap(nn.Module):
    """Weights by the neuron that they start from, (K, I, O), read row by row as spikes arrive.

    Args:
        weight: (K, I, O), K matrices of one map.
        bias: (O,) or None.
        weights: "float32", or "int8": a byte each, with one scale per output and matrix, largest weight 127.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, weights: str = "float32") -> None:
        super().__init__()
        weight = weight.detach().clone(memory_format=torch.contiguous_format)
        scale = None
        if choice("weights", weights, WEIGHTS) == "int8":
            scale = (weight.abs().amax(1) / 127).clamp(min=torch.finfo(weight.dtype).tiny)
            weight = (weight / scale.unsqueeze(1)).round().to(torch.int8)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.in_features, self.out_features = weight.shape[1:]
        self.reads = 0  # weights read so far

    weight: Tensor
    scale: Tensor | None
    bias: Tensor | None

    def add_rows(self, base: Tensor, x: Tensor, k: int = 0) -> None:
        """base (R, O) += x (R, I) through matrix k."""
        self.count(add_events(base, x, self.weight[k], None if self.scale is None else self.scale[k]))

    def count(self, reads: int) -> None:
        """Adds to the weights that were read."""
        with _counting:
            self.reads += reads

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, {str(self.weight.dtype).removeprefix('torch.')}"


class EventLinear(EventMap):
    """An nn.Linear whose input is spikes, or sums of them.

    Args:
        linear: what it stands for. weights: as `EventMap`.
    """

    def __init__(self, linear: nn.Linear, weights: str = "float32") -> None:
        super().__init__(linear.weight.t().unsqueeze(0), linear.bias, weights)

    def forward(self, x: Tensor) -> Tensor:
        """(*, I) to (*, O)."""
        shape = (*x.shape[:-1], self.out_features)
        if self.bias is None:
            out = x.new_zeros(shape)
        else:
            out = self.bias.to(x.dtype).expand(shape).clone(memory_format=torch.contiguous_format)
        self.add_rows(out.view(-1, self.out_features), x.reshape(-1, self.in_features))
        return out


class EventConv1d(EventMap):
    """A `TokenConv1d` whose input is spikes, or sums of them.

    Args:
        conv: what it stands for. weights: as `EventMap`.
    """

    def __init__(self, conv: TokenConv1d, weights: str = "float32") -> None:
        super().__init__(conv.weight, conv.bias, weights)
        self.in_channels, self.out_channels = conv.in_channels, conv.out_channels
        self.kernel_size, self.causal = conv.kernel_size, conv.causal

    def forward(
        self, x: Tensor, state: Tensor | None = None, *, plus: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """As `TokenConv1d`."""
        return over_tokens(self, x, state, plus)

    def add(self, base: Tensor, x: Tensor, before: int) -> Tensor:
        """base (L, *, O) += the taps' rows for every spike of x (L', *, I)."""
        x = x.contiguous()
        for k, (rows, made) in enumerate(ranges(len(x), len(base), self.kernel_size, before)):
            self.add_rows(flat(base, made), flat(x, rows), k)
        return base


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
    with _counting:
        total = sum(one.reads for one in maps)
        if reset:
            for one in maps:
                one.reads = 0
    return total
