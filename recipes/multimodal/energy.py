"""What a pair costs a network of ensembles: an addition for every synapse that a spike crosses."""

from typing import Any

import torch
from torch import Tensor

from spikeseq.recipes.multimodal.model import ANSWERING, PairNetwork
from spikeseq.recipes.shared.account import spike_account


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
    return spike_account(
        f"pair, {plan.presentation.steps} steps",
        additions=acs,
        weights=weights,
        spikes=spikes,
        neurons=neurons,
        steps=steps,
        parameters=sum(p.numel() for p in model.parameters()),
    )


def fan_out(weight: Tensor) -> Tensor:
    """Synapses that a spike of each input crosses."""
    return (weight != 0).sum(1).double()
