"""What a streamed language model does: look-ups, neurons, a row of weights for a spike, the output map."""

from typing import Any

from spikeseq.evaluation.energy.call import Call
from spikeseq.evaluation.energy.operations import FLOAT, Operations
from spikeseq.evaluation.energy.rules_neurons import fired, normalised
from spikeseq.models.language.stream import StreamedLanguageModel


def streamed(module: StreamedLanguageModel, call: Call) -> Operations:
    """Which of its neurons fire is asked of the op again."""
    ids, state = call.input, call.arguments.get("state")
    tokens, (vocabulary, width) = ids.numel(), module.table.shape
    _, _, spikes = module.run(ids, state)
    found = Operations(multiplies=tokens * width, weight_bytes=FLOAT * tokens * width)  # the scaled vector
    grams = tokens * len(module.orders)  # a vector each
    found += Operations(adds=grams * width, weight_bytes=FLOAT * grams * width)
    neurons = 0
    parts: list[Any] = list(module.blocks)
    for block, count in zip(parts, spikes.tolist(), strict=True):
        size = block.bias.numel()
        neurons += size
        if block.weight.dim() == 3:
            found += looked_up(block, ids, state is None)
        else:
            found += mapped(block, tokens, width, size)
        found += fired(count, size, tokens, module.neurons.substeps, currents=tokens * size)
        found += Operations(
            acs=count * width, adds=tokens * width,
            weight_bytes=FLOAT * ((count + tokens) * width + 2 * tokens * module.neurons.substeps * size),
            activation_bytes=FLOAT * (count + tokens * width),
        )  # fmt: skip
    found += normalised(tokens * width, "layer")
    found += Operations(
        macs=tokens * width * vocabulary, adds=tokens * vocabulary,
        weight_bytes=FLOAT * tokens * (width + 1) * vocabulary,
        activation_bytes=FLOAT * tokens * (width + vocabulary),
    )  # fmt: skip
    found.neurons = neurons
    return found


def looked_up(block: Any, ids: Any, begins: bool) -> Operations:
    """A row of currents for each of the last tokens that exist, added to the bias."""
    size = block.bias.numel()
    taps = len(block.weight)
    rows = sum(max(0, len(ids) - tap) for tap in range(taps)) * ids.shape[1] if begins else taps * ids.numel()
    return Operations(
        adds=rows * size, weight_bytes=FLOAT * (rows + ids.numel()) * size,
        activation_bytes=FLOAT * ids.numel() * size,
    )  # fmt: skip


def mapped(block: Any, tokens: int, width: int, size: int) -> Operations:
    """A normalised stream, its features weighed over the last tokens, through a map."""
    shift = len(block.shift) * width
    found = normalised(tokens * width, "layer")
    found += Operations(
        macs=tokens * (shift + width * size), adds=tokens * size,
        weight_bytes=FLOAT * tokens * (shift + (width + 1) * size),
        activation_bytes=FLOAT * tokens * (2 * width + size),
    )  # fmt: skip
    return found
