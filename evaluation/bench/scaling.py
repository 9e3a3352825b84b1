"""Data-parallel training in two processes of this machine beside one: a step, and the all-reduce alone.

The second process does what it is told, a line at a time, and ends with this one. Both have one thread.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import IO, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch import distributed as dist

from spikeseq import project_parameters
from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step
from spikeseq.evaluation.bench.translate import translation_model
from spikeseq.models.sentiment import SpikingClassifier
from spikeseq.modules import of_kind

TWO, REDUCE = "two", "all-reduce"
PEERS = (TWO, REDUCE)
SHARE = 0.05  # of the time of other benchmarks, for each point
PATIENCE = timedelta(minutes=5)  # with the other process, also until it has started


def gradient_bytes(model: nn.Module) -> int:
    """Bytes of all gradients, which every process hands to the all-reduce of a step.

    That is the size of the parameters that are trained, each once, in their own type. Gradients of an
    embedding are dense: the whole table counts, whichever words a batch has.
    """
    return sum(one.numel() * one.element_size() for one in model.parameters() if one.requires_grad)


class Work(NamedTuple):
    """What one process does in a step.

    Args:
        model: of MODELS.
        width: neurons or channels of a layer.
        tokens: of a text or a sentence.
        batch: texts or sentences of one process.
    """

    model: str
    vocabulary: int
    width: int
    tokens: int
    batch: int


TRAINED, KEPT, TRANSLATION = "classifier", "classifier, vectors kept", "conv-snn-snn"
USUAL = (
    *(Work(TRAINED, 40_000, 64, 128, batch) for batch in (1, 8, 64, 256)),
    *(Work(KEPT, 40_000, 64, 128, batch) for batch in (1, 8, 64, 256)),
    Work(TRANSLATION, 6_000, 256, 14, 16),
)
"""The recipes' sizes; a vocabulary as the recipe `imdb` has it at most, sentences as those of Multi30k."""


def made(work: Work) -> nn.Module:
    """The model of that name, in training."""
    torch.manual_seed(0)
    if work.model == TRANSLATION:
        return translation_model(TRANSLATION, work.width, work.vocabulary).train()
    model = SpikingClassifier(work.vocabulary, hidden_size=work.width)
    model.embedding.requires_grad_(work.model == TRAINED)
    return model


def training(work: Work, model: nn.Module) -> Callable[[], None]:
    """A training step on random tokens."""
    random = torch.Generator().manual_seed(1)
    tokens = torch.randint(4, work.vocabulary, (work.tokens, work.batch), generator=random)
    lengths = torch.full((work.batch,), work.tokens)
    given = (tokens, lengths) * (2 if work.model == TRANSLATION else 1)
    optimizer = torch.optim.AdamW([one for one in model.parameters() if one.requires_grad])

    def step() -> None:
        optimizer.zero_grad()
        logits: Tensor = model(*given).flatten(0, -2)
        nn.functional.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64)).backward()
        optimizer.step()
        project_parameters(model)

    return step


class Rank:
    """One of the two processes: what both do at the same time."""

    def __init__(self) -> None:
        self.step: Callable[[], None] = lambda: None
        self.seen = 0  # bytes that buckets have held

    def prepare(self, *work: Any) -> None:
        """A model in both, whose gradients are averaged bucket by bucket while the backward pass goes on."""
        model = nn.parallel.DistributedDataParallel(made(Work(*work)))
        model.register_comm_hook(self, averaged)
        self.step = training(Work(*work), model)

    def train(self) -> None:
        """A step of the model that was prepared."""
        self.step()

    def reduce(self, size: int) -> None:
        """The all-reduce of so many bytes, in one piece."""
        dist.all_reduce(torch.zeros(size // 4))


def averaged(rank: Rank, bucket) -> torch.futures.Future[Tensor]:  # type: ignore[no-untyped-def]
    """DDP's hook, without annotations that DDP would refuse: the mean over processes. Bytes are counted."""
    buffer = bucket.buffer()
    rank.seen += buffer.numel() * buffer.element_size()
    done = dist.all_reduce(buffer.div_(dist.get_world_size()), async_op=True).get_future()
    return done.then(lambda future: future.value()[0])  # type: ignore[no-any-return]


class Pair:
    """This process, and the other at the end of a pipe."""

    def __init__(self, other: IO[str]) -> None:
        self.own, self.other = Rank(), other

    def do(self, name: str, *arguments: Any) -> None:
        """Both do what has this name in `Rank`."""
        self.other.write(json.dumps([name, *arguments]) + "\n")
        self.other.flush()
        getattr(self.own, name)(*arguments)

    def training(self, work: Work) -> Step:
        """A step in both."""
        self.do("prepare", *work)
        return (("step", lambda _: self.do("train")),)

    def reducing(self, size: int) -> Step:
        """The all-reduce alone."""
        return (("step", lambda _: self.do("reduce", size)),)

    def carried(self, work: Work) -> int:
        """Bytes in the buckets of one step."""
        self.do("prepare", *work)
        self.own.seen = 0
        self.do("train")
        return self.own.seen


def join(place: str, rank: int) -> None:
    """Becomes one of two processes that meet at a file."""
    torch.set_num_threads(1)
    store = dist.FileStore(place, 2)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=PATIENCE)


def second(place: str) -> None:
    """What the other process does until its input ends."""
    join(place, 1)
    rank = Rank()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        getattr(rank, name)(*arguments)
    dist.destroy_process_group()


@contextmanager
def pair() -> Iterator[Pair]:
    """Two processes, as long as they are needed. The other one ends when its input does."""
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        place = os.path.join(folder, "store")
        code = f"from spikeseq.evaluation.bench.scaling import second; second({place!r})"
        with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True) as process:
            try:
                join(place, 0)
                assert process.stdin is not None
                yield Pair(process.stdin)
            except BaseException:
                process.kill()  # it may be waiting for this one
                raise
            finally:
                torch.set_num_threads(threads)
                if dist.is_initialized():
                    dist.destroy_process_group()


def missing() -> str | None:
    """Why there is nothing to time here."""
    if dist.is_available() and dist.is_gloo_available():
        return None
    return "scaling needs a torch with torch.distributed and gloo"


def scaling_benchmarks(works: Sequence[Work], peers: Sequence[str]) -> Iterator[Benchmark]:
    """A step with the same batch in each process, alone and in two."""
    with pair() as both:
        for work in works:
            size = gradient_bytes(made(work))
            contenders = [
                Contender("spikeseq", "one process", partial(alone, work), facts(work)),
                Contender(TWO, "two processes, each with such a batch", partial(both.training, work)),
                Contender(REDUCE, f"{size:,} bytes in one piece", partial(both.reducing, size)),
            ]
            yield Benchmark(
                f"scaling {work.model} {work.batch}",
                f"vocabulary {work.vocabulary}, width {work.width}, {work.tokens} tokens, batch {work.batch}",
                tuple(one for one in contenders if one.name in ("spikeseq", *peers)),
                partial(check, both, work, size),
                share=SHARE,
            )


def alone(work: Work) -> Step:
    step = training(work, made(work))
    return (("step", lambda _: step()),)


def facts(work: Work) -> dict[str, Any]:
    """Of the model, and of its gradients."""
    model = made(work)
    tables = of_kind(model, nn.Embedding).values()
    return {
        "work": work._asdict(),
        "parameters": sum(one.numel() for one in model.parameters() if one.requires_grad),
        "bytes": gradient_bytes(model),
        "embedding_bytes": sum(map(gradient_bytes, tables)),
    }


def check(both: Pair, work: Work, size: int) -> None:
    """Refuses to time what does not carry the bytes that arithmetic tells."""
    if (seen := both.carried(work)) != size:
        refuse(f"the all-reduce of {work.model}", f"its buckets hold {seen:,} bytes, not {size:,}")
