"""What a network does in one pass: which modules it calls, in which order, and what cannot be spikes."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..modules import (
    check_plain,
    class_of,
    is_compiled_around,
    is_quantised,
    is_scripted,
    named,
    oddity,
    refuse,
    rewritten,
)
from ..watch import Call, Watcher

ROLES: dict[str, tuple[type[nn.Module], ...]] = {
    "relu": (nn.ReLU,),
    "map": (nn.Conv1d, nn.Conv2d, nn.Linear),
    "norm": (nn.BatchNorm1d, nn.BatchNorm2d),
    "pool": (nn.MaxPool1d, nn.MaxPool2d, nn.AdaptiveMaxPool2d),
    "dropout": (
        *(nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout),
    ),
}
"""What is read or replaced: neurons come where ReLUs were, and the rest is made ready for them."""
NO_SPIKES = (
    *(nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.LocalResponseNorm, nn.modules.instancenorm._InstanceNorm),
    *(nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase, nn.Embedding, nn.LPPool2d),
)
"""Modules that no constant current and no spike stands for."""
# Nonlinear functions that are named before `affine` finds the rest.
FUNCTIONS = {
    *("gelu", "silu", "sigmoid", "tanh", "softmax", "log_softmax", "leaky_relu", "elu", "selu", "hardtanh"),
    *(
        "hardswish",
        "hardsigmoid",
        "mish",
        "softplus",
        "layer_norm",
        "group_norm",
        "batch_norm",
        "instance_norm",
    ),
    *("scaled_dot_product_attention", "exp", "log", "relu6", "threshold", "clamp", "clamp_min", "maximum"),
}
POOL_FUNCTIONS = {"max_pool1d", "max_pool2d", "adaptive_max_pool2d", "max_pool2d_with_indices"}
RELU_FUNCTIONS = {"relu"}


def role(module: nn.Module) -> str | None:
    """Which of `ROLES` a module has by its class; None if it is called as it is."""
    return next((name for name, kinds in ROLES.items() if isinstance(module, kinds)), None)


@dataclass
class Called:
    """One call of a module that has no parts or is replaced: its name, and the tensors in and out."""

    name: str
    module: nn.Module
    input: Tensor | None
    output: Tensor | None

    @property
    def role(self) -> str | None:
        return role(self.module)


@dataclass
class Survey:
    """calls: in order. functions: nonlinear functions of torch called outside such modules, and where."""

    calls: list[Called] = field(default_factory=list)
    functions: list[tuple[str, str]] = field(default_factory=list)

    def order(self, wanted: str) -> list[Called]:
        """The calls of modules of one role."""
        return [call for call in self.calls if call.role == wanted]


class _Functions(TorchFunctionMode):
    """Writes down functions by the innermost of the calls in `running`, whose note says if it is known."""

    def __init__(self, survey: Survey, running: list[Call]) -> None:
        super().__init__()
        self.survey, self.running = survey, running

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        called = getattr(function, "__name__", "").rstrip("_")  # clamp_ is clamp
        where, known = (self.running[-1].name, self.running[-1].note) if self.running else ("model", False)
        if not known and called in FUNCTIONS | POOL_FUNCTIONS | RELU_FUNCTIONS:
            self.survey.functions.append((called, where))
        return function(*args, **(kwargs or {}))


@torch.no_grad()
def survey(model: nn.Module, example: Tensor) -> Survey:
    """Runs `model` on `example` and writes down what it calls."""
    found = Survey()

    def before(call: Call) -> None:
        plain = leaf(call.module) and of_torch(call.module) and oddity(call.module) is None
        call.note = _replaced(call.module) or plain

    def after(call: Call) -> None:
        if _replaced(call.module) or leaf(call.module):
            first = next(iter(call.arguments.values()), None)
            given = first if isinstance(first, Tensor) else None
            made = call.output if isinstance(call.output, Tensor) else None
            name = "" if call.module is model else call.name
            found.calls.append(Called(name, call.module, given, made))

    shown = {name or "model": module for name, module in model.named_modules()}
    with Watcher(shown, before=before, after=after) as watcher, _Functions(found, watcher.running):
        model(example)
    return found


def _replaced(module: nn.Module) -> bool:
    return role(module) in ("relu", "norm")


def leaf(module: nn.Module) -> bool:
    parts = module._modules.keys() - {"parametrizations"}
    return isinstance(module, nn.MultiheadAttention) or not parts


def of_torch(module: nn.Module) -> bool:
    """Whether a call of it runs torch's own code."""
    return rewritten(module) is None and class_of(module).__module__.startswith("torch.nn.")


def check_parts(model: nn.Module, batch_norm: str) -> None:
    """Raises ValueError for modules that would be replaced, and are not exactly what their class says.

    All others are called as they are, with their hooks, parametrizations and adapters.
    """
    way_out = "put a plain module of torch.nn in its place, or remove that before the conversion"
    for name, module in model.named_modules():
        if is_scripted(module):
            refuse(name, module, "was made by torch.jit", "convert the Python model")
        if is_compiled_around(module):
            refuse(name, module, "was compiled", "convert the model before torch.compile")
        if is_quantised(module):
            refuse(name, module, "is quantised", "convert the model as it was before")
        found = role(module)
        if found in ("relu", "pool", "dropout") or (found == "norm" and batch_norm == "fold"):
            check_plain(name, module, way_out, *ROLES[found])
        if found == "norm" and (reason := rewritten(module)):
            refuse(name, module, reason, way_out)


def check(found: Survey, max_pool: str) -> None:
    """Raises ValueError for what cannot be converted, with all of it named and the way out."""
    wrong = []
    for called, where in dict.fromkeys(found.functions):
        if called in RELU_FUNCTIONS:
            wrong.append(f"{where} calls {called} as a function: make it a module, nn.ReLU")
        elif called in POOL_FUNCTIONS:
            wrong.append(f"{where} calls {called} as a function: make it nn.AvgPool2d and train again")
        else:
            wrong.append(f"{where} calls {called}: only ReLU becomes spikes")
    for call in found.calls:
        kind = type(call.module).__name__
        where = named(call.name, call.module)
        if call.role == "norm" and call.module.running_mean is None:
            wrong.append(f"{where} has no statistics of its own; train it with track_running_stats=True")
        elif call.role == "pool" and call.module.return_indices:
            wrong.append(f"{where} returns indices as well; put one there that returns values alone")
        elif call.role == "pool" and max_pool == "error":
            wrong.append(
                f"{where}: train with average pooling, or give max_pool='average' to put it in its place,"
                " or max_pool='spikes' to take the maximum of spikes"
            )
        elif isinstance(call.module, NO_SPIKES) or (
            of_torch(call.module)
            and class_of(call.module).__module__ == "torch.nn.modules.activation"
            and call.role != "relu"
        ):
            wrong.append(
                f"{where}: {kind} has no spiking counterpart; only ReLU and batch normalisation have"
            )
    if wrong:
        raise ValueError("the network cannot be converted: " + "; ".join(dict.fromkeys(wrong)))
    if not found.order("relu"):
        raise ValueError("the network has no nn.ReLU that is called, so there is nothing to convert")
