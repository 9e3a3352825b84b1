"""`swap`: every nn.LSTM, nn.GRU and nn.RNN of a model, and their cells, replaced by spiking layers."""

import logging
import math
import re
import warnings
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from .checks import CURRENT_DTYPES, check_module, check_number
from .modules import check_initialised, check_plain, is_compiled, is_scripted, named, refuse
from .nn import SpikingRNN, SpikingRNNCell
from .outside import copied, outside

logger = logging.getLogger(__name__)
Model = TypeVar("Model", bound=nn.Module)

_WEIGHTS = re.compile(r"_?(flat|all)_weights(_names)?|(weight|bias)_(ih|hh|hr)(_l\d+)?(_reverse)?(_raw)?")


class _StandIn(nn.Module):
    """What every replacement has in common: it says what it stands for and what it has instead of weights."""

    replaces: str
    mode: str
    scale: float  # of the output

    def __getattr__(self, name: str) -> Any:
        if _WEIGHTS.fullmatch(name):
            cell = isinstance(self, SpikingRNNCell)
            place = "layer" if cell else "layers[i]"
            raise AttributeError(
                f"{type(self).__name__} has no {name}: it is a spiking layer in the place of an "
                f"nn.{self.replaces}. It has {place}.input_map.weight and .bias, "
                f"{place}.lif.leak and .threshold" + ("" if cell else "; i = layer * D + direction")
            )
        return super().__getattr__(name)

    def _membrane(self, hx: Tensor, scale: float) -> Tensor:
        """A state that was handed in, which may be in the dtype of a half-precision layer."""
        wide = next(self.parameters()).dtype == torch.float64
        return hx.to(torch.float64 if wide else torch.float32) / scale

    def _cell_state(self, hx: Any) -> Tensor | None:
        """c of (h, c): the membrane."""
        if hx is None:
            return None
        if not (isinstance(hx, tuple | list) and len(hx) == 2 and all(isinstance(x, Tensor) for x in hx)):
            raise TypeError(f"hx must be (h, c), as nn.{self.replaces} takes it, got {_kind(hx)}")
        h, c = hx
        if h.shape != c.shape:
            shapes = f"{tuple(h.shape)} and {tuple(c.shape)}"
            raise ValueError(f"hx must be (h, c) of one shape, as nn.{self.replaces} takes it, got {shapes}")
        return self._membrane(c, 1.0)

    def _hidden_state(self, hx: Any) -> Tensor | None:
        """h: the membrane in the scale of the output."""
        if hx is None:
            return None
        if not isinstance(hx, Tensor):
            raise TypeError(f"hx must be one Tensor, as nn.{self.replaces} takes it, got {_kind(hx)}")
        return self._membrane(hx, self.scale)

    def _scaled(self, output: Any) -> Any:
        if isinstance(output, PackedSequence):
            return PackedSequence(output.data * self.scale, *output[1:])
        return output * self.scale

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale:g}, in_place_of=nn.{self.replaces}"


class SwappedLSTM(_StandIn, SpikingRNN):
    """A `SpikingRNN` that stands where an nn.LSTM stood: its state is (h, c)."""

    def forward(  # type: ignore[override]
        self, input: Tensor | PackedSequence, hx: Any = None, *, lengths: Tensor | None = None
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Output and (h, c), shaped as nn.LSTM's.

        c is the membrane, never below float32, and h the output of each layer at the last valid token
        (the membrane times `scale`), in output's dtype. They share no memory, because callers change them
        in place. Of an hx that is handed in, c is used and h is not.
        """
        output, membrane = super().forward(input, self._cell_state(hx), lengths=lengths)
        return self._scaled(output), ((membrane * self.scale).to(_dtype_of(output)), membrane)


class SwappedRNN(_StandIn, SpikingRNN):
    """A `SpikingRNN` that stands where an nn.GRU or nn.RNN stood: its state is h."""

    def forward(
        self, input: Tensor | PackedSequence, hx: Any = None, *, lengths: Tensor | None = None
    ) -> tuple[Any, Tensor]:
        """Output and h, shaped as nn.GRU's; h, the output at the last valid token, is the membrane scaled."""
        output, membrane = super().forward(input, self._hidden_state(hx), lengths=lengths)
        return self._scaled(output), (membrane * self.scale).to(_dtype_of(output))


class SwappedLSTMCell(_StandIn, SpikingRNNCell):
    """A `SpikingRNNCell` that stands where an nn.LSTMCell stood: (h, c) in and out; c is what is used."""

    def forward(self, input: Tensor, hx: Any = None) -> tuple[Tensor, Tensor]:
        """(B, input_size) or (input_size,) in; h, the output, and c, the membrane, out."""
        output, membrane = super().forward(input, self._cell_state(hx))
        return self._scaled(output), membrane


class SwappedRNNCell(_StandIn, SpikingRNNCell):
    """A `SpikingRNNCell` that stands where an nn.GRUCell or nn.RNNCell stood: h in, h out."""

    def forward(self, input: Tensor, hx: Any = None) -> Tensor:  # type: ignore[override]
        """(B, input_size) or (input_size,) in; h, the output, out."""
        return self._scaled(super().forward(input, self._hidden_state(hx))[0])


_STAND_INS: dict[type[nn.Module], Any] = {
    nn.LSTM: SwappedLSTM,
    nn.GRU: SwappedRNN,
    nn.RNN: SwappedRNN,
    nn.LSTMCell: SwappedLSTMCell,
    nn.GRUCell: SwappedRNNCell,
    nn.RNNCell: SwappedRNNCell,
}
_RNNS = (nn.RNNBase, nn.RNNCellBase)


def swap(
    model: Model,
    substeps: int = 5,
    *,
    norm: str | None = "layer",
    scale: float = 0.125,
    inplace: bool = False,
    **neuron: Any,
) -> Model:
    """Replaces every nn.LSTM, nn.GRU, nn.RNN and their cells by spiking layers that start untrained.

    The rest of the model is left as it is, and calls the new layers as it called the old ones: output and
    (h, c) in the place of an LSTM, output and h in the place of a GRU or RNN. A module used at two places
    is replaced by one module used at both; device, dtype and training mode are kept. Where all parameters
    of a layer and direction are frozen, so are those of the new one, and a warning says so. Build the
    optimiser after the swap: one built before it still holds the weights of the old layers.

    Args:
        model: at any depth, registered modules only; it may itself be an nn.LSTM.
        substeps: sub-steps T for which each token is presented; default 5, as the thesis uses throughout.
        norm: as `SpikingRNN`, but "layer" by default, because the scale of the input of a layer in somebody
            else's model is not known, and neurons stay silent or fire always if it is far from 1.
        scale: factor of the output (output, and h with it; not c). Currents of standard deviation 1 make
            membranes of about 7 with the default leak, and the rest of the model was built for an LSTM's
            outputs, below 1. Default 1/8: a power of two, so that a state handed on stays exact.
        inplace: change `model` itself instead of a deep copy. A model that is itself an RNN cannot be
            changed in place; use what is returned.
        neuron: further arguments of `SpikingRNN`: recurrent, leak, threshold, reset, surrogate, per_channel,
            learn_leak, learn_threshold, detach_reset, norm_input.
    Returns:
        The model. Its repr, and log messages at level INFO, say what stands where.
    Raises:
        TypeError: model is not an nn.Module, or is or holds a torch.jit.ScriptModule; an unknown argument.
        ValueError: no RNN in the model; or one that cannot be served, with its path, class and what to do:
            whatever `modules.oddity` names (code of its own, hooks, parametrizations, pruning), a projection
            (proj_size), dropout=1, a layer that is frozen in part, weights that it shares with others, an RNN
            that is kept outside the registered modules. An in-place swap that raises has changed nothing.
    """
    check_module("model", model)
    if "readout" in neuron:
        raise TypeError(
            'swap takes no readout: the new layers give the membrane ("membrane"), which is real-valued'
        )
    if getattr(neuron.get("surrogate"), "memory_planes", 0):
        raise ValueError(f"swap cannot serve a surrogate with memory in (h, c), got {neuron['surrogate']!r}")
    scale = check_number("scale", scale)
    if not (scale > 0 and math.isfinite(scale)):
        raise ValueError(f"scale must be positive and finite, got {scale}")
    check_initialised(model)
    found = _find(model)
    if not inplace:
        try:
            model = copied(model)
        except ValueError as error:
            raise ValueError(f"{error}; or pass inplace=True") from error
        found = _find(model)
    new: dict[int, nn.Module] = {}
    for path, module in found.items():
        new[id(module)] = _stand_in(path, module, substeps=substeps, norm=norm, scale=scale, **neuron)
    for path, module in found.items():
        logger.info("%s: nn.%s -> %r", path or "the model", _served(module).__name__, new[id(module)])
    if id(model) in new:
        return new[id(model)]  # type: ignore[return-value]
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if id(child) in new:
                parent._modules[name] = new[id(child)]
    return model


def _find(model: nn.Module) -> dict[str, nn.Module]:
    """Path to module for every RNN of the model, each checked; a shared one stands under its first path."""
    found: dict[str, nn.Module] = {}
    for path, module in model.named_modules():
        if is_scripted(module):
            raise TypeError(
                f"{named(path, module)} is a torch.jit.ScriptModule; swap the Python model before it is"
                " scripted"
            )
        if is_compiled(module) and isinstance(getattr(module, "_orig_mod", module), _RNNS):
            refuse(path, module, "was compiled", "swap the model before torch.compile")
        if isinstance(module, _RNNS):
            found[path] = module
    for module, place in outside(model).items():
        if isinstance(module, _RNNS):
            raise ValueError(
                f"{place} keeps an RNN ({type(module).__name__}) outside the registered modules, where it"
                " would stay as it is; make it an nn.ModuleList, or a method"
            )
    if not found:
        raise ValueError(f"no nn.LSTM, nn.GRU, nn.RNN or cell of theirs in the model ({_kind(model)})")
    owners = dict[nn.Parameter, tuple[nn.Module, str]]()
    for module in model.modules():
        for name, parameter in module._parameters.items():
            other, held = (
                (module, name) if parameter is None else owners.setdefault(parameter, (module, name))
            )
            if (other, held) != (module, name):
                place = f"itself ({name} is {held})" if other is module else "another module"
                for path, rnn in found.items():
                    if rnn is module or rnn is other:
                        refuse(path, rnn, f"shares weights with {place}", "give each its own")
    for path, module in found.items():
        _check(path, module)
    return found


def _check(path: str, module: Any) -> None:
    """Raises ValueError if a spiking layer could not do what this RNN does."""
    way_out = (
        "remove that before the swap (hooks can be registered after it), put a plain nn.LSTM, nn.GRU or"
        " nn.RNN there, or write the layer with spikeseq.nn.SpikingRNN"
    )
    check_plain(path, module, way_out, *_STAND_INS)
    if size := getattr(module, "proj_size", 0):
        refuse(path, module, f"has proj_size={size}", "a spiking layer has no projection: use 0")
    if getattr(module, "num_layers", 1) > 1 and not 0 <= module.dropout < 1:
        refuse(path, module, f"has dropout={module.dropout}", "dropout between layers must lie in [0, 1)")
    for index, parameters in enumerate(_layers(module)):
        if kinds := {parameter.dtype for parameter in parameters.values()}.difference(CURRENT_DTYPES):
            refuse(
                path, module, f"is in {kinds.pop()}",
                "a spiking layer is in float32, float64, bfloat16 or float16",
            )  # fmt: skip
        if len({parameter.requires_grad for parameter in parameters.values()}) > 1:
            frozen = ", ".join(name for name, p in parameters.items() if not p.requires_grad)
            refuse(
                path, module, f"is frozen in part in layer {index} ({frozen}), which has no counterpart",
                "freeze all of a layer and direction or none, and parts of the new layer afterwards",
            )  # fmt: skip


def _layers(module: nn.Module) -> list[dict[str, nn.Parameter]]:
    """The parameters of each layer and direction, in the order in which `SpikingRNN` has its layers."""
    if isinstance(module, nn.RNNCellBase):
        return [dict(module.named_parameters(recurse=False))]
    rnn: Any = module
    return [{name: getattr(rnn, name) for name in names} for names in rnn._all_weights]


def _stand_in(path: str, module: Any, *, scale: float, **options: Any) -> nn.Module:
    """The spiking layer for one RNN."""
    base = _served(module)
    weight = next(iter(_layers(module)[0].values()))
    options |= {"bias": bool(module.bias), "device": weight.device, "dtype": weight.dtype}
    if isinstance(module, nn.RNNBase):
        options |= {"num_layers": module.num_layers, "batch_first": module.batch_first}
        options |= {"bidirectional": module.bidirectional}
        options |= {"dropout": module.dropout if module.num_layers > 1 else 0.0}
    new = _STAND_INS[base](module.input_size, module.hidden_size, **options)
    new.replaces, new.mode = base.__name__, getattr(module, "mode", base.__name__)
    new.scale = scale
    new.train(module.training)
    _freeze(path, module, new)
    return new  # type: ignore[no-any-return]


def _freeze(path: str, module: nn.Module, new: Any) -> None:
    """Freezes the spiking layers that stand in for frozen ones."""
    frozen = [not any(p.requires_grad for p in parameters.values()) for parameters in _layers(module)]
    for index, is_frozen in enumerate(frozen):
        if is_frozen:
            (new.layer if isinstance(new, SpikingRNNCell) else new.layers[index]).requires_grad_(False)
    if any(frozen):
        which = "" if all(frozen) else f" in layers {', '.join(str(i) for i, f in enumerate(frozen) if f)}"
        warnings.warn(
            f"{path or 'the model'} was frozen{which}, and so is the untrained spiking layer in its place",
            stacklevel=4,
        )


def _served(module: nn.Module) -> type[nn.Module]:
    return next(base for base in _STAND_INS if isinstance(module, base))


def _dtype_of(output: Tensor | PackedSequence) -> torch.dtype:
    return (output.data if isinstance(output, PackedSequence) else output).dtype


def _kind(value: Any) -> str:
    return f"a tuple of {len(value)}" if isinstance(value, tuple) else type(value).__name__
