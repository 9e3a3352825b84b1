"""Timings of the LIF op and of a spiking layer against other libraries' neurons and PyTorch's RNNs.

How a benchmark is run: what is timed is first checked against the oracle, and not timed if it disagrees. Then
every contender runs twice to warm up, and then they take turns, A B C A B C, with the same number of threads,
until the benchmark's share of time is spent. A turn is one step, or, where a step is short, steps for 20 ms
and their median; the turn's first step, which meets the caches and the fragmented heap that another contender
left behind, is reported beside it as "first". A ratio is taken within each round, and its median is reported,
so that a machine that slows down for a while slows both sides down. Every step makes a new graph and new
gradients, and whatever a step makes is kept until its clock has stopped. Garbage is collected between rounds.

To add a benchmark: a function that yields `Benchmark`s, and a line in FAMILIES.
"""

import gc
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import spikeseq
from spikeseq.functional import PiecewiseLinear, lif
from spikeseq.nn import SpikingRNN
from spikeseq.ops.reference import lif_reference

from .peers import LIF_PEERS, RNN_PEERS, LifPeer

OURS = "spikeseq"
TOTAL = "total"  # of a step's phases
FIRST = "first"  # the total of a turn's first step
LEAK, THRESHOLD = 0.95, 1.0
WARM_UPS = 2
FEWEST, MOST = 5, 100  # rounds
TURN = 0.02  # seconds that a turn lasts at least
TOLERANCE = 2e-4  # of a float32 gradient, relative to its largest entry

Say = Callable[[str], None]
Step = tuple[tuple[str, Callable[[Any], Any]], ...]
"""Named phases of one step, each timed by itself; a phase is given what the one before returned."""


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Args:
        name: in tables and results.
        note: what it is, in words.
        make_step: makes its weights and inputs, untimed, and returns what one step does.
        facts: more for the results.
    """

    name: str
    note: str
    make_step: Callable[[], Step]
    facts: dict[str, Any] | None = None


@dataclass(frozen=True)
class Benchmark:
    """Contenders for the same work, ours first, and the check without which ours is not timed."""

    title: str
    note: str
    contenders: tuple[Contender, ...]
    check: Callable[[], None]


@dataclass(frozen=True)
class Sizes:
    """How large the work is. The goals are about the defaults."""

    lif: tuple[tuple[int, int, int], ...] = ((1250, 64, 128), (1250, 1, 128))
    layer: tuple[int, int, int] = (250, 64, 128)
    substeps: tuple[int, ...] = (5, 1)


@dataclass(frozen=True)
class Family:
    """The benchmarks behind one name of the command line, and what they can be timed against."""

    peers: tuple[str, ...]
    make: Callable[[Sizes, Sequence[str]], Iterable[Benchmark]]


@dataclass(frozen=True)
class Goal:
    """In the benchmark of this title, every one of the peers takes so many times our time or more."""

    text: str
    title: str
    peers: tuple[str, ...]
    at_least: float


SPIKING = ("spikingjelly", "snntorch", "norse")
GOALS = (
    Goal("one lif forward + backward, batch 64, 4 x as fast", "lif 1250x64x128", SPIKING, 4.0),
    Goal("one lif forward + backward, batch 1, 40 x as fast", "lif 1250x1x128", SPIKING, 40.0),
    Goal(
        "a training step of SpikingRNN(128, 128), T = 5, no longer than nn.LSTM's",
        "layer T=5 training 250x64x128",
        ("lstm",),
        1.0,
    ),
)


def run_bench(
    names: list[str], against: list[str], say: Say, *, sizes: Sizes | None = None, seconds: float = 25.0
) -> dict[str, Any]:
    """Runs benchmarks and compares them with the goals.

    Args:
        names: of FAMILIES; empty for all (that know one of `against`).
        against: peers; empty for all that are installed.
        say: takes a line of progress.
        sizes: of the work.
        seconds: about how long each benchmark takes its rounds for.
    Returns:
        "machine"; "benchmarks", each with its rounds and, for every contender, the median milliseconds of
        each phase and the median ratio of its time to ours (the goals are about "total"); "goals";
        "left_out", why for every peer that could not be used.
    Raises:
        ValueError: an unknown name or peer, or a benchmark that knows none of the peers.
        ImportError: a peer that was asked for is not installed.
        RuntimeError: what would be timed disagrees with the oracle.
    """
    chosen = choose(names, against)
    left_out = {}
    for peer in sorted({peer for peers in chosen.values() for peer in peers if peer in LIF_PEERS}):
        if reason := LIF_PEERS[peer].missing():
            if peer in against:
                raise ImportError(reason)
            left_out[peer] = reason
    results = []
    for name, peers in chosen.items():
        for benchmark in FAMILIES[name].make(
            sizes or Sizes(), [peer for peer in peers if peer not in left_out]
        ):
            say(f"{benchmark.title}: {', '.join(contender.name for contender in benchmark.contenders)}")
            results.append(measure(benchmark, seconds))
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


# --- Timing


def measure(benchmark: Benchmark, seconds: float) -> dict[str, Any]:
    """Checks, warms up, lets the contenders take turns, and sums up."""
    benchmark.check()
    steps = {contender.name: contender.make_step() for contender in benchmark.contenders}
    rounds = take_turns(steps, seconds)
    first = benchmark.contenders[0].name
    return {
        "title": benchmark.title,
        "note": benchmark.note,
        "rounds": len(rounds),
        "contenders": {
            contender.name: {
                "note": contender.note,
                **(contender.facts or {}),
                "milliseconds": {
                    phase: 1000 * median(laps[contender.name][phase] for laps in rounds)
                    for phase in rounds[0][contender.name]
                },
                "ratio": {
                    phase: median(laps[contender.name][phase] / laps[first][phase] for laps in rounds)
                    for phase in rounds[0][contender.name]
                },
            }
            for contender in benchmark.contenders
        },
    }


def take_turns(steps: dict[str, Step], seconds: float) -> list[dict[str, dict[str, float]]]:
    """Seconds of every phase, by contender, in every round."""
    gc.collect()
    gc.freeze()  # what there is now need not be searched for garbage in every round
    try:
        started = 0.0
        for _ in range(WARM_UPS):
            started = time.perf_counter()
            one_round(steps)
        count = int(seconds / (time.perf_counter() - started))
        return [one_round(steps) for _ in range(min(max(count, FEWEST), MOST))]
    finally:
        gc.unfreeze()


def one_round(steps: dict[str, Step]) -> dict[str, dict[str, float]]:
    """Every contender's turn, without garbage collection in between."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        return {name: one_turn(step) for name, step in steps.items()}
    finally:
        if was_on:
            gc.enable()


def one_turn(step: Step) -> dict[str, float]:
    """Seconds of every phase: of one step, or medians over as many short ones as fill a turn; and FIRST."""
    laps = [time_step(step)]
    while sum(lap[TOTAL] for lap in laps) < TURN:
        laps.append(time_step(step))
    return {**{phase: median(lap[phase] for lap in laps) for phase in laps[0]}, FIRST: laps[0][TOTAL]}


def time_step(step: Step) -> dict[str, float]:
    """Seconds of every phase and of all together. Results are let go after the last clock has stopped."""
    laps, kept = {}, [None]
    for name, phase in step:
        start = time.perf_counter()
        kept.append(phase(kept[-1]))
        laps[name] = time.perf_counter() - start
    return {**laps, TOTAL: sum(laps.values())}


def training(run: Callable[[], Tensor], leaves: Sequence[Tensor], grad: Tensor) -> Step:
    """Forward, and backward from a given gradient to new gradients of the leaves."""
    return ("forward", lambda _: run()), ("backward", lambda out: torch.autograd.grad(out, leaves, grad))


def inference(run: Callable[[], Any]) -> Step:
    """Forward without a graph."""
    return (("forward", torch.no_grad()(lambda _: run())),)


# --- Agreement with the oracle


def compare(
    what: str,
    ours: Callable[[], tuple[Tensor, Tensor]],
    oracle: Callable[[], tuple[Tensor, Tensor]],
    leaves: Sequence[Tensor],
) -> None:
    """A RuntimeError unless output and state are equal bit for bit, and gradients to TOLERANCE."""
    mine, theirs = ours(), oracle()
    for name, a, b in zip(("output", "state"), mine, theirs, strict=True):
        if a.shape != b.shape:
            refuse(what, f"its {name} has shape {tuple(a.shape)}, not {tuple(b.shape)}")
        if not torch.equal(a, b):
            share, most = (a != b).double().mean(), (a - b).abs().max()
            refuse(what, f"{share:.3%} of its {name} differs, by up to {most:.3g}")
    random = torch.Generator().manual_seed(2)
    grads = [torch.randn(result.shape, generator=random) for result in theirs]
    found = (torch.autograd.grad(results, leaves, grads) for results in (mine, theirs))
    for number, (a, b) in enumerate(zip(*found, strict=True)):
        error = ((a - b).abs().max() / b.abs().max().clamp(min=1e-3)).item()
        if not error <= TOLERANCE:  # NaN is an error too
            refuse(what, f"its gradient {number} has relative error {error:.3g} > {TOLERANCE:g}")


def refuse(what: str, difference: str) -> None:
    """The error that keeps a wrong result from being timed."""
    raise RuntimeError(f"{what} disagrees with the oracle and is not timed: {difference}")


def oracle(
    current: Tensor, leak: Tensor, threshold: Tensor, substeps: int, readout: str
) -> tuple[Tensor, Tensor]:
    """`lif_reference` as a fresh call of `lif` with default surrogate and soft reset; state (1, B, *)."""
    s = PiecewiseLinear()
    window = 1 if readout == "spikes" else substeps
    state = torch.zeros_like(current[:1]).detach()
    return lif_reference(
        current,
        state,
        leak,
        threshold,
        None,
        substeps,
        window,
        "soft",
        readout,
        s.name,
        s.height,
        s.width,
        False,
    )


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
        leak, threshold = neuron["leak"].reshape(-1), neuron["threshold"].reshape(-1)
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
                Contender("clone", "I.clone() as each phase: the yard-stick", partial(clone_step, current)),
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


def layer_step(layer: nn.Module, x: Tensor, grad: Tensor, mode: str) -> Step:
    """One step of any module with nn.LSTM's signature."""
    if mode == "inference":
        layer.eval()
        return inference(lambda: layer(x))
    leaf = x.clone().requires_grad_()
    return training(lambda: layer(leaf)[0], (leaf, *layer.parameters()), grad)


FAMILIES = {
    "lif": Family(tuple(LIF_PEERS), lif_benchmarks),
    "layer": Family(tuple(RNN_PEERS), layer_benchmarks),
}


# --- Results


def judge(goal: Goal, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Whether a goal is met; None where a peer that it names was not timed and the others are no obstacle."""
    timed = [result for result in results if result["title"] == goal.title]
    contenders: dict[str, Any] = timed[0]["contenders"] if timed else {}
    ratios = {peer: contenders[peer]["ratio"][TOTAL] for peer in goal.peers if peer in contenders}
    nearest = min(ratios, key=ratios.__getitem__, default=None)
    measured = None if nearest is None else ratios[nearest]
    met = None if measured is None or len(ratios) < len(goal.peers) else measured >= goal.at_least
    if measured is not None and measured < goal.at_least:
        met = False
    return {
        "goal": goal.text,
        "benchmark": goal.title,
        "at_least": goal.at_least,
        "measured": measured,
        "against": nearest,
        "met": met,
    }


def describe_machine() -> dict[str, Any]:
    """What the timings depend on."""
    return {
        "cpu": cpu_model(),
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


def format_table(result: dict[str, Any]) -> str:
    """The results as plain text."""
    machine = result["machine"]
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}; milliseconds (times ours)"
    ]
    for benchmark in result["benchmarks"]:
        lines += ["", f"{benchmark['title']}: {benchmark['note']}; {benchmark['rounds']} rounds"]
        lines += align(rows_of(benchmark["contenders"]))
        lines += [f"  {name}: {one['note']}" for name, one in benchmark["contenders"].items()]
    lines += ["", *map(goal_line, result["goals"])]
    lines += [f"left out: {reason}" for reason in result["left_out"].values()]
    return "\n".join(lines)


def rows_of(contenders: dict[str, Any]) -> list[list[str]]:
    """Header and one row per contender."""
    phases = list(next(iter(contenders.values()))["milliseconds"])
    if len(phases) == 3:  # one phase is the total
        phases.remove(TOTAL)
    cells = [
        [name, *(f"{one['milliseconds'][phase]:.2f} ({one['ratio'][phase]:.2f}x)" for phase in phases)]
        for name, one in contenders.items()
    ]
    return [["", *phases], *cells]


def align(rows: list[list[str]]) -> list[str]:
    """Columns of equal width, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]


def goal_line(goal: dict[str, Any]) -> str:
    """A goal and how it stands."""
    verdict = {True: "met", False: "missed", None: "not decided"}[goal["met"]]
    measured = "" if goal["measured"] is None else f": {goal['measured']:.2f} x ({goal['against']})"
    return f"goal {verdict}: {goal['goal']}{measured}"
