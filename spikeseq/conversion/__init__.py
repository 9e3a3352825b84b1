"""From a trained ANN to a spiking network (thesis algorithm 1 and 5.4)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from ..checks import check_module, choice, has_values, positive_int
from ..nn.activation import SpikingActivation
from ..nn.lif import LIF
from ..nn.network import SpikingNetwork
from ..outside import copied, outside
from .affine import check_affine
from .prepare import average_pools, calls_of, check_map, fold_batch_norm, hold_dropout, is_chain, put_neurons
from .survey import Survey, check, check_parts, survey
from .thresholds import Layers, balance

METHODS = ("max", "percentile")
BALANCES = ("thresholds", "weights")
BATCH_NORMS = ("fold", "keep")
MAX_POOLS = ("error", "average", "spikes")


@dataclass
class Conversion:
    """What `to_spiking` did; `print(model.conversion)` lists it.

    changed: a line for every module that was folded, or replaced by one that does something else.
    thresholds: by the name of the layer (and `#2` of its second call), before `threshold_scale`.
    scaled: whether spikes count as much as thresholds.
    """

    changed: list[str]
    thresholds: dict[str, float]
    scaled: bool

    def __str__(self) -> str:
        lines = [f"{name}: neurons, threshold {value:.4g}" for name, value in self.thresholds.items()]
        unit = "spikes as high as thresholds" if self.scaled else "spikes of height 1"
        return "\n".join([*self.changed, *lines, unit])


def to_spiking(
    ann: nn.Module,
    calibration_batches: Iterable[Tensor],
    method: str = "max",
    *,
    percentile: float = 99.7,
    threshold_scale: float = 1.0,
    balance_by: str = "thresholds",
    substeps: int = 100,
    calibration_substeps: int | None = None,
    encoding: str = "direct",
    largest: float | None = None,
    batch_norm: str = "fold",
    max_pool: str = "error",
    seed: int = 0,
    progress: Callable[[int, int, str, float], None] | None = None,
    **neuron: Any,
) -> SpikingNetwork:
    """A spiking copy of a trained ANN: its weights, neurons in the place of ReLU, thresholds from data.

    Layer by layer, the threshold is the maximum or a percentile of the currents that reach it while the
    layers before it spike (thesis algorithm 1; 5.4). Batch normalisation is folded into maps first; a bias is
    a constant current. In a network without bias and shortcuts, spikes count 1 and thresholds carry the
    scale, as in the thesis. In any other, spikes count as much as their threshold, so that currents which
    meet in a sum are in the same units.

    Args:
        ann: any module, (N, *) to (N, classes) or to something with `logits`; it is left as it is.
        calibration_batches: of inputs (B, *), as the ANN takes them; a few hundred are enough.
        method: "max", exact for many sub-steps, or "percentile", for few: neurons then fire sooner.
        percentile: in (0, 100]. Default 99.7; DIET-SNN starts from 95 (thesis 5.4).
        threshold_scale: factor on all thresholds once they are measured; below 1 for fewer sub-steps.
        balance_by: "thresholds", or "weights": thresholds 1 and weights divided by them, the same
            function, for networks without bias and shortcuts.
        substeps: of the model. Default 100 (thesis table 4.1: 75 to 250).
        calibration_substeps: that thresholds are measured over; default `substeps`. Where membranes start at
            zero and there is no bias, spikes reach a deep layer late: it may take more.
        encoding: "direct" or "poisson".
        largest: input value that a Poisson spike counts, beyond which values are clipped; default that of
            the calibration batches.
        batch_norm: "fold" into the map before it, or "keep" as normalisation of currents by the ANN's
            statistics, the same function, for a network that is to be trained on.
        max_pool: "error"; "average" to put average pooling in the place of maximum pooling, which changes
            what the ANN computes; "spikes" for the maximum of the spikes of a sub-step, where it stands
            behind ReLU.
        seed: of Poisson spikes.
        progress: called after every layer with layers done, their number, its name and threshold. It is slow:
            every layer runs those before it again.
        neuron: arguments of `LIF`, whose leak is 1 by default: integrate and fire; and `initial` of
            `SpikingActivation`: with 0.5, few sub-steps are enough.
    Returns:
        A `SpikingNetwork`, in evaluation mode: call `train()` before it is trained on. Its `conversion` says
        what was changed.
    Raises:
        TypeError, ValueError: naming the argument or the module that cannot be converted, and what would
            do: maximum pooling, anything nonlinear other than ReLU, whatever it is called, normalisation
            that cannot be folded; a module that would be replaced or read and is not exactly what its class
            says (`modules.oddity`: hooks, code of its own, pruning, parametrizations), or that is kept
            outside the registered modules; calibration batches that are empty or constant. All other
            modules are called as they are, with their hooks.
    """
    choice("method", method, METHODS)
    choice("balance_by", balance_by, BALANCES)
    choice("batch_norm", batch_norm, BATCH_NORMS)
    choice("max_pool", max_pool, MAX_POOLS)
    positive_int("substeps", substeps)
    steps = (
        substeps
        if calibration_substeps is None
        else positive_int("calibration_substeps", calibration_substeps)
    )
    for name, value in (("percentile", percentile), ("threshold_scale", threshold_scale)):
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
    if not 0 < percentile <= 100:
        raise ValueError(f"percentile must lie in (0, 100], got {percentile}")
    if not (0 < threshold_scale < math.inf):
        raise ValueError(f"threshold_scale must be a positive number, got {threshold_scale}")
    check_module("ann", ann)
    for name, module in ann.named_modules():
        if isinstance(module, SpikingActivation | LIF):
            raise ValueError(
                f"ann has spiking neurons already, at {name}; a network with nn.ReLU is converted"
            )
    batches = checked(calibration_batches)

    check_parts(ann, batch_norm)
    network = copied(ann).eval().double()
    check_fit(network, batches)
    example = batches[0][:2].double()
    network, changed, found, chain = _prepared(network, example, batch_norm, max_pool)
    if balance_by == "weights" and not chain:
        raise ValueError("balance_by='weights' needs a network without bias and shortcuts; take 'thresholds'")
    layers = put_neurons(network, found, {"leak": 1.0, "device": batches[0].device, **neuron})
    network.to(batches[0].device, batches[0].dtype)
    largest = max(float(batch.abs().max()) for batch in batches) if largest is None else largest
    model = SpikingNetwork(network, substeps=substeps, encoding=encoding, largest=largest).eval()
    model.held = sees_held(model, batches[0][:2])
    thresholds = balance(
        model, layers, batches, method=method, percentile=percentile, substeps=steps, scaled=not chain,
        seed=seed, progress=progress,
    )  # fmt: skip
    if balance_by == "weights":
        _into_weights(network, found, layers, thresholds)
    for _, module, call in layers:
        module.neurons[call].threshold.data.mul_(threshold_scale)  # type: ignore[union-attr,operator]
        if not chain:
            module.set_height(call, float(module.heights[call]) * threshold_scale)
    names = [name + (f"#{call + 1}" if call else "") for name, _, call in layers]
    model.conversion = Conversion(changed, dict(zip(names, thresholds, strict=True)), not chain)
    return model


def checked(batches: Iterable[Tensor]) -> list[Tensor]:
    """Raises TypeError or ValueError for batches that no threshold can be measured on."""
    try:
        found = [batches] if isinstance(batches, Tensor) else list(iter(batches))
    except TypeError as error:
        kind = type(batches).__name__
        raise TypeError(f"calibration_batches must be an iterable of Tensors, got {kind} ({error})") from None
    if not found:
        raise ValueError("calibration_batches are empty; a few hundred inputs are needed")
    for number, batch in enumerate(found, start=1):
        if not isinstance(batch, Tensor) or not batch.is_floating_point():
            got = batch.dtype if isinstance(batch, Tensor) else type(batch).__name__
            raise TypeError(f"calibration batch {number} must be a floating-point Tensor, got {got}")
        if batch.dim() < 2 or batch.numel() == 0:
            raise ValueError(
                f"calibration batch {number} must be (B, *) and not empty, got {tuple(batch.shape)}"
            )
        first = found[0]
        if (batch.dtype, batch.device) != (first.dtype, first.device):
            kinds = [f"{one.dtype} on {one.device}" for one in (first, batch)]
            raise ValueError(f"calibration batch {number} must be {kinds[0]} as the first, got {kinds[1]}")
        if not has_values(batch):
            raise ValueError(f"calibration batch {number} has no values: it is fake, or on {batch.device}")
        if not batch.isfinite().all():
            raise ValueError(f"calibration batch {number} holds values that are not finite")
        if batch.min() == batch.max():
            raise ValueError(f"calibration batch {number} is constant, all {batch.flatten()[0].item():.4g}")
    return found


@torch.no_grad()
def check_fit(ann: nn.Module, batches: list[Tensor]) -> None:
    """Raises ValueError for batches of a shape that the network itself cannot take, and for modules that it
    calls and does not have registered."""
    shapes, registered, called = set(), set(ann.modules()), list[str]()
    hooks = [
        module.register_forward_pre_hook(partial(_note, called, f"{place} keeps a {type(module).__name__}"))
        for module, place in outside(ann).items()
        if module not in registered
    ]
    for number, batch in enumerate(batches, start=1):
        if batch.shape[1:] in shapes:
            continue
        shapes.add(batch.shape[1:])
        try:
            ann(batch[:2].double())
        except (RuntimeError, TypeError, ValueError, AssertionError) as error:  # the last of torch.export
            _check_called(called)
            why = str(error).partition("\n")[0]
            sizes = ", ".join(["B", *map(str, batch.shape[1:])])
            raise ValueError(f"the network fails on calibration batch {number}, ({sizes}): {why}") from error
    _check_called(called)
    for hook in hooks:
        hook.remove()


def _note(called: list[str], what: str, module: nn.Module, args: Any) -> None:
    called.append(what)


def _check_called(called: list[str]) -> None:
    if called:
        raise ValueError(
            f"{called[0]} outside the registered modules, and calls it; make it an nn.ModuleList"
        )


def _prepared(
    network: nn.Module, example: Tensor, batch_norm: str, max_pool: str
) -> tuple[nn.Module, list[str], Survey, bool]:
    check(survey(network, example), max_pool)
    changed = fold_batch_norm(network, example) if batch_norm == "fold" else []
    if max_pool == "average":
        changed += average_pools(network, survey(network, example))
    check_affine(network, example)
    found = survey(network, example)
    chain = is_chain(network, example, found)
    return network, changed + hold_dropout(network), found, chain


@torch.no_grad()
def sees_held(model: SpikingNetwork, example: Tensor) -> bool:
    """Whether the maps before the first neurons can see a held input once: no path goes around those."""
    pair = torch.cat((example, example))[:2]
    try:
        model._advance(pair.unsqueeze(0), None, 3)
    except (RuntimeError, ValueError):
        return False
    return True


def _into_weights(network: nn.Module, found: Survey, layers: Layers, thresholds: list[float]) -> None:
    """Weight normalisation: the map before each layer divided by its threshold, which becomes 1."""
    neurons = iter(zip(layers, thresholds, strict=True))
    last: Any = None
    for call in found.calls:
        if call.role == "map":
            last = call
        elif call.role == "relu":
            (name, module, number), value = next(neurons)
            if last is None or calls_of(found, last.module) > 1:
                raise ValueError(
                    f"balance_by='weights': {name} has no map of its own before it; take 'thresholds'"
                )
            check_map(network, last, "take balance_by='thresholds'")
            last.module.weight.data.div_(value)
            module.neurons[number].threshold.data.fill_(1.0)  # type: ignore[union-attr,operator]


__all__ = ["Conversion", "to_spiking"]
