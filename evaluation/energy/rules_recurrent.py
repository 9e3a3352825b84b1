"""What LSTMs, GRUs and RNNs do: as torch has them, with their input folded away, and in few bits."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from spikeseq.evaluation.energy.call import Call
from spikeseq.evaluation.energy.operations import FLOAT, STATE, Operations, macs_of_bits, rows_of
from spikeseq.fold import FoldedRecurrent, recurrent_kind
from spikeseq.quantisation import QuantisedRecurrence

# Gates of a recurrent layer, and per hidden value: products and functions, sums, states kept.
RECURRENT = {"LSTM": (4, 8, 1, 2), "GRU": (3, 6, 2, 1), "RNN": (1, 1, 0, 1)}
CELL = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def recurrent(module: Any, call: Call) -> Operations:
    """Every weight once a token: 4 (LSTM), 3 (GRU), 1 (RNN) times f_in f_out + f_out f_out, eq. 6.3, 6.4.

    The input maps of a first layer whose input is spikes are ACs.
    """
    x = tokens_of(module, call)
    gates, functions, sums, states = RECURRENT[recurrent_kind(module)]
    layers, directions = getattr(module, "num_layers", 1), 2 if getattr(module, "bidirectional", False) else 1
    names = getattr(module, "_flat_weights_names", CELL)  # some may be made anew, as by pruning
    sizes = {name: p.numel() for name in names if (p := getattr(module, name)) is not None}
    weights = sum(size for name, size in sizes.items() if name.startswith("weight"))
    biases = sum(size for name, size in sizes.items() if name.startswith("bias"))
    hidden, tokens, spikes = layers * directions * module.hidden_size, rows_of(x), call.spikes(x)
    fan_out = directions * gates * module.hidden_size
    analog = tokens * (weights if spikes is None else weights - x.shape[-1] * fan_out)
    read = analog + (spikes or 0.0) * fan_out
    between = tokens * 2 * (layers - 1) * directions * module.hidden_size
    return Operations(
        macs=analog,
        acs=(spikes or 0.0) * fan_out,
        multiplies=tokens * hidden * functions,
        adds=tokens * (hidden * sums + biases),
        weight_bytes=FLOAT * (read + tokens * biases),
        dense_bytes=FLOAT * tokens * (weights + biases),
        state_bytes=FLOAT * tokens * 2 * states * hidden,
        activation_bytes=FLOAT * (x.numel() + between + tokens * directions * module.hidden_size),
    )


def folded_recurrent(module: FoldedRecurrent, call: Call) -> Operations:
    """The recurrence that is left of eq. 6.3 and 6.4: f_out f_out per gate; the looked-up input is added."""
    tokens = rows_of(call.rows(call.input))
    gates, functions, sums, states = RECURRENT[module.kind]
    hidden, biases = module.hidden_size, 0 if module.bias is None else module.bias.numel()
    weights = module.weight.numel()
    return Operations(
        macs=tokens * weights,
        multiplies=tokens * hidden * functions,
        adds=tokens * (hidden * (sums + gates) + biases),
        weight_bytes=FLOAT * tokens * (weights + biases),
        dense_bytes=FLOAT * tokens * (weights + biases),
        state_bytes=FLOAT * tokens * 2 * states * hidden,
        activation_bytes=FLOAT * tokens * hidden * (gates + 1),
    )


def rounded_recurrent(module: QuantisedRecurrence, call: Call) -> Operations:
    """`folded_recurrent` with operands of few bits, of which zeros are skipped.

    A row of weights is read for each state that is not zero. Sums of products are brought to the scale of
    the input, and states to theirs, by a product each. Kept are a state of 16 bits and its rounded form.
    """
    out, state = call.output[0], call.arguments.get("state")
    first = torch.zeros_like(out[:1]) if state is None else module.states(state[:1])
    fed = call.rows(torch.cat((first, out[:-1])))
    tokens, active = rows_of(call.rows(call.input)), float((fed != 0).sum())
    gates, functions, sums, _ = RECURRENT[module.kind.upper()]
    hidden, size = tokens * module.hidden_size, module.bits / 8
    products, biases = active * gates * module.hidden_size, 0.0 if module.bias is None else hidden * gates
    return Operations(
        **{macs_of_bits(module.bits): products},
        int_multiplies=hidden * (functions + gates + 1),
        int_adds=hidden * (sums + gates) + biases,
        weight_bytes=size * products + STATE * biases,
        dense_bytes=size * hidden * gates * module.hidden_size + STATE * biases,
        state_bytes=2 * hidden * (size + STATE),
        activation_bytes=size * hidden * (gates + 1),
    )


def tokens_of(module: Any, call: Call) -> Tensor:
    """(tokens, features) of a recurrent layer's input, without padding."""
    x = call.input
    if isinstance(x, PackedSequence):
        return x.data
    turned = getattr(module, "batch_first", False) and x.dim() == 3
    known = call.ragged is not None and call.ragged.batch_first
    return call.rows(x.transpose(0, 1) if turned and not known else x)


def quantised_sizes(module: Any) -> tuple[list[int], int, int]:
    """Inputs of each layer, weights and biases of all, of an 8-bit LSTM or GRU: it hides its parameters."""
    gates, hidden = RECURRENT[recurrent_kind(module)][0], module.hidden_size
    directions = 2 if module.bidirectional else 1
    inputs = [module.input_size] + [hidden * directions] * (module.num_layers - 1)
    rows = directions * gates * hidden
    return inputs, sum(rows * (size + hidden) for size in inputs), 2 * rows * len(inputs)


def quantised_recurrent(module: Any, call: Call) -> Operations:
    """The 8-bit form of `recurrent`; gates and states stay float32."""
    x = tokens_of(module, call)
    gates, functions, sums, states = RECURRENT[recurrent_kind(module)]
    tokens, hidden = rows_of(x), module.hidden_size
    directions = 2 if module.bidirectional else 1
    inputs, weights, _ = quantised_sizes(module)
    cells = module.num_layers * directions * hidden
    return Operations(
        int8_macs=tokens * weights,
        multiplies=tokens * (cells * (functions + 2 * gates) + sum(inputs)),
        adds=tokens * cells * (sums + 2 * gates),
        weight_bytes=tokens * (weights + FLOAT * 2 * gates * cells),
        dense_bytes=tokens * (weights + FLOAT * 2 * gates * cells),
        state_bytes=FLOAT * tokens * 2 * states * cells,
        activation_bytes=tokens * (x.shape[-1] + FLOAT * hidden * directions),
    )
