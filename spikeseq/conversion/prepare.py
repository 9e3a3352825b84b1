"""An ANN made ready for spikes: batch normalisation folded, pooling averaged, ReLU replaced."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from ..modules import check_plain, named, refuse
from ..nn.activation import SpikingActivation, TimedDropout
from ..nn.network import logits_of
from ..outside import outside
from .survey import ROLES, Called, Survey, role, survey

CLOSE = 1e-6  # relative, in float64
HALF = 0.5


def replace(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Puts `new` wherever `old` is among the modules of `model`.

    Raises:
        ValueError: `old` is kept somewhere else too, where it would stay.
    """
    if place := outside(model).get(old):
        path = next(path for path, module in model.named_modules() if module is old)
        refuse(path, old, f"is kept in {place} too, where it would stay", "make that an nn.ModuleList")
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children leaves second names out
            if child is old:
                setattr(parent, name, new)


def fold_batch_norm(model: nn.Module, example: Tensor) -> list[str]:
    """Folds every batch normalisation into the map before it, in place; lines that say so.

    Raises:
        ValueError: one that does not follow a convolution or linear map alone; or a map whose weights are
            made from others, seen by hooks, or shared.
    """
    found = survey(model, example)
    norms = found.order("norm")
    if not norms:
        return []
    before = output(model, example)
    lines = []
    for norm in norms:
        source = next((call for call in found.calls if call.output is norm.input), None)
        if source is None or source.role != "map" or calls_of(found, source.module) > 1:
            raise ValueError(
                f"{named(norm.name, norm.module)} does not follow a convolution or linear map,"
                " into which it could be folded; give batch_norm='keep', or train without it"
            )
        check_map(model, source, "give batch_norm='keep'")
        if norm.module.weight is None:  # affine=False, which torch's fusion does not know
            norm.module.weight = nn.Parameter(torch.ones_like(norm.module.running_var))
            norm.module.bias = nn.Parameter(torch.zeros_like(norm.module.running_var))
        fuse: Any = fuse_linear_bn_eval if isinstance(source.module, nn.Linear) else fuse_conv_bn_eval
        replace(model, source.module, fuse(source.module, norm.module))
        replace(model, norm.module, nn.Identity())
        lines.append(f"{norm.name}: folded into {source.name}; its offset is a constant current")
    if not close(output(model, example), before):
        raise ValueError(
            "folding batch normalisation changed the output: a map before one is used elsewhere too;"
            " train without it"
        )
    return lines


def average_pools(model: nn.Module, found: Survey) -> list[str]:
    """Average pooling in the place of maximum pooling, in place."""
    lines = []
    for call in found.order("pool"):
        pool: Any = call.module
        if isinstance(pool, nn.AdaptiveMaxPool2d):
            new: nn.Module = nn.AdaptiveAvgPool2d(pool.output_size)
        else:
            if pool.dilation not in (1, (1, 1)):
                raise ValueError(f"{call.name}: average pooling has no dilation, got {pool.dilation}")
            kind = nn.AvgPool1d if isinstance(pool, nn.MaxPool1d) else nn.AvgPool2d
            new = kind(pool.kernel_size, pool.stride, pool.padding, pool.ceil_mode)
        replace(model, pool, new)
        lines.append(
            f"{call.name}: average in the place of maximum pooling, which the ANN was not trained with"
        )
    return lines


def put_neurons(
    model: nn.Module, found: Survey, neuron: dict[str, Any]
) -> list[tuple[str, SpikingActivation, int]]:
    """Neurons in the place of every ReLU that is called, in place.

    Returns name, module and number of the call of each layer of neurons, in the order of the pass.
    """
    made: dict[nn.Module, SpikingActivation] = {}
    order = []
    for call in found.order("relu"):
        if call.module not in made:
            made[call.module] = SpikingActivation(calls_of(found, call.module), **neuron)
        order.append((call.name, made[call.module]))
    for old, new in made.items():
        replace(model, old, new)
    count: dict[SpikingActivation, int] = {}
    layers = []
    for name, module in order:
        layers.append((name, module, count.setdefault(module, 0)))
        count[module] += 1
    return layers


def hold_dropout(model: nn.Module) -> list[str]:
    """Dropout with one mask for all sub-steps in the place of any other, in place."""
    lines = []
    for name, module in list(model.named_modules()):
        if role(module) != "dropout":
            continue
        kind = named(name, module)
        if module.p == 1:
            lines.append(f"{kind}: taken out, as it would silence everything in training")
        elif type(module) is not nn.Dropout:
            lines.append(f"{kind}: dropout of single values; in training only")
        replace(model, module, TimedDropout(module.p) if module.p < 1 else nn.Identity())
    return lines


def check_map(model: nn.Module, call: Called, otherwise: str) -> None:
    """Raises ValueError for a map whose weights cannot be read and written in the place of a call."""
    way_out = f"make it a plain module of torch.nn (prune.remove, remove_parametrizations), or {otherwise}"
    check_plain(call.name, call.module, way_out, *ROLES["map"])
    own = {id(parameter) for parameter in call.module.parameters()}
    for name, module in model.named_modules():
        if module is not call.module and any(id(p) in own for p in module.parameters(recurse=False)):
            refuse(
                call.name, call.module, f"shares weights with {name}", f"give each its own, or {otherwise}"
            )


def calls_of(found: Survey, module: nn.Module) -> int:
    return sum(call.module is module for call in found.calls)


@torch.no_grad()
def is_chain(model: nn.Module, example: Tensor, found: Survey) -> bool:
    """Whether scaling the output of any ReLU only scales the logits: no bias, no shortcut, behind it.

    Then weights can stay as they are and only thresholds carry the scale of a layer (thesis algorithm 1).
    """
    before = output(model, example)
    for module in {call.module for call in found.order("relu")}:
        times = calls_of(found, module)
        hook = module.register_forward_hook(lambda module, args, output: output * HALF)
        try:
            if not close(output(model, example), before * HALF**times):
                return False
        finally:
            hook.remove()
    return True


@torch.no_grad()
def output(model: nn.Module, example: Tensor) -> Tensor:
    return logits_of(model(example))


def close(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).abs().max() <= CLOSE * b.abs().max())
