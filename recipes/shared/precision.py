"""In which numbers products are computed, for recipes that leave it open."""

from contextlib import AbstractContextManager
from typing import Any

import torch


def multiplies_bf16(device: torch.device) -> bool:
    """Whether products in bfloat16 are several times faster there: GPUs since 2020, CPUs with AMX."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", lambda: False)())


def products(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    """Where products are in the `precision` of a configuration's section `train`."""
    wanted = precision == "bf16" or (precision == "auto" and multiplies_bf16(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=wanted)
