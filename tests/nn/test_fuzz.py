"""Any SpikingRNN, on any input, either agrees with a plain loop or raises a documented exception."""

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikeseq.functional import SURROGATES
from spikeseq.nn import SpikingRNN
from spikeseq.ops.reference import lif_reference

layers = st.fixed_dictionaries(
    {
        "input_size": st.integers(1, 3),
        "hidden_size": st.integers(1, 4),
        "num_layers": st.integers(1, 3),
        "bias": st.booleans(),
        "batch_first": st.booleans(),
        "bidirectional": st.booleans(),
        "substeps": st.sampled_from([1, 2, 5]),
        "recurrent": st.booleans(),
        "readout": st.sampled_from(["membrane", "rate", "spikes"]),
        "norm": st.sampled_from([None, "layer"]),
        "per_channel": st.booleans(),
        "reset": st.sampled_from(["soft", "soft_immediate", "hard"]),
        "leak": st.sampled_from([0.0, 0.5, 0.95, 1.0]),
        "threshold": st.sampled_from([0.5, 1.0]),
        "surrogate": st.sampled_from([None, *(cls() for cls in SURROGATES.values())]),
        "dtype": st.just(torch.float64),
    }
)
WRONG = [
    ("input_size", 0), ("hidden_size", -1), ("num_layers", 0), ("substeps", 0), ("substeps", 1.5),
    ("readout", "mean"), ("norm", "batch"), ("reset", None), ("leak", 1.5), ("threshold", 0.0),
    ("surrogate", "arctan"), ("input_size", 7), ("dtype", torch.float32),
]  # fmt: skip


@st.composite
def calls(draw):
    """A layer's arguments and an input that fits them; in half of the cases one thing is changed."""
    arguments = draw(layers)
    length, batch, width = draw(st.integers(1, 4)), draw(st.integers(0, 3)), arguments["input_size"]
    shape = (batch, length, width) if arguments["batch_first"] else (length, batch, width)
    unbatched = draw(st.integers(0, 4)) == 0
    random = torch.Generator().manual_seed(draw(st.integers(0, 9)))
    x = torch.randn((length, width) if unbatched else shape, generator=random, dtype=torch.float64)
    planes = getattr(arguments["surrogate"], "memory_planes", 0)
    slots = arguments["num_layers"] * (1 + arguments["bidirectional"])
    hx_shape = [
        slots,
        *([1 + planes] if planes else []),
        *([] if unbatched else [batch]),
        arguments["hidden_size"],
    ]
    hx = torch.randn(hx_shape, generator=random, dtype=torch.float64).abs() if draw(st.booleans()) else None
    lengths = None
    if not unbatched and draw(st.booleans()):
        lengths = torch.tensor(
            draw(st.lists(st.integers(0, length), min_size=batch, max_size=batch)), dtype=torch.int64
        )

    change = draw(st.sampled_from([None] * 6 + ["argument", "rank", "size", "dtype", "hx", "lengths"]))
    if change == "argument":
        name, value = draw(st.sampled_from(WRONG))
        arguments[name] = value
    if change == "rank":
        x = draw(st.sampled_from([x.unsqueeze(0), x[0], x.sum()]))
    if change == "size":
        x = draw(st.sampled_from([x[..., :-1], x[:0], torch.cat((x, x), -1)]))
    if change == "dtype":
        x = x.to(draw(st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool])))
    if change == "hx":
        hx = torch.randn(draw(st.lists(st.integers(0, 3), max_size=4)), dtype=torch.float64)
    if change == "lengths":
        lengths = draw(st.lists(st.integers(-1, 5), max_size=3))
    return arguments, x, hx, lengths


def plain(layer, x, hx, lengths):
    """The same network, one sequence at a time, from the oracle and explicit loops."""
    directions, T = layer.num_directions, layer.substeps
    outs, states = [], []
    for b in range(x.shape[1]):
        n = len(x) if lengths is None else int(lengths[b])
        rows, state = x[:n, b : b + 1], []
        for index in range(layer.num_layers):
            last = index == layer.num_layers - 1
            both = []
            for direction in range(directions):
                slot = index * directions + direction
                each, repeat = layer.layers[slot], T if index == 0 else 1
                neuron = each.lif.neuron()
                surrogate = neuron.surrogate
                shape = (1 + surrogate.memory_planes, 1, layer.hidden_size)
                s = x.new_tensor([0.0, *surrogate.memory_start]).view(-1, 1, 1).expand(shape)
                s = s if hx is None else hx[slot][..., b : b + 1, :].reshape(shape)
                tokens = rows.unflatten(0, (n, -1)) if n else rows.unsqueeze(1)
                if direction:
                    tokens = tokens.flip(0)
                fed = [row for token in tokens for row in token for _ in range(repeat)] if n else []
                spike = (s[0] > neuron.threshold).to(x) * (hx is not None)
                found = []
                for row in fed:
                    current = each.input_map(row)
                    current = current if each.norm is None else each.norm(current)
                    current = current if each.feedback is None else current + each.feedback(spike)
                    spike, s = lif_reference(
                        current[None], s, neuron.leak, neuron.threshold, None, 1, 1,
                        neuron.reset, "spikes", surrogate.name, surrogate.height, surrogate.width, False,
                    )  # fmt: skip
                    spike = spike[0]
                    found.append(s[0] if last and layer.readout == "membrane" else spike)
                out = (
                    torch.stack(found).unflatten(0, (n, T)) if n else x.new_zeros(0, T, 1, layer.hidden_size)
                )
                if last and layer.readout != "spikes":
                    out = out[:, -1:] if layer.readout == "membrane" else out.mean(1, keepdim=True)
                both.append(out.flip(0) if direction else out)
                state.append(s if surrogate.memory_planes else s[0])
            rows = torch.cat(both, -1).flatten(0, 1)
        per_token = T if layer.readout == "spikes" else 1
        padding = rows.new_zeros((len(x) - n) * per_token, *rows.shape[1:])
        outs.append(torch.cat((rows, padding)))
        states.append(torch.stack(state))
    return torch.cat(outs, 1), torch.cat(states, -2)


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(calls())
def test_any_layer_is_right_or_refuses(call):
    arguments, x, hx, lengths = call
    try:
        torch.manual_seed(0)
        layer = SpikingRNN(**arguments)
        out, state = layer(x, hx, lengths=lengths)
    except (TypeError, ValueError) as error:
        assert str(error)
        return
    (out.sum() + state.sum()).backward()
    unbatched = x.dim() == 2
    if unbatched:
        x, out, state = x.unsqueeze(1), out.unsqueeze(1), state.unsqueeze(-2)
        hx = None if hx is None else hx.unsqueeze(-2)
    elif layer.batch_first:
        x, out = x.transpose(0, 1), out.transpose(0, 1)
    if x.shape[1] == 0 or x.dtype != torch.float64:
        return
    with torch.no_grad():
        expected, final = plain(layer, x, hx, lengths)
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(state, final)
