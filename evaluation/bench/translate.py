"""Timings of translation: greedy decoding of many sentences, and what the decoder's state saves."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, inference
from spikeseq.models.seq2seq import SPECIALS, Seq2Seq, build_seq2seq, greedy

VOCABULARY = 6000  # words or pieces of Multi30k, about
MODELS = {"spikeseq": "conv-snn-snn", "gru": "attention-gru-gru"}
PEERS = ("gru", "recompute")

Sizes = tuple[int, int, int, int]
"""Sentences, sentences per batch, tokens of a sentence, width of the model."""


def translation_model(name: str, width: int, vocabulary: int = VOCABULARY) -> Seq2Seq:
    """A model with the recipe's other sizes. Random weights take as long as trained ones."""
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"channels": width} if name.startswith("conv") else {
        "hidden_size": width, "embedding_size": width
    }  # fmt: skip
    return build_seq2seq({"name": name, **sizes}, vocabulary, vocabulary).eval()


def sentences(count: int, tokens: int) -> Tensor:
    """(tokens, count) random ids."""
    random = torch.Generator().manual_seed(1)
    return torch.randint(len(SPECIALS), VOCABULARY, (tokens, count), generator=random)


def decode(model: Seq2Seq, source: Tensor, batch: int, recompute: bool = False) -> list[list[int]]:
    """Greedily, in batches, as many tokens as the sources have."""
    found = []
    for part in source.split(batch, dim=1):
        lengths = torch.full((part.shape[1],), len(source))
        found += greedy(model, part, lengths, max_lengths=len(source), recompute=recompute)
    return [hypothesis.ids for hypothesis in found]


def check(name: str, width: int) -> None:
    """With state and without it, the same sentences in float64."""
    model, source = translation_model(name, width).double(), sentences(4, 7)
    if decode(model, source, 2) != decode(model, source, 4, recompute=True):
        refuse(f"incremental decoding of {name}", "it finds other sentences than decoding anew")


def contender(peer: str, note: str, run: Callable[[], Any]) -> Contender:
    def make_step() -> Step:
        return inference(run)

    return Contender(peer, note, make_step)


def translate_benchmarks(greedy_size: Sizes, state_size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """Greedy decoding against GRUs with attention; incremental decoding against decoding anew."""
    ours = MODELS["spikeseq"]
    if "gru" in peers:
        count, batch, tokens, width = greedy_size
        source = sentences(count, tokens)
        yield Benchmark(
            title("greedy", greedy_size),
            f"{count} sentences of {tokens} tokens, batch {batch}, width {width}, vocabulary {VOCABULARY}",
            tuple(
                contender(who, name, partial(decode, translation_model(name, width), source, batch))
                for who, name in MODELS.items()
            ),
            partial(check, ours, width),
        )
    if "recompute" in peers:
        count, batch, tokens, width = state_size
        source, model = sentences(count, tokens), translation_model(ours, width)
        yield Benchmark(
            title("state", state_size),
            f"{ours}, {count} sentences of {tokens} tokens, batch {batch}, width {width}",
            (
                contender("spikeseq", "incremental", partial(decode, model, source, batch)),
                contender("recompute", "every prefix anew", partial(decode, model, source, batch, True)),
            ),
            partial(check, ours, width),
        )


def title(what: str, size: Sizes) -> str:
    """As in goals: translate greedy 1000x14."""
    return f"translate {what} {size[0]}x{size[2]}"
