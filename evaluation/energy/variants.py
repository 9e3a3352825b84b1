"""What would be deployed: a model with its embedding folded, and in 8 bits."""

import copy
import warnings
from typing import Any

import torch
from torch import nn

from spikeseq.fold import fold_embeddings
from spikeseq.modules import check_plain, class_of, refuse

BRIEF = (
    "macs",
    "acs",
    "picojoules",
    "core",
    "spike_rate",
    "operations",
    "full",
    "together",
    "spikes_per_synapse",
    "bytes",
    "not_counted",
    "guessed",
)


def folded(model: nn.Module) -> nn.Module | None:
    """`fold_embeddings`, or None for a model that has nothing to fold."""
    try:
        return fold_embeddings(model)
    except (TypeError, ValueError):
        return None


def quantised(model: nn.Module) -> nn.Module | None:
    """A copy whose LSTMs, GRUs and linear maps have 8-bit weights and products: torch's dynamic quantisation.

    None for a model without an LSTM or GRU, and where torch cannot do it (it is to move to another package).

    Raises:
        ValueError: one of these modules does more than its class says, which would be lost.
    """
    kinds = {nn.LSTM, nn.GRU, nn.Linear}
    found = [(path, module) for path, module in model.named_modules() if class_of(module) in kinds]
    if all(class_of(module) is nn.Linear for _, module in found):
        return None
    for path, module in found:
        way_out = "quantise a model without it"
        check_plain(path, module, way_out, *kinds)
        if type(module) not in kinds:  # torch looks at the type alone, and would pass it by
            refuse(path, module, "is not one of torch's own types", way_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from torch.ao.quantization import quantize_dynamic

            return quantize_dynamic(  # type: ignore[no-any-return]
                copy.deepcopy(model).eval(), kinds, dtype=torch.qint8
            )
        except (ImportError, RuntimeError):  # no such module, no engine for it
            return None


def brief(account: dict[str, Any]) -> dict[str, Any]:
    """Of an account by `measure_energy` what a table needs."""
    return {key: account[key] for key in BRIEF}
