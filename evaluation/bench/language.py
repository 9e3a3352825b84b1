"""Timings of language models of equal parameters: a training step, and a token that is written."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bench.agreement import check_stream
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, inference, training
from spikeseq.events import compile_events
from spikeseq.models.language import LanguageModel, RecurrentLanguageModel, SpikingLanguageModel
from spikeseq.nn.state import bytes_of
from spikeseq.surrogates import ArcTan

VOCABULARY = 257  # bytes, and the end of a document
PEERS = ("lstm", "gru")
THRESHOLD = 2.0  # of the neurons, so that untrained ones fire about as often as trained ones do

NEAR, FAR = 100, 100_000
"""Tokens that a stream has read where a token is timed."""
AT_ONCE = 1000

NGRAMS = (2, 3, 4, 5)

Sizes = tuple[int, int, int, int, int, int]
"""Tokens and rows of a chunk; numbers of a vector, neurons of a block, blocks, rows for an n of NGRAMS."""


def language_benchmarks(sizes: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """A training step on a chunk, one token of one stream, and one far behind its beginning."""
    tokens, rows, width, neurons, layers, _ = sizes
    ours = spiking(*sizes[2:])
    models = {"spikeseq": ours} | {peer: equal(ours, peer) for peer in peers}
    text = torch.randint(0, VOCABULARY, (tokens + 1, rows), generator=torch.Generator().manual_seed(0))
    for mode in ("training", "generation"):
        shown = text if mode == "training" else text[:1, :1]
        contenders = []
        for name, model in models.items():
            count = sum(p.numel() for p in model.parameters())
            facts = (
                {"parameters": float(count), "spike_rate": rate(ours, text)}
                if model is ours
                else {"parameters": float(count)}
            )
            timed: Any = model
            if mode == "generation" and model is ours:
                timed = compile_events(ours)  # as `spikeseq generate` runs it
            step = partial(chunk_step if mode == "training" else token_step, timed, shown)
            contenders.append(Contender(name, f"{type(timed).__name__}, {count:,} parameters", step, facts))
        if mode == "generation":
            contenders += by_modules(ours, shown)
        yield Benchmark(
            f"language {mode} {width}x{neurons}x{layers}",
            f"{tokens} x {rows} tokens, all gradients"
            if mode == "training"
            else "one token, batch 1, no graph",
            tuple(contenders),
            partial(check_stream, ours, text[:20, :2], 1e-3),
            work=(tokens * rows if mode == "training" else 1, "tokens"),
        )

    yield far_benchmark(ours, f"{width}x{neurons}x{layers}")


def by_modules(ours: SpikingLanguageModel, token: Tensor) -> Iterator[Contender]:
    """The same model module by module, and with maps of spikes driven by events in 8 bits."""
    yield Contender("modules", "the model as it is trained", partial(token_step, ours, token))
    eight = partial(token_step, compile_events(ours, "int8"), token)  # type: ignore[arg-type]
    yield Contender("int8", "its maps of spikes driven by events, in 8 bits", eight)


def far_benchmark(ours: SpikingLanguageModel, sizes: str) -> Benchmark:
    """One token of a stream, after many and after few."""
    stream: Any = compile_events(ours)
    text = torch.randint(0, VOCABULARY, (FAR, 1), generator=torch.Generator().manual_seed(1))
    contenders = []
    for name, count in (("spikeseq", FAR), ("earlier", NEAR)):
        state: Any = None
        for part in text[:count].split(AT_ONCE):
            _, state = stream(part, state)
        size = bytes_of(state)
        step = inference(partial(stream, text[:1], state))
        note = f"after {count:,} tokens, {size:,} bytes of state"
        contenders.append(Contender(name, note, partial(tuple, step), {"bytes": float(size)}))
    return Benchmark(
        f"language stream {sizes}",
        f"one token, batch 1, after {FAR:,} tokens and after {NEAR}",
        tuple(contenders),
        lambda: None,
        work=(1, "tokens"),
    )


def spiking(width: int, neurons: int, layers: int, ngram_rows: int) -> SpikingLanguageModel:
    """As the recipe's own, but for a threshold."""
    torch.manual_seed(0)
    return SpikingLanguageModel(
        VOCABULARY, embedding_size=width, neurons=neurons, layers=layers, kernel_size=4, threshold=THRESHOLD,
        ngrams=NGRAMS, ngram_rows=ngram_rows, reset="soft", surrogate=ArcTan(),
    )  # fmt: skip


def equal(ours: nn.Module, kind: str) -> LanguageModel:
    """One layer of the peer's with as many parameters, within a few in a hundred."""
    wanted = sum(p.numel() for p in ours.parameters())
    gates, width, hidden = {"lstm": 4, "gru": 3}[kind], 64, 8
    while VOCABULARY * width + gates * hidden * (width + hidden + 2) + hidden * width < wanted:
        hidden += 8
    return RecurrentLanguageModel(VOCABULARY, kind=kind, embedding_size=width, hidden_size=hidden)


@torch.no_grad()
def rate(model: SpikingLanguageModel, text: Tensor) -> float:
    """Spikes for each neuron and token."""
    from spikeseq.monitor import monitor

    with monitor(model) as watch:
        model(text)
        rates = watch.rates()
    return sum(rates.values()) / len(rates)


def chunk_step(model: LanguageModel, text: Tensor) -> Step:
    def run() -> Tensor:
        logits, _ = model(text[:-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1), text[1:].flatten())

    return training(run, tuple(model.parameters()), torch.ones(()))


def token_step(model: LanguageModel, text: Tensor) -> Step:
    """What `generate` does for a token, but for the drawing."""
    model.eval()
    state: Any = None
    with torch.no_grad():
        for _ in range(20):
            _, state = model(text, state)
    return inference(lambda: model(text, state))
