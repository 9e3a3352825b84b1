"""Timings of event-driven inference at batch 1: over the spike rate, and of a whole sentiment network."""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

import spikeseq
from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, inference
from spikeseq.events import EventLinear
from spikeseq.models import build_classifier

PEERS = ("dense", "lstm")
RATES = (0.01, 0.03, 0.1, 0.2, 0.4)  # spikes per neuron and sub-step
VOCABULARY = 40_000

Sizes = tuple[int, int, int]
"""Tokens, sub-steps, width."""


def event_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """A map of spikes against the dense product, rate by rate; the thesis's network against nn.LSTM's."""
    tokens, substeps, width = size
    if "dense" in peers:
        linear = nn.Linear(width, width)
        layers = {
            "spikeseq": (EventLinear(linear), "float32"),
            "int8": (EventLinear(linear, "int8"), "8-bit weights"),
            "dense": (linear, "nn.Linear"),
        }  # fmt: skip
        for rate in RATES:
            x = spikes(tokens * substeps, width, rate)
            yield Benchmark(
                f"events {width}x{width} rate {rate:g}",
                f"{tokens} tokens of {substeps} sub-steps, batch 1",
                tuple(contender(name, note, layer, x) for name, (layer, note) in layers.items()),
                partial(check, layers["spikeseq"][0], linear, x),
            )
    models = sentiment_models(peers)
    text = torch.randint(1, VOCABULARY, (tokens, 1), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([tokens])
    yield Benchmark(
        f"events sentiment {tokens}",
        f"one text of {tokens} tokens, vocabulary {VOCABULARY}; start weights",
        tuple(contender(name, note, model, text, lengths) for name, (model, note) in models.items()),
        partial(check, models["spikeseq"][0], sentiment("snn"), text, lengths),
    )


def sentiment(name: str) -> nn.Module:
    """The network of the recipe `imdb` with its sizes."""
    torch.manual_seed(0)
    model = build_classifier({"name": name}, VOCABULARY, 2).eval()
    nn.init.normal_(model.readout.weight)  # type: ignore[union-attr, arg-type]
    return model


def sentiment_models(peers: Sequence[str]) -> dict[str, tuple[nn.Module, str]]:
    snn = sentiment("snn")
    models = {
        "spikeseq": (spikeseq.compile_events(snn), "compile_events"),
        "int8": (spikeseq.compile_events(snn, weights="int8"), "compile_events, 8-bit weights"),
        "dense": (snn, "the same network, dense"),
        "lstm": (sentiment("lstm"), "nn.LSTM(100, 200)"),
    }
    return {name: model for name, model in models.items() if name not in PEERS or name in peers}


def spikes(rows: int, width: int, rate: float) -> Tensor:
    """(rows, 1, width) of zeros and ones."""
    random = torch.Generator().manual_seed(1)
    return (torch.rand(rows, 1, width, generator=random) < rate).float()


def contender(name: str, note: str, model: nn.Module, *inputs: Tensor) -> Contender:
    def make_step() -> Step:
        return inference(lambda: model(*inputs))

    return Contender(name, note, make_step)


@torch.no_grad()
def check(events: nn.Module, dense: nn.Module, *inputs: Tensor) -> None:
    """Refuses to time what says something else."""
    found, expected = events(*inputs), dense(*inputs)
    if not torch.allclose(found, expected, rtol=1e-2, atol=1e-3):
        refuse("event-driven inference", f"it is off by {float((found - expected).abs().max()):.2g}")
