"""Timings of ops, layers and networks, against other libraries and PyTorch's RNNs.

To add a benchmark: a function that yields `Benchmark`s, and a line in FAMILIES.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import spikeseq
from spikeseq.evaluation.bench import cuda as bench_cuda
from spikeseq.evaluation.bench import scaling as bench_scaling
from spikeseq.evaluation.bench.agreement import compare, oracle
from spikeseq.evaluation.bench.deployed import PEERS as DEPLOYED_PEERS
from spikeseq.evaluation.bench.deployed import deployed_benchmarks
from spikeseq.evaluation.bench.deployed import missing as nothing_deployed
from spikeseq.evaluation.bench.events import PEERS as EVENT_PEERS
from spikeseq.evaluation.bench.events import event_benchmarks
from spikeseq.evaluation.bench.goals import GOALS, judge
from spikeseq.evaluation.bench.growth import growth_benchmarks
from spikeseq.evaluation.bench.language import PEERS as LANGUAGE_PEERS
from spikeseq.evaluation.bench.language import language_benchmarks
from spikeseq.evaluation.bench.memory import memory_benchmarks
from spikeseq.evaluation.bench.models import (
    LOOP,
    layer_step,
    model_benchmarks,
    recurrent_benchmarks,
    step_benchmarks,
)
from spikeseq.evaluation.bench.peers import LIF_PEERS, RNN_PEERS, LifPeer, Peer
from spikeseq.evaluation.bench.start import TORCH, start_benchmarks
from spikeseq.evaluation.bench.stdp import PEERS as STDP_FAMILY
from spikeseq.evaluation.bench.stdp import STDP_PEERS, stdp_benchmarks
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, measure, training
from spikeseq.evaluation.bench.translate import PEERS as TRANSLATION_PEERS
from spikeseq.evaluation.bench.translate import translate_benchmarks
from spikeseq.evaluation.bench.twins import PEERS as TWIN_PEERS
from spikeseq.evaluation.bench.twins import twin_benchmarks
from spikeseq.functional import lif
from spikeseq.nn import SpikingRNN

OURS = "spikeseq"
LEAK, THRESHOLD = 0.95, 1.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sizes:
    """How large the work is. The goals are about the defaults."""

    lif: tuple[tuple[int, int, int], ...] = ((1250, 64, 128), (1250, 1, 128))
    layer: tuple[int, int, int] = (250, 64, 128)
    substeps: tuple[int, ...] = (5, 1)
    greedy: tuple[int, int, int, int] = (1000, 100, 14, 256)  # sentences, per batch, tokens, width
    state: tuple[int, int, int, int] = (50, 50, 30, 256)
    events: tuple[int, int, int] = (250, 5, 128)  # tokens, sub-steps, width
    model: tuple[int, int, int] = (250, 64, 128)  # tokens, batch, width
    step: int = 128
    # Rows are of 1,024 tokens; numbers of a token, neurons, blocks: about 0.5 M parameters.
    language: tuple[int, int, int, int, int, int] = (64, 16, 64, 600, 1, 1950)
    export: tuple[int, int, int] = (256, 5000, 128)  # tokens, vocabulary, width
    stdp: tuple[tuple[int, int], ...] = ((100, 8), (400, 8), (1600, 2))  # neurons, images
    twins: tuple[int, int, int, int, int] = (16, 512, 14, 64, 256)  # see bench.twins.Sizes
    scaling: tuple[bench_scaling.Work, ...] = bench_scaling.USUAL
    # On a GPU: 2^26 neurons and sub-steps, and few neurons over many.
    cuda_lif: tuple[tuple[int, int, int], ...] = ((256, 64, 4096), (1250, 64, 128))
    cuda_layer: tuple[int, int, int] = (250, 64, 512)


@dataclass(frozen=True)
class Family:
    """The benchmarks behind one name of the command line, and what they can be timed against.

    Args:
        missing: why they cannot run here; None if they can.
    """

    peers: tuple[str, ...]
    make: Callable[[Sizes, Sequence[str]], Iterable[Benchmark]]
    missing: Callable[[], str | None] = lambda: None


def run_bench(
    names: list[str], against: list[str], say: Say, *, sizes: Sizes | None = None, seconds: float = 25.0
) -> dict[str, Any]:
    """Runs benchmarks and compares them with the goals.

    Args:
        names: of FAMILIES; empty for all that can run here (and know one of `against`).
        against: peers; empty for all that are installed.
        say: takes a line of progress.
        sizes: of the work.
        seconds: about how long each benchmark takes its rounds for.
    Returns:
        "machine"; "benchmarks", each with its rounds and, for every contender, the median milliseconds of
        each phase and the median ratio of its time to ours (the goals are about "total"); "goals";
        "left_out", why for every peer that could not be used.
    Raises:
        ValueError: an unknown name or peer, or a benchmark that knows none of the peers or cannot run here.
        ImportError: a peer that was asked for is not installed.
        RuntimeError: what would be timed disagrees with the oracle.
    """
    chosen = choose(names, against)
    left_out = {}
    libraries: dict[str, Peer] = {**LIF_PEERS, **STDP_PEERS}
    for peer in sorted({peer for peers in chosen.values() for peer in peers if peer in libraries}):
        if reason := libraries[peer].missing():
            if peer in against:
                raise ImportError(reason)
            left_out[peer] = reason
    results = []
    for name, peers in chosen.items():
        for benchmark in FAMILIES[name].make(
            sizes or Sizes(), [peer for peer in peers if peer not in left_out]
        ):
            say(f"{benchmark.title}: {', '.join(contender.name for contender in benchmark.contenders)}")
            results.append(measure(benchmark, seconds * benchmark.share))
    return {
        "machine": describe_machine(),
        "benchmarks": results,
        "goals": [judge(goal, results) for goal in GOALS],
        "left_out": left_out,
    }


def choose(names: Sequence[str], against: Sequence[str]) -> dict[str, list[str]]:
    """The families to run, and the peers of each that are asked for."""
    every_peer = [*dict.fromkeys(peer for family in FAMILIES.values() for peer in family.peers)]
    for name in names:
        known("benchmark", name, list(FAMILIES))
    for peer in against:
        known("peer", peer, every_peer)
    chosen = {}
    for name in names or FAMILIES:
        if reason := FAMILIES[name].missing():
            if names:
                raise ValueError(reason)
            continue
        peers = [peer for peer in FAMILIES[name].peers if not against or peer in against]
        if peers:
            chosen[name] = peers
        elif names:
            listed = ", ".join(FAMILIES[name].peers)
            raise ValueError(f"{name} is not timed against {', '.join(against)}; its peers are {listed}")
    return chosen


def known(kind: str, value: str, choices: list[str]) -> None:
    """A ValueError that lists the choices, the nearest first, unless `value` is one of them."""
    if value not in choices:
        nearest = sorted(choices, key=lambda one: -SequenceMatcher(None, value, one).ratio())
        raise ValueError(f"unknown {kind} {value!r}; choose from {', '.join(nearest)}")


def check_lif(current: Tensor) -> None:
    """`lif` against the oracle: on a small case of odd sizes, and on a slice of what will be timed."""
    for case in (draw(33, 3, 5), current[:50, :4]):
        leaf = case.clone().requires_grad_()
        leak, threshold = neuron_parameters()
        ours = partial(lif, leaf, leak=leak, threshold=threshold)
        theirs = partial(oracle, leaf, leak, threshold, 1, "spikes")
        compare("lif", lambda: with_layer(*ours()), theirs, (leaf, leak, threshold))  # noqa: B023


def with_layer(out: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """State (B, *) of one layer as (1, B, *)."""
    return out, state.unsqueeze(0)


def check_layer(layer: SpikingRNN, x: Tensor) -> None:
    """The layer against the oracle behind the same linear map, on a slice of what will be timed."""
    piece = x[:20, :4].clone().requires_grad_()
    inner: Any = layer.layers[0]
    neuron = inner.lif.neuron()

    def theirs() -> tuple[Tensor, Tensor]:
        leak, threshold = neuron.leak.reshape(-1), neuron.threshold.reshape(-1)
        return oracle(inner.input_map(piece), leak, threshold, layer.substeps, layer.readout)

    compare(
        f"SpikingRNN with T = {layer.substeps}", lambda: layer(piece), theirs, (piece, *layer.parameters())
    )


# --- The benchmarks


def draw(*shape: int, scale: float = 0.3, seed: int = 0) -> Tensor:
    """Random currents under which the neurons spike now and then."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * scale


def neuron_parameters() -> tuple[Tensor, Tensor]:
    """Leak and threshold as trained values."""
    return torch.tensor([LEAK], requires_grad=True), torch.tensor([THRESHOLD], requires_grad=True)


def size(shape: Sequence[int]) -> str:
    """As in titles: 1250x64x128."""
    return "x".join(map(str, shape))


def lif_benchmarks(sizes: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """Forward and backward of the neurons alone, gradients of currents, leak and threshold on."""
    for shape in sizes.lif:
        current, grad = draw(*shape), draw(*shape, scale=1.0, seed=1)
        spikes, _ = lif(current, leak=LEAK, threshold=THRESHOLD)
        yield Benchmark(
            f"lif {size(shape)}",
            f"float32, gradients of I, leak and threshold; spike rate {spikes.mean():.3f}",
            (
                Contender(OURS, "spikeseq.functional.lif", partial(our_lif, current, grad)),
                Contender("clone", "I.clone() as each phase: a yard-stick", partial(clone_step, current)),
                Contender("copy", "a copy into memory in use, likewise", partial(copy_step, current)),
                *(lif_contender(LIF_PEERS[peer], current, grad) for peer in peers),
            ),
            partial(check_lif, current),
        )


def our_lif(current: Tensor, grad: Tensor) -> Step:
    """The public op."""
    leaves = (current.clone().requires_grad_(), *neuron_parameters())

    def run() -> Tensor:
        return lif(leaves[0], leak=leaves[1], threshold=leaves[2])[0]

    return training(run, leaves, grad)


def clone_step(current: Tensor) -> Step:
    """A copy of the currents into fresh memory, twice."""
    return ("forward", lambda _: current.clone()), ("backward", lambda _: current.clone())


def copy_step(current: Tensor) -> Step:
    """A copy of the currents into memory that is there, twice."""
    to = current.clone()
    return ("forward", lambda _: to.copy_(current)), ("backward", lambda _: to.copy_(current))


def lif_contender(peer: LifPeer, current: Tensor, grad: Tensor) -> Contender:
    """Another library's neurons on the same currents."""

    def make_step() -> Step:
        neuron = peer.make(LEAK, THRESHOLD)
        leaf = (current * neuron.scale).requires_grad_()
        return training(lambda: neuron.run(leaf), (leaf, *neuron.parameters), grad)

    facts = {"difference": peer.difference, "same_spikes": same_spikes(peer, current[:50, :4])}
    return Contender(peer.name, peer.note, make_step, facts)


@torch.no_grad()
def same_spikes(peer: LifPeer, current: Tensor) -> float:
    """Share of equal entries in the peer's spikes and ours, ours set to be its neuron."""
    neuron = peer.make(LEAK, THRESHOLD)
    ours, _ = lif(current, leak=LEAK, threshold=THRESHOLD, **peer.like)
    return (neuron.run(current * neuron.scale) == ours).double().mean().item()


def layer_benchmarks(sizes: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """One layer with its input map: a training step, and inference, against PyTorch's recurrent layers."""
    tokens, batch, width = sizes.layer
    x, grad = draw(tokens, batch, width, scale=1.0), draw(tokens, batch, width, scale=1.0, seed=1)
    for mode in ("training", "inference"):
        for substeps in sizes.substeps:
            spiking = SpikingRNN(width, width, substeps=substeps)
            note = f"SpikingRNN({width}, {width}, substeps={substeps})"
            yield Benchmark(
                f"layer T={substeps} {mode} {size(sizes.layer)}",
                "gradients of the input and of all weights" if mode == "training" else "no graph",
                (
                    Contender(OURS, note, partial(layer_step, spiking, x, grad, mode)),
                    *(
                        Contender(
                            peer,
                            f"nn.{RNN_PEERS[peer].__name__}({width}, {width})",
                            partial(layer_step, RNN_PEERS[peer](width, width), x, grad, mode),
                        )
                        for peer in peers
                    ),
                ),
                partial(check_layer, spiking, x),
            )


FAMILIES = {
    "lif": Family(tuple(LIF_PEERS), lif_benchmarks),
    "layer": Family(tuple(RNN_PEERS), layer_benchmarks),
    "recurrent": Family(tuple(RNN_PEERS), lambda sizes, peers: recurrent_benchmarks(sizes.layer, peers)),
    "model": Family(("lstm", LOOP), lambda sizes, peers: model_benchmarks(sizes.model, peers)),
    "memory": Family(tuple(RNN_PEERS), lambda sizes, peers: memory_benchmarks(sizes.layer, peers)),
    "growth": Family(tuple(RNN_PEERS), lambda sizes, peers: growth_benchmarks(sizes.layer, peers)),
    "step": Family(tuple(RNN_PEERS), lambda sizes, peers: step_benchmarks(sizes.step, peers)),
    "translate": Family(
        TRANSLATION_PEERS, lambda sizes, peers: translate_benchmarks(sizes.greedy, sizes.state, peers)
    ),
    "cuda": Family(
        bench_cuda.PEERS,
        lambda sizes, peers: bench_cuda.cuda_benchmarks(sizes.cuda_lif, sizes.cuda_layer, peers),
        bench_cuda.missing,
    ),
    "start": Family((TORCH,), lambda sizes, peers: start_benchmarks(peers)),
    "events": Family(EVENT_PEERS, lambda sizes, peers: event_benchmarks(sizes.events, peers)),
    "language": Family(LANGUAGE_PEERS, lambda sizes, peers: language_benchmarks(sizes.language, peers)),
    "export": Family(
        DEPLOYED_PEERS, lambda sizes, peers: deployed_benchmarks(sizes.export, peers), nothing_deployed
    ),
    "scaling": Family(
        bench_scaling.PEERS,
        lambda sizes, peers: bench_scaling.scaling_benchmarks(sizes.scaling, peers),
        bench_scaling.missing,
    ),
    "twins": Family(TWIN_PEERS, lambda sizes, peers: twin_benchmarks(sizes.twins, peers)),
    "stdp": Family(STDP_FAMILY, lambda sizes, peers: stdp_benchmarks(sizes.stdp, peers)),
}


# --- Results


def describe_machine() -> dict[str, Any]:
    """What the timings depend on."""
    return {
        "cpu": cpu_model(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "spikeseq": spikeseq.__version__,
        "backend": spikeseq.backend_info(),
    }


def cpu_model() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
