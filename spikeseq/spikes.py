"""Which spikes a watched call of LIF neurons made, also where it handed on their rate or membranes."""

import torch
from torch import Tensor

from .functional import lif
from .modules import refuse
from .nn.lif import LIF, LIFCell
from .watch import Call


def wide(x: Tensor) -> torch.dtype:
    """In which half-precision numbers are counted exactly."""
    return torch.promote_types(x.dtype, torch.float32)


def substeps_of(call: Call) -> int:
    """Sub-steps of each row of current."""
    return int(call.arguments.get("substeps") or call.module.substeps)


def rows_of(call: Call) -> int:
    """Sub-steps of the whole call."""
    rows = 1 if isinstance(call.module, LIFCell) else len(call.input)
    return rows * substeps_of(call)


def again(call: Call, readout: str, window: int | None = None) -> Tensor:
    """What a call of `LIF` or `LIFCell` would have handed on with another read-out, (rows, B, *).

    The neurons are computed a second time, in at least float32; no module is called, so that nobody else sees
    it.

    Args:
        call: that has ended, of a module with the forward of LIF or LIFCell.
        readout, window: as `functional.lif`.
    Raises:
        ValueError: the module has another forward, or hooks that may change its arguments.
    """
    module, given = call.module, call.arguments
    assert isinstance(module, LIF)
    forward = type(module).forward
    if "forward" in vars(module) or (forward is not LIF.forward and forward is not LIFCell.forward):
        reason = "has a forward of its own"
    elif module._forward_pre_hooks:
        reason = "has forward pre-hooks, which may change its current"
    else:
        current = call.input.unsqueeze(0) if isinstance(module, LIFCell) else call.input
        out, _ = lif(
            current.to(wide(current)), given.get("state"), lengths=given.get("lengths"),
            substeps=substeps_of(call), readout=readout, window=window, **module.neuron(),
        )  # fmt: skip
        return out
    refuse(
        call.name,
        module,
        reason,
        f"call it with readout='spikes', so that they are seen, got {given['readout']!r}",
    )
