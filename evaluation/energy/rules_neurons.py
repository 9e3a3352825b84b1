"""What neurons do, spiking and other, integrators and normalisation."""

from math import prod
from typing import Any

import torch

from spikeseq.evaluation.energy.call import Call, Rule
from spikeseq.evaluation.energy.operations import FLOAT, STATE, Operations
from spikeseq.models.sentiment import MeanOverText
from spikeseq.models.seq2seq.stacks import LeakyIntegrator
from spikeseq.modules import class_of
from spikeseq.nn import LIF, LIFCell, NormalisedLIF, NormalisedReLU
from spikeseq.quantisation.fixed_point import FixedPointLIF


def neurons(module: LIF, call: Call) -> Operations:
    """Updates per neuron and sub-step, the membrane read and written at each; spikes as in eq. 6.6."""
    current, out = call.input, call.output[0]
    steps = call.arguments.get("substeps") or module.substeps
    readout, lengths = call.arguments.get("readout", "spikes"), call.arguments.get("lengths")
    cell = class_of(module) is LIFCell
    rows, batch = (1, len(current)) if cell else current.shape[:2]
    size = prod(current.shape[1:] if cell else current.shape[2:])
    if readout == "membrane":
        wide = current.to(torch.promote_types(current.dtype, torch.float32))
        given = {**call.arguments, "current": wide, "readout": "rate"}
        out, _ = type(module).forward(module, **given)
    scale = 1.0 if readout == "spikes" else call.arguments.get("window") or steps
    spikes = float((out.detach().double() * scale).round().sum())
    tokens = float(rows * batch if lengths is None else lengths.sum())
    if class_of(module) is FixedPointLIF:
        return whole_number_neurons(spikes, size, tokens, steps, own=module.channels is not None)
    windows = steps / (call.arguments.get("window") or steps)
    written = tokens * size * windows if readout == "membrane" else None
    found = fired(spikes, size, tokens, steps, currents=tokens * size, written=written)
    values, leak = tokens * size, call.arguments.get("leak")
    own = isinstance(leak, torch.Tensor) and leak.dim() == current.dim() > 1
    if own:  # a leak for every token comes in as its currents do
        found += Operations(activation_bytes=FLOAT * values)
    if module.channels:  # a leak and a threshold for each neuron; one for all stay in registers
        read = FLOAT * (1 if own else 2) * found.updates
        found += Operations(weight_bytes=read, dense_bytes=read)
    if module.norm_input:
        found += Operations(multiplies=values, adds=values)
    return found


def whole_number_neurons(spikes: float, size: int, tokens: float, steps: int, *, own: bool) -> Operations:
    """`fired` with membranes, and each neuron's own leaks and thresholds, of 16 bits.

    Currents are sums that go straight into the membranes, as those of an LSTM go into its gates. A neuron
    writes a bit in every sub-step.
    """
    updates = tokens * steps * size
    return Operations(
        int_updates=updates,
        int_adds=spikes,
        state_bytes=STATE * 2 * updates,
        weight_bytes=STATE * 2 * updates if own else 0.0,
        dense_bytes=STATE * 2 * updates if own else 0.0,
        activation_bytes=updates / 8,
        spikes=spikes,
        neurons=size,
    )


def fired(
    spikes: float, size: int, tokens: float, steps: int, *, currents: float, written: float | None = None
) -> Operations:
    """Of `size` neurons over `tokens` of `steps` sub-steps; they read `currents` values and write spikes, or
    `written` analog values."""
    updates = tokens * steps * size
    return Operations(
        updates=updates,
        adds=spikes,  # the reset
        state_bytes=FLOAT * 2 * updates,
        activation_bytes=FLOAT * (currents + (spikes if written is None else written)),
        spikes=spikes,
        neurons=size,
    )


def normalised_neurons(module: NormalisedLIF, call: Call) -> Operations:
    currents, lengths = call.input, call.arguments.get("lengths")
    tokens = float(currents.shape[0] * currents.shape[2] if lengths is None else lengths.sum())
    values = tokens * currents.shape[1] * module.features
    spikes = float(call.output[0].double().sum())
    found = fired(spikes, module.features, tokens, module.substeps, currents=values)
    found += normalised(values, module.norm)
    return found


def rectified(module: NormalisedReLU, call: Call) -> Operations:
    x, lengths = call.input, call.arguments.get("lengths")
    values = float(x.numel() if lengths is None else lengths.sum() * x.shape[1] * x.shape[3])
    found = normalised(values, module.norm)
    found += Operations(adds=values, activation_bytes=FLOAT * 2 * values)
    return found


def integrator(module: Any, call: Call) -> Operations:
    """Adds per value and sub-step; leaky ones multiply as well."""
    current, lengths = call.input, call.arguments.get("lengths")
    rows = current.shape[0] * current.shape[1] if lengths is None else float(lengths.sum())
    values = float(rows * prod(current.shape[2:]) * getattr(module, "substeps", 1))
    leaky = class_of(module) is LeakyIntegrator
    return Operations(
        multiplies=2 * values if leaky else 0.0, adds=values, state_bytes=FLOAT * 2 * values,
        activation_bytes=FLOAT * 2 * values,
    )  # fmt: skip


def mean_over_text(module: MeanOverText, call: Call) -> Operations:
    """The running sum of every value, of 32 bits whatever the values have, as an integrator's."""
    values = float(call.input.shape[2] * call.arguments["lengths"].sum())
    return Operations(adds=values, state_bytes=FLOAT * 2 * values)


def normalised(values: float, norm: str) -> Operations:
    """Layer: mean, variance, scale, gain and offset. Batch: gain and offset, the rest is known beforehand."""
    multiplies, adds = {"layer": (3, 4), "batch": (1, 1), "none": (0, 0)}[norm]
    return Operations(multiplies=multiplies * values, adds=adds * values)


def norm_layer(kind: str) -> Rule:
    def rule(module: Any, call: Call) -> Operations:
        values = float(call.rows(call.input).numel())
        found = normalised(values, kind)
        found += Operations(activation_bytes=FLOAT * 2 * values)
        return found

    return rule


def elementwise(multiplies: int, adds: int) -> Rule:
    def rule(module: Any, call: Call) -> Operations:
        values = float(call.rows(call.input).numel())
        return Operations(
            multiplies=multiplies * values, adds=adds * values, activation_bytes=FLOAT * 2 * values
        )

    return rule
