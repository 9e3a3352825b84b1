"""What an image costs a convolution of spiking neurons and the linear map above it."""

from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.energy.measure import ALL_MODELS, priced
from spikeseq.evaluation.energy.operations import COUNTS, FLOAT, Operations
from spikeseq.recipes.features.model import ConvClassifier


@torch.no_grad()
def account_of(model: ConvClassifier, pixels: Tensor) -> dict[str, Any]:
    """The account of `evaluation.measure_energy`, per image.

    Pixels are analog, so that a kernel at a place multiplies all of its patch, once an image; the contrast of
    a patch takes a multiplication for each of its values, and one for each neuron. All neurons are updated in
    every sub-step. A spike adds a row of the linear map, in which pooling is contained.
    """
    rates = torch.cat([model.fire(part) for part in pixels.split(10)])
    steps, (neurons, values) = model.settings.substeps, model.kernel.shape
    places = rates.shape[2] * rates.shape[3]
    spikes = float(rates.double().sum()) * steps / len(rates)
    classes = model.weight.shape[1]
    layer = Operations(**{name: 0.0 for name in COUNTS})
    layer.macs, layer.multiplies = float(places * neurons * values), float(places * (values + neurons))
    layer.adds, layer.updates, layer.spikes = float(places * neurons), float(places * neurons * steps), spikes
    layer.neurons = places * neurons
    layer.weight_bytes, layer.state_bytes = FLOAT * layer.macs, 2 * FLOAT * layer.updates
    layer.activation_bytes = FLOAT * (float(pixels[0].numel()) + spikes)
    readout = Operations(**{name: 0.0 for name in COUNTS})
    readout.acs, readout.weight_bytes = spikes * classes, FLOAT * spikes * classes
    counts = Operations(**{name: 0.0 for name in COUNTS})
    counts += layer
    counts += readout
    first, *others = ALL_MODELS
    parameters = model.kernel.numel() + model.weight.numel()
    what = f"per image, {steps} sub-steps"
    return {
        **priced(counts, first),
        "core": priced(counts, first),
        "spike_rate": float(rates.double().mean()),
        "operations": counts.counts(),
        "full": {one.name: one.energy(counts) for one in others},
        "layers": {"convolution": layer.as_dict(), "readout": readout.as_dict()},
        "parameters": parameters,
        "bytes": FLOAT * parameters,
        "not_counted": [],
        "guessed": [],
        "signature": f"{what}; {first.signature}",
        "signatures": {one.name: f"{what}; {one.signature}" for one in others},
    }
