"""What an image costs a network of one ensemble: an addition for every synapse that a spike crosses."""

from typing import Any

import torch
from torch import Tensor

from spikeseq.recipes.shared.account import spike_account
from spikeseq.recipes.stdp.model import ANSWERING, DigitNetwork


@torch.no_grad()
def account_of(model: DigitNetwork, pixels: Tensor) -> dict[str, Any]:
    """The account of `evaluation.measure_energy`, per image, of a network that no longer learns.

    Spikes of inputs add the weights that are not zero. A spike of an excitatory neuron drives its partner,
    which adds to all other neurons. Every neuron and partner is updated in every step, although the kernel
    passes partners at rest by.
    """
    network, images = model.network, len(pixels)
    plan = network.plan
    shown = model.counts(pixels, ANSWERING)
    neurons = plan.ensembles[0].neurons
    # Weights that a spike of the mean input meets: inputs fire as bright as they are.
    rates = model.rates(pixels).double().sum(0)
    fan_out = (network.get_parameter("weight0") != 0).sum(1).double()
    crossed = (
        float((rates * fan_out).sum() / rates.sum().clamp_min(1e-12)) * float(shown.inputs.sum()) / images
    )
    spikes = float(shown.counts.sum()) / images
    steps = plan.presentation.steps * float(shown.times.double().mean())
    return spike_account(
        f"image, {plan.presentation.steps} steps",
        additions=crossed + spikes * neurons,
        weights=crossed,
        spikes=spikes,
        neurons=neurons,
        steps=steps,
        parameters=sum(p.numel() for p in model.parameters()),
    )
