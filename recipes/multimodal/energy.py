"""What a pair costs a network of ensembles: an addition for every synapse that a spike crosses."""

from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.energy.measure import ALL_MODELS, priced
from spikeseq.evaluation.energy.operations import COUNTS, Operations
from spikeseq.recipes.multimodal.model import ANSWERING, PairNetwork

FLOAT = 4  # bytes


@torch.no_grad()
def account_of(model: PairNetwork, pixels: Tensor, activity: Tensor) -> dict[str, Any]:
    """The account of `evaluation.measure_energy`, per pair, of a network that no longer learns.

    Spikes of inputs, and of neurons across, add the weights that are not zero. A spike of an excitatory
    neuron drives its partner, which adds to all others of its ensemble. Every neuron and partner is updated
    in every step.
    """
    network, pairs = model.network, len(pixels)
    plan, shown = network.plan, model.counts(pixels, activity, ANSWERING)
    fired = [counts.double().sum(0) / pairs for counts in network.split(shown.counts)]
    given = [rates.double().sum(0) for rates in model.rates(pixels, activity)]
    share = float(shown.inputs.double().sum()) / pairs / float(sum(map(torch.sum, given))) if pairs else 0.0
    acs = 0.0
    for p, rates in enumerate(given):  # inputs fire as their rates are
        acs += share * float((rates * fan_out(network.get_parameter(f"weight{p}"))).sum())
    for c, cross in enumerate(plan.cross):
        acs += float((fired[cross.source] * fan_out(network.get_parameter(f"cross{c}"))).sum())
    weights = acs
    acs += sum(float(counts.sum()) * len(counts) for counts in fired)
    neurons, spikes = sum(map(len, fired)), sum(float(counts.sum()) for counts in fired)
    steps = plan.presentation.steps * float(shown.times.double().mean())
    counts = Operations(**{name: 0.0 for name in COUNTS})
    counts.acs, counts.updates, counts.spikes = acs, 2 * neurons * steps, spikes
    counts.weight_bytes, counts.state_bytes = FLOAT * weights, 2 * FLOAT * 6 * neurons * steps
    first, *others = ALL_MODELS
    parameters = sum(p.numel() for p in model.parameters())
    what = f"per pair, {plan.presentation.steps} steps"
    return {
        **priced(counts, first),
        "core": priced(counts, first),
        "spike_rate": spikes / neurons,
        "operations": counts.counts(),
        "full": {one.name: one.energy(counts) for one in others},
        "layers": {"network": counts.counts()},
        "parameters": parameters,
        "bytes": FLOAT * parameters,
        "not_counted": [],
        "guessed": [],
        "signature": f"{what}; {first.signature}",
        "signatures": {one.name: f"{what}; {one.signature}" for one in others},
    }


def fan_out(weight: Tensor) -> Tensor:
    """Synapses that a spike of each input crosses."""
    return (weight != 0).sum(1).double()
