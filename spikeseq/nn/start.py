"""Start weights that a module of torch comes back to, where a model wants others than torch draws.

`to_empty()` and then `reset_parameters()` of every module is how a model that was made without memory gets
its weights. A parent's choice for its parts must hold in any order, so that each part knows it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


class Start:
    """In the place of a module's own `reset_parameters`: that, and then `fill(module, **arguments)`."""

    usual = False  # whether it is the usual start, which another one may replace

    def __init__(self, module: nn.Module, fill: Callable[..., None], own: bool, arguments: Any) -> None:
        self.module, self.fill, self.own, self.arguments = module, fill, own, arguments

    def __call__(self) -> None:
        if self.own:
            type(self.module).reset_parameters(self.module)  # type: ignore[attr-defined]
        with torch.no_grad():
            self.fill(self.module, **self.arguments)


def begin(module: Module, fill: Callable[..., None], *, own: bool = True, **arguments: Any) -> Module:
    """Fills a fresh module by `fill(module, **arguments)`, now and at every later `reset_parameters()`.

    Args:
        own: whether `reset_parameters()` first does what it did before; not where a weight is another's.
    """
    chosen = Start(module, fill, own, arguments)
    module.reset_parameters = chosen  # type: ignore[assignment]
    with torch.no_grad():
        fill(module, **arguments)
    return module


def begin_as_usual(module: Module, fill: Callable[..., None], **arguments: Any) -> Module:
    """As `begin`, but what somebody else chose for the module stays, and is what it is filled by."""
    chosen = vars(module).get("reset_parameters")
    if isinstance(chosen, Start) and not chosen.usual:
        chosen()
        return module
    begin(module, fill, **arguments).reset_parameters.usual = True  # type: ignore[union-attr, operator]
    return module


def normal(module: Any, std: float) -> None:
    """A normal weight, zero at the padding of an embedding; a bias of zero."""
    nn.init.normal_(module.weight, std=std)
    if getattr(module, "padding_idx", None) is not None:
        module.weight[module.padding_idx] = 0
    if getattr(module, "bias", None) is not None:
        nn.init.zeros_(module.bias)


def orthogonal(module: Any, gain: float) -> None:
    """An orthogonal weight."""
    weight = module.weight
    drawn = torch.empty_like(weight, dtype=torch.promote_types(weight.dtype, torch.float32))
    weight.copy_(nn.init.orthogonal_(drawn, gain=gain))  # there is no QR in half precision


def zero(module: Any, *, weight: bool = False, bias: bool = False) -> None:
    """Weight or bias zero, the other as it is."""
    if weight:
        nn.init.zeros_(module.weight)
    if bias:
        nn.init.zeros_(module.bias)


def scaled(module: Any, gains: list[float]) -> None:
    """The weight of a normalisation."""
    module.weight.copy_(torch.tensor(gains, device="cpu"))
