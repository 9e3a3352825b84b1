"""Ways to look at a model, and ways to run it."""

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from spikeseq.evaluation.energy.measure import measure_energy
from spikeseq.evaluation.gradients import gradient_norms
from spikeseq.evaluation.report.content import Watch
from spikeseq.monitor import monitor
from spikeseq.nn import SpikingActivation, SpikingNetwork, SpikingRNN, run_in_chunks

X = torch.linspace(-1, 2, 6).view(2, 3)


class Recurrent(nn.Module):
    """In chunks of itself; the ReLU is for gradient norms."""

    def __init__(self):
        super().__init__()
        self.rnn, self.relu = SpikingRNN(3, 4, num_layers=2), nn.ReLU()

    def forward(self, x):
        return run_in_chunks(self.rnn, self.relu(x).expand(4, 2, 3), size=2)[0][-1]


def image_network():
    torch.manual_seed(0)
    maps = nn.Linear(3, 4), nn.Linear(4, 2)
    return SpikingNetwork(nn.Sequential(maps[0], SpikingActivation(), maps[1]), substeps=4)


class Host(nn.Module):
    """Runs a network with gradients, in some way, and lets something happen in the middle of its forward."""

    def __init__(self, network, route, happens, backward=False):
        super().__init__()
        self.network, self.route, self.happens, self.backward = network, route, happens, backward

    def forward(self, x):
        self.happens(self.network)
        with torch.enable_grad():
            out = self.route(self.network, x.clone().requires_grad_())
            if self.backward:
                out.sum().backward(retain_graph=True)
        self.happens(self.network)
        return out


def by_monitor(host):
    with monitor(host, penalty=True) as watch:
        host(X)
        return watch.rates(), watch.silent(), watch.penalty().item()


def by_energy(host):
    """Of its layers. What the host does by itself, a backward pass or the products of a copy, is its own."""
    layers = measure_energy(host, [(X,)], tokens=1)["layers"]
    return {name: counts for name, counts in layers.items() if name}


def by_gradients(host):
    return gradient_norms(host, X, torch.tensor([0, 1]))


def by_report(host):
    with Watch(host) as watch:
        host(X)
    return {name: [spikes.tolist() for spikes in calls] for name, calls in watch.seen.items()}


LOOKS = {"monitor": by_monitor, "energy": by_energy, "gradients": by_gradients, "report": by_report}

ROUTES = {  # cases 2.1, 2.2
    "plain": lambda network, x: network(x),
    "checkpoint": lambda network, x: checkpoint(network, x, use_reentrant=False),
    "reentrant": lambda network, x: checkpoint(network, x, use_reentrant=True),
    "chunk=": lambda network, x: network(x, chunk=2),
    "run_in_chunks": lambda network, x: network(x),
}


def nothing(network):
    pass
