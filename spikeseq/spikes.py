"""Which spikes a call of LIF neurons made, also where it handed on their rate or membranes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .modules import refuse, rewritten
from .neuron import Run
from .nn.lif import LIF, LIFCell, row_of
from .nn.normalised import NormalisedLIF
from .ops.lif import fire
from .watch import Call


def wide(x: Tensor) -> torch.dtype:
    """In which half-precision numbers are counted exactly."""
    return torch.promote_types(x.dtype, torch.float32)


def substeps_of(module: LIF, arguments: Mapping[str, Any]) -> int:
    """Sub-steps of each row of current."""
    return int(arguments.get("substeps") or module.substeps)


def in_time(module: LIF, current: Tensor) -> Tensor:
    """A call's current as (L, B, *): a cell is given one row."""
    return current.unsqueeze(0) if isinstance(module, LIFCell) else current


def handed_on(call: Call) -> Tensor | None:
    """The spikes (rows, B, *) that a call of neurons handed on; None where that was another read-out."""
    out: Tensor = call.output[0]
    if isinstance(call.module, NormalisedLIF):
        return out.flatten(0, 1)  # (L, T, B, C)
    return out if call.arguments.get("readout", "spikes") == "spikes" else None


def again(
    module: LIF, arguments: Mapping[str, Any], readout: str, window: int | None = None, *, path: str = ""
) -> Tensor:
    """What a call of `LIF` or `LIFCell` would have handed on with another read-out, (rows, B, *).

    The neurons are computed a second time, in at least float32. No module is called and nothing of a user's
    runs, so that nobody else sees it.

    Args:
        module, arguments: the layer, and what it was called with, by name.
        readout, window: as `functional.lif`.
        path: where the layer stands, for errors.
    Raises:
        ValueError: the layer computes something of its own, or has hooks that may change its arguments.
    """
    reason = _rewritten(module)
    if reason is None and module._forward_pre_hooks:
        reason = "has forward pre hooks, which may change its current"
    if reason is not None:
        shown = f"got {arguments.get('readout')!r}"
        refuse(path, module, reason, f"its spikes can only be counted with readout='spikes', {shown}")
    current = in_time(module, arguments["current"])
    run = Run(substeps_of(module, arguments), window, readout, arguments.get("lengths"))
    leak = arguments.get("leak")
    neuron = module.neuron(row_of(leak, arguments["current"]) if isinstance(module, LIFCell) else leak)
    out, _ = fire(current.to(wide(current)), arguments.get("state"), neuron, run)
    return out


def _rewritten(module: LIF) -> str | None:
    if not torch.compiler.is_compiling():
        return rewritten(module)
    forward = type(module).forward  # what can be traced of the same question
    if "forward" not in vars(module) and (forward is LIF.forward or forward is LIFCell.forward):
        return None
    return "has a forward of its own"
