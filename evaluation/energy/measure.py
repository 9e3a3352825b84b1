"""The energy account of a model: measured operations (`counting`), priced by energy models (`prices`)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from spikeseq.evaluation.energy.counting import Account, added, count_operations
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.prices import LEVELS, THESIS, EnergyModel, full
from spikeseq.events import EventConv1d
from spikeseq.fold import FoldedConv, FoldedRecurrent
from spikeseq.models.seq2seq.stacks import SpikingStack
from spikeseq.nn import TokenConv1d
from spikeseq.nn.layer import SpikingLayer

ALL_MODELS = (THESIS, *map(full, LEVELS))


def measure_energy(
    model: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    *,
    tokens: float,
    rate_tokens: Mapping[str, int] | None = None,
    energy_models: Sequence[EnergyModel] = ALL_MODELS,
) -> dict[str, Any]:
    """Counts operations while `model(*args)` runs for every args in `inputs`, and prices them.

    Args:
        model, inputs, tokens, rate_tokens: as `count_operations`.
        energy_models: the first is that of "picojoules"; the default is the thesis's, and "full" at every
            level of memory beside it.
    Returns:
        Per token: "macs", "acs", "picojoules", "spike_rate" (eq. 6.6, mean over spiking layers), "layers"
        with all counts by layer, "operations" with their sums, "core": what convolutions, recurrent and
        spiking layers have of them (the scope of thesis table 6.9: no attention, no map to a vocabulary),
        "full": pJ by the other energy models; "parameters", "bytes" of the model, "not_counted": modules
        whose cost is missing, "signature": what "picojoules" counts, "signatures" of the other figures.
    Raises:
        ValueError: there are no tokens.
    """
    account = count_operations(model, inputs, tokens=tokens, rate_tokens=rate_tokens)
    first, *others = energy_models
    modules: list[Any] = list(model.modules())
    steps = sorted({module.substeps for module in modules if hasattr(module, "substeps")})
    what = f"per token{f', T = {steps[-1]}' if steps and account.spike_rate is not None else ''}"
    return {
        **priced(account.total, first),
        "core": priced(added(core_layers(model, account)), first),
        "spike_rate": account.spike_rate,
        "operations": account.total.counts(),
        "full": {one.name: one.energy(account.total) for one in others},
        "layers": {name: layer.as_dict() for name, layer in account.layers.items()},
        "parameters": account.parameters,
        "bytes": account.size,
        "not_counted": account.unknown,
        "signature": f"{what}; {first.signature}",
        "signatures": {one.name: f"{what}; {one.signature}" for one in others},
    }


def priced(counts: Operations, energy_model: EnergyModel) -> dict[str, float]:
    return {"macs": counts.macs, "acs": counts.acs, "picojoules": energy_model.energy(counts)}


def core_layers(model: nn.Module, account: Account) -> list[Operations]:
    """Of convolutions, recurrent layers, maps of spiking ones; folded, event-driven or in 8 bits too."""
    names = set()
    for name, module in model.named_modules():
        if isinstance(module, CORE) or eight_bits(module):
            names.add(name)
        if isinstance(module, SpikingLayer):
            prefix = f"{name}." if name else ""
            names |= {f"{prefix}input_map", f"{prefix}feedback"}
        if isinstance(module, SpikingStack):
            names |= {f"{name}.maps.{i}" for i in range(len(module.maps))}
    return [layer for name, layer in account.layers.items() if name in names]


CORE = (
    *(TokenConv1d, EventConv1d, FoldedConv, FoldedRecurrent),
    *(nn.RNNBase, nn.RNNCellBase, nn.Conv1d, nn.Conv2d),
)


def eight_bits(module: nn.Module) -> bool:
    """Whether it is one of torch's quantised LSTMs or GRUs."""
    return "quantized.dynamic" in type(module).__module__ and hasattr(module, "hidden_size")
