"""The energy account of a network whose operations a recipe counts itself, as `measure_energy` gives it."""

from typing import Any

from spikeseq.evaluation.energy.measure import ALL_MODELS, priced
from spikeseq.evaluation.energy.operations import COUNTS, Operations

FLOAT = 4  # bytes
STATE = 6  # numbers of a neuron that a step reads and writes, or of its partner


def spike_account(
    unit: str, *, additions: float, weights: float, spikes: float, neurons: int, steps: float, parameters: int
) -> dict[str, Any]:
    """Per `unit`, of neurons that are updated in every step, each with an inhibitory partner.

    Args:
        additions: of weights and by lateral inhibition. weights: that are read. spikes: of all neurons.
        steps: of all presentations. parameters: of the model, 4 bytes each.
    """
    counts = Operations(**{name: 0.0 for name in COUNTS})
    counts.acs, counts.updates, counts.spikes = additions, 2 * neurons * steps, spikes
    counts.weight_bytes, counts.state_bytes = FLOAT * weights, 2 * FLOAT * STATE * neurons * steps
    first, *others = ALL_MODELS
    what = f"per {unit}"
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
