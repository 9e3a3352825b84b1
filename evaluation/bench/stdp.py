"""Timings of networks that learn by spike timing, image by image: dense, pruned, and BindsNET's."""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor

from spikeseq import stdp
from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.peers import Peer
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step
from spikeseq.stdp.showing import PRESENT

PRUNED, BINDSNET = "pruned", "bindsnet"
PEERS = (PRUNED, BINDSNET)
SHARES = {"25 %": 0.25, "10 %": 0.1}  # of each neuron's synapses that pruning leaves
HERTZ = 40.0  # of a white pixel: as many spikes an image, 2,250, as one of MNIST gives at 63.75
LEARNT = 3000  # images before anything is timed: at first neurons fire far more than later
STEP = 0.1  # mV that a spike adds to a threshold: twice as much as by default, so that this is soon over

STDP_PEERS = {
    BINDSNET: Peer(
        BINDSNET,
        "--no-deps 'bindsnet>=0.3.4' and what its import asks for",
        ("bindsnet.models", "bindsnet.encoding"),
        "DiehlAndCook2015 as it comes, spikes by its own poisson(); CPU time of all its threads",
    )
}

Sizes = tuple[tuple[int, int], ...]
"""(excitatory neurons, images of a step)."""


def stdp_benchmarks(sizes: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """Drawn digits, 350 ms each, one after the other, in CPU time: learning, then not learning."""
    rates = images(LEARNT) if sizes else torch.empty(0)
    for neurons, count in sizes:
        dense = trained(neurons, rates)
        networks = {"spikeseq": (dense, "all synapses")}
        if PRUNED in peers:
            networks |= {
                name: (pruned(dense, share, rates), f"{name} of them") for name, share in SHARES.items()
            }
        for mode in ("learning", "inference"):
            ours = [
                Contender(
                    name, note, partial(shown, network, rates[:count], mode), facts(network, rates[:50])
                )
                for name, (network, note) in networks.items()
            ]
            theirs = [
                Contender(name, peer.note, partial(bindsnet, neurons, rates[:count], mode))
                for name, peer in STDP_PEERS.items()
                if name in peers
            ]
            yield Benchmark(
                f"stdp {mode} {neurons}",
                f"{neurons} neurons, {count} images of 28 x 28, one after the other",
                (*ours, *theirs),
                partial(check, mode),
                device="busy",
                work=(count, "images"),
            )


def images(count: int) -> Tensor:
    """(count, 784) spikes a second."""
    import numpy as np

    from spikeseq.recipes.shared.images.digits import draw_digits

    pixels = draw_digits(np.arange(count) % 10, np.random.default_rng(0))
    return pixels.flatten(1).float() * (HERTZ / 255)


def trained(neurons: int, rates: Tensor) -> stdp.Network:
    """A network that has learnt from `rates`."""
    network = stdp.Network(stdp.Ensemble(rates.shape[1], neurons, threshold_step=STEP))
    network(rates)
    return network


def pruned(network: stdp.Network, share: float, rates: Tensor) -> stdp.Network:
    """A copy with the strongest synapses of each neuron, which has learnt to do with them."""
    made = deepcopy(network)
    made.prune(stdp.strongest(made.get_parameter("weight0"), share))
    made.train()(rates)
    return made


def facts(network: stdp.Network, rates: Tensor) -> dict[str, float]:
    """Spikes an image and times that one is shown; the share of synapses that a spike of an input finds."""
    given, weight = network.eval()(rates), network.get_parameter("weight0")
    return {
        "spikes": round(float(given.counts.sum(1).double().mean()), 1),
        "times": round(float(given.times.double().mean()), 2),
        "met": round(float((rates @ (weight != 0).float()).mean() / rates.sum(1).mean()), 3),
    }


def shown(network: stdp.Network, rates: Tensor, mode: str) -> Step:
    """Images in one call."""
    return (("images", lambda _: network.train(mode == "learning")(rates)),)


def bindsnet(neurons: int, rates: Tensor, mode: str) -> Step:
    """The same images, as the library's examples show them."""
    from bindsnet.encoding import poisson
    from bindsnet.models import DiehlAndCook2015

    side, time = 28, 350
    network = DiehlAndCook2015(rates.shape[1], n_neurons=neurons, inpt_shape=(1, side, side))
    network.train(mode == "learning")

    @torch.no_grad()
    def run(_: object) -> None:
        for image in rates:
            spikes = poisson(image.view(1, side, side), time=time)
            network.run(inputs={"X": spikes.view(time, 1, 1, side, side)}, time=time)
            network.reset_state_variables()

    return (("images", run),)


def check(mode: str) -> None:
    """Refuses to time what is not the oracle's, bit for bit: two images, briefly, dense and pruned."""
    given = images(2) * 4  # bright, so that little time is enough
    for share in (1.0, *SHARES.values()):
        network = stdp.Network(
            stdp.Ensemble(given.shape[1], 8), presentation=stdp.Presentation(time=40.0, repeats=0)
        )
        network.prune(stdp.strongest(network.get_parameter("weight0"), share))
        rates = [given[:, None] / 1000]
        ways = (PRESENT.fused, PRESENT.plain)
        native, plain = (presented(network, rates, mode, way) for way in ways)
        if not all(map(torch.equal, native, plain)):
            refuse(f"learning by spike timing with {share:.0%} of the synapses", "it gives others")


def presented(
    network: stdp.Network, rates: list[Tensor], mode: str, way: Callable[..., None]
) -> list[Tensor]:
    """Weights, thresholds and counts after images, by one of the two ways of the op."""
    mine = network.learnt()
    learnt = mine._replace(weights=[w.clone() for w in mine.weights], thetas=[t.clone() for t in mine.thetas])
    counts = [torch.zeros(len(rates[0]), len(theta), dtype=torch.int32) for theta in learnt.thetas]
    noted = torch.zeros(len(rates[0]), 2, dtype=torch.int64)
    way(network.plan, learnt, rates, counts, noted, 0, int(mode == "learning"))
    return [*learnt.weights, *learnt.thetas, *counts, noted]
