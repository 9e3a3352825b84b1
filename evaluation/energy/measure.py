"""The energy account of a model: measured operations (`counting`), priced by energy models (`prices`)."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from spikeseq.evaluation.energy.counting import Account, added, count_operations
from spikeseq.evaluation.energy.operations import Operations
from spikeseq.evaluation.energy.prices import LEVELS, THESIS, EnergyModel, full
from spikeseq.evaluation.energy.rules import RULES
from spikeseq.modules import class_of

PLACES = (nn.Conv1d, nn.Conv2d, nn.Conv3d)  # whose weights are used at many places
ALL_MODELS = (THESIS, *map(full, LEVELS))
BATCH = 64
"""Sequences that are computed together, as the recipes train them."""


def measure_energy(
    model: nn.Module,
    inputs: Iterable[tuple[Any, ...]],
    *,
    tokens: float,
    rate_tokens: Mapping[str, int] | None = None,
    input_kind: str = "unknown",
    unit: str = "token",
    energy_models: Sequence[EnergyModel] = ALL_MODELS,
) -> dict[str, Any]:
    """Counts operations while `model(*args)` runs for every args in `inputs`, and prices them.

    Args:
        model, inputs, tokens, rate_tokens, input_kind: as `count_operations`.
        unit: what `tokens` counts, as signatures call it.
        energy_models: the first is that of "picojoules"; the default is the thesis's, and "full" at every
            level of memory beside it.
    Returns:
        Per token: "macs", "acs", "picojoules", "spike_rate" (eq. 6.6, mean over spiking layers), "layers"
        with all counts by layer, "operations" with their sums, "core": what convolutions, recurrent and
        spiking layers have of them (the scope of thesis table 6.9: no attention, no map to a vocabulary),
        "full": pJ by the other energy models, "together": the same where `BATCH` sequences are computed
        together and share what they read of weights; "spikes_per_synapse"; "parameters", "bytes" of the
        model, "not_counted": modules and operations whose cost is missing, "guessed": maps whose
        input was taken for spikes because of its values, "signature": what "picojoules" counts,
        "signatures" of the other figures.
    Raises:
        ValueError: there are no tokens, or no such kind of input.
    """
    account = count_operations(model, inputs, tokens=tokens, rate_tokens=rate_tokens, input_kind=input_kind)
    first, *others = energy_models
    modules: list[Any] = list(model.modules())
    steps = sorted({module.substeps for module in modules if hasattr(module, "substeps")})
    what = f"per {unit}{f', T = {steps[-1]}' if steps and account.spike_rate is not None else ''}"
    together = added(layer.together(BATCH) for layer in account.layers.values())
    return {
        **priced(account.total, first),
        "core": priced(added(core_layers(model, account)), first),
        "spike_rate": account.spike_rate,
        "operations": account.total.counts(),
        "together": {one.name: one.energy(together) for one in others},
        "spikes_per_synapse": spikes_per_synapse(model, account, steps[-1] if steps else 1),
        "full": {one.name: one.energy(account.total) for one in others},
        "layers": {name: layer.as_dict() for name, layer in account.layers.items()},
        "parameters": account.parameters,
        "bytes": account.size,
        "not_counted": account.unknown,
        "guessed": account.guessed,
        "signature": f"{what}; {first.signature}",
        "signatures": {one.name: f"{what}; {one.signature}" for one in others},
    }


def priced(counts: Operations, energy_model: EnergyModel) -> dict[str, float]:
    return {"macs": counts.macs, "acs": counts.acs, "picojoules": energy_model.energy(counts)}


def spikes_per_synapse(model: nn.Module, account: Account, substeps: int) -> float | None:
    """Spikes that a weight sees for an input, in all sub-steps, the mean over all weights that see spikes.

    It is what spiking networks break even by: 0.15 to 1.4, depending on the hardware that is assumed
    (Dampfhoffer et al. 2023, IEEE TETCI). None without such weights.
    """
    met = synapses = 0.0
    for name, layer in account.layers.items():
        if layer.acs + layer.int_acs and not layer.macs:
            module: Any = model.get_submodule(name)
            weight = getattr(module, "weight", None)
            over_places = isinstance(module, PLACES)
            if weight is None or (over_places and not layer.dense_bytes):
                continue
            met += layer.acs + layer.int_acs
            size = weight.element_size()
            synapses += layer.dense_bytes / size / substeps if over_places else weight.numel()
    return met / synapses if synapses else None


def core_layers(model: nn.Module, account: Account) -> list[Operations]:
    """Of convolutions, recurrent layers, and the maps that lead to spiking neurons."""
    names = set()
    for name, module in model.named_modules():
        known = RULES.get(class_of(module))
        if known is not None and known.core:
            names.add(name)
        if hasattr(module, "current_maps"):
            names |= {f"{name}.{part}" if name else part for part in module.current_maps()}
    inside = tuple(f"{name}." for name in names if name)  # what stands in the place of a map has parts
    return [layer for name, layer in account.layers.items() if name in names or name.startswith(inside)]
