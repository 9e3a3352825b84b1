"""Whether a network is linear but for its ReLUs, by whatever names it calls what it does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import named, of_kind
from ..nn.network import logits_of
from ..watch import Call, Watcher
from .survey import ROLES, role

STRAIGHT = 1e-5  # relative, in float64; networks that compute in float32 in between pass too
POINTS = 4
NOISE = (1.0, 100.0)
"""Sizes of noise, inputs' as 1: what bends at zero alone is met by the larger, whatever is added to it."""


@torch.no_grad()
def check_affine(model: nn.Module, example: Tensor) -> None:
    """Raises ValueError where something beside ReLU bends what `model` computes, naming the first module.

    Every ReLU lets pass what it lets pass of `example`, every maximum pooling takes what it takes of it. Then
    the network must be affine, f(x) + f(y) = f(x + y) + f(0), here with noise for y: one pass with all four.
    """
    scale = example.abs().max()
    source = torch.Generator("cpu").manual_seed(0)
    noise = torch.randn(example.shape, generator=source, dtype=torch.float64, device="cpu")
    for size in NOISE:
        _check_affine(model, example, noise.to(example) * (scale if scale > 0 else 1) * size)


def _check_affine(model: nn.Module, example: Tensor, other: Tensor) -> None:
    points = torch.cat((example, other, example + other, torch.zeros_like(example)))
    with _gated(model), _first_bend(model) as bends:
        out = logits_of(model(points))
    plain = logits_of(model(example))
    if not (out[: len(plain)] - plain).abs().max() <= STRAIGHT * plain.abs().max():
        raise ValueError(
            "the network cannot be converted: a ReLU in place changes what is used elsewhere too (give it"
            " inplace=False and train again), or the output depends on chance or on other inputs"
        )
    if not straight(out):
        raise ValueError(
            f"the network cannot be converted: {bends[0] if bends else 'model'} computes something that is"
            " nonlinear, and only ReLU, as the module nn.ReLU, becomes spikes"
        )


def straight(x: Tensor) -> bool:
    """Whether values of the four points x, y, x + y, 0 are those of an affine function."""
    a, b, both, none = x.unflatten(0, (POINTS, len(x) // POINTS))
    return bool((a + b - both - none).abs().max() <= STRAIGHT * x.abs().max())  # not where any is nan


@contextmanager
def _gated(model: nn.Module) -> Iterator[None]:
    """ReLUs and maximum poolings pass, at all points, what they pass at the first."""
    gated: dict[str, Any] = of_kind(model, *ROLES["relu"], *ROLES["pool"])
    for name, module in gated.items():
        module.forward = _pass if role(module) == "relu" else _take(module, name)
    try:
        yield
    finally:
        for module in gated.values():
            del module.forward


def _pass(input: Tensor) -> Tensor:
    points = input.unflatten(0, (POINTS, len(input) // POINTS))
    return (points * (points[0] > 0)).flatten(0, 1)


def _take(pool: Any, name: str) -> Callable[..., Tensor]:
    own = pool.forward

    def taken(input: Tensor) -> Tensor:
        points = input.unflatten(0, (POINTS, len(input) // POINTS))
        if (points[0] < 0).any():
            raise ValueError(
                f"{name} ({type(pool).__name__}) comes before nn.ReLU, where there are no spikes to take the"
                " maximum of; put it behind nn.ReLU, which computes the same"
            )
        pool.return_indices = True
        try:
            _, places = own(points[0])
        finally:
            pool.return_indices = False
        chosen = places.flatten(2).expand(POINTS, *[-1] * 3)
        return points.flatten(3).gather(3, chosen).unflatten(3, places.shape[2:]).flatten(0, 1)

    return taken


@contextmanager
def _first_bend(model: nn.Module) -> Iterator[list[str]]:
    """Where values stop being affine: in a module, or in the code of its parent on the way to it."""
    bends = list[str]()

    def see(where: str, value: Any) -> None:
        numbers = isinstance(value, Tensor) and value.is_floating_point() and value.numel() and value.dim()
        if not bends and numbers and len(value) % POINTS == 0 and not straight(value):
            bends.append(where)

    def before(call: Call) -> None:
        around = watcher.running[-2].note if len(watcher.running) > 1 else "model"
        call.note = named(call.name, call.module) if call.name else "model"
        for value in call.arguments.values():
            see(around, value)

    def after(call: Call) -> None:
        see(call.note, call.output)

    with Watcher(dict(model.named_modules()), before=before, after=after) as watcher:
        yield bends
