"""Timings of feedback, of the sentiment network as a whole, and of one token at a time."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bench.agreement import check_stream, refuse
from spikeseq.evaluation.bench.peers import RNN_PEERS
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, inference, training
from spikeseq.models import SpikingClassifier, build_classifier
from spikeseq.nn import SpikingRNN
from spikeseq.ops.reference import Spike, update

VOCABULARY = 10_000
CELLS = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
LOOP = "reference-loop"

Sizes = tuple[int, int, int]
"""Tokens, batch, width."""


def recurrent_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """A training step of one layer with feedback, T = 1: the same two products as nn.RNN."""
    tokens, batch, width = size
    x, grad = (torch.randn(tokens, batch, width, generator=generator(i)) for i in (0, 1))
    ours = SpikingRNN(width, width, substeps=1, recurrent=True)
    yield Benchmark(
        f"recurrent T=1 training {tokens}x{batch}x{width}",
        "gradients of the input and of all weights",
        (
            Contender("spikeseq", "SpikingRNN(recurrent=True)", partial(layer_step, ours, x, grad)),
            *(
                Contender(
                    peer,
                    f"nn.{RNN_PEERS[peer].__name__}",
                    partial(layer_step, RNN_PEERS[peer](width, width), x, grad),
                )
                for peer in peers
            ),
        ),
        partial(check_feedback, ours, x[:10, :3]),
    )


def layer_step(layer: nn.Module, x: Tensor, grad: Tensor, mode: str = "training") -> Step:
    """One step of any module with nn.LSTM's signature."""
    if mode == "inference":
        layer.eval()
        return inference(lambda: layer(x))
    leaf = x.clone().requires_grad_()
    return training(lambda: layer(leaf)[0], (leaf, *layer.parameters()), grad)


def check_feedback(rnn: SpikingRNN, x: Tensor) -> None:
    """The fused op against the loop over sub-steps, which a hook makes the layer take; in float64."""
    double: Any = SpikingRNN(rnn.input_size, rnn.hidden_size, substeps=1, recurrent=True, dtype=torch.float64)
    found, _ = double(x.double())
    double.layers[0].lif.register_forward_hook(lambda *_: None)
    expected, _ = double(x.double())
    if not torch.allclose(found, expected, rtol=1e-9, atol=1e-9):
        refuse("feedback", f"it is off by {float((found - expected).abs().max()):.2g}")


def model_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """The thesis's sentiment network: a training step of a batch, and inference of one text."""
    tokens, batch, width = size
    models = {"spikeseq": classifier("snn", width)}
    if "lstm" in peers:
        models["lstm"] = classifier("lstm", round(200 * width / 128))
    notes = {
        "spikeseq": f"two layers of {width} LIF neurons and integrators, T = 5",
        "lstm": "one nn.LSTM layer",
    }
    for count, mode in ((batch, "training"), (1, "inference")):
        text = torch.randint(1, VOCABULARY, (tokens, count), generator=generator(2))
        lengths = torch.full((count,), tokens)
        contenders = [
            Contender(name, notes[name], partial(model_step, model, model, text, lengths, mode))
            for name, model in models.items()
        ]
        if LOOP in peers:
            loop = partial(by_loops, models["spikeseq"])
            note = "the same network, word by word and sub-step by sub-step in Python"
            contenders.append(
                Contender(LOOP, note, partial(model_step, models["spikeseq"], loop, text, lengths, mode))
            )
        yield Benchmark(
            f"model {mode} {tokens}x{count}",
            f"vocabulary {VOCABULARY}; " + ("all gradients" if mode == "training" else "no graph"),
            tuple(contenders),
            partial(check_loops, models["spikeseq"]),
        )


def classifier(name: str, width: int) -> Any:
    torch.manual_seed(0)
    # Read as the recipe reads it: a gradient from the last token alone fades into denormal numbers.
    pooling = {"pooling": "mean"} if name == "lstm" else {}
    model = build_classifier({"name": name, "hidden_size": width, **pooling}, VOCABULARY, 2).eval()
    nn.init.normal_(model.readout.weight)  # type: ignore[union-attr, arg-type]
    return model


def model_step(model: nn.Module, run: Any, text: Tensor, lengths: Tensor, mode: str) -> Step:
    if mode == "inference":
        return inference(lambda: run(text, lengths))
    grad = torch.randn(text.shape[1], 2, generator=generator(3))
    return training(lambda: run(text, lengths), tuple(model.parameters()), grad)


def by_loops(model: SpikingClassifier, text: Tensor, lengths: Tensor) -> Tensor:
    """The network as the thesis's code runs it: a Python iteration for every sub-step of every word.

    lengths: all equal to the number of rows of `text`.
    """
    layers: list[Any] = list(model.spiking.layers)
    neuron = layers[0].lif
    sizes = [(text.shape[1], layer.lif.channels or layer.input_map.out_features) for layer in layers]
    membranes = [model.embedding.weight.new_zeros(size) for size in sizes]
    spikes = [torch.zeros_like(u) for u in membranes]
    total: Any = 0
    for word in text:
        x = model.embedding(word)
        for _ in range(model.spiking.substeps):
            out = x
            for i, layer in enumerate(layers):
                u = update(
                    membranes[i],
                    spikes[i],
                    layer.input_map(out),
                    layer.lif.leak,
                    layer.lif.threshold,
                    neuron.reset,
                )
                with torch.no_grad():
                    by_z = neuron.surrogate.slope(u / layer.lif.threshold - 1, u[:0])
                out = Spike.apply(u, layer.lif.threshold, by_z)
                membranes[i], spikes[i] = u, out
            total = total + model.to_integrator(out)
    return model.readout(total / len(text) ** 0.5)  # type: ignore[no-any-return]


@torch.no_grad()
def check_loops(model: SpikingClassifier) -> None:
    """The network against its loops, in float64, where no spike may differ."""
    double: Any = classifier("snn", model.spiking.hidden_size).double()
    text = torch.randint(1, VOCABULARY, (12, 3), generator=generator(4))
    lengths = torch.full((3,), 12)
    found, expected = double(text, lengths), by_loops(double, text, lengths)
    if not torch.allclose(found, expected, rtol=1e-9, atol=1e-9):
        refuse("the sentiment network", f"it is off by {float((found - expected).abs().max()):.2g}")


def step_benchmarks(width: int, peers: Sequence[str]) -> Iterator[Benchmark]:
    """One token of one sequence, state in and state out, as in a stream."""
    rnn = SpikingRNN(width, width, num_layers=2, substeps=5).eval()
    x = torch.randn(1, 1, width, generator=generator(5))
    _, state = rnn(x)
    cells = {peer: CELLS[peer](width, width) for peer in peers}
    yield Benchmark(
        f"step 2x{width}",
        "one token, batch 1, no graph",
        (
            Contender("spikeseq", "SpikingRNN of two layers, T = 5", partial(state_step, rnn, x, state)),
            *(
                Contender(peer, f"one nn.{CELLS[peer].__name__}", partial(cell_step, cell, x[0], peer))
                for peer, cell in cells.items()
            ),
        ),
        partial(check_stream, rnn, rising(x), 1e-4),
    )


def state_step(rnn: nn.Module, x: Tensor, state: Tensor) -> Step:
    return inference(lambda: rnn(x, state))


def cell_step(cell: nn.Module, x: Tensor, kind: str) -> Step:
    hidden = torch.zeros(1, x.shape[1])
    state = (hidden, hidden) if kind == "lstm" else hidden
    return inference(lambda: cell(x, state))


def rising(x: Tensor) -> Tensor:
    """One row of currents (1, B, I) as six, each stronger than the one before."""
    return x.expand(6, -1, -1) * torch.arange(6).view(-1, 1, 1)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
