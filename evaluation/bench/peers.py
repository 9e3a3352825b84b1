"""Other libraries' LIF neurons, each set to be the neuron of `spikeseq.functional.lif`, at its fastest.

What the fastest way is was read in their sources and tried. All of them step over time in Python, so what
counts is how a row is taken from the currents: rows come from `unbind`, or from iterating, which is the same.
`I[t]` for every t makes the backward pass quadratic in the length, because each index has a gradient as large
as I. The libraries' modes that drop the reset (snntorch's LeakyParallel, StateLeaky) are other neurons.

The extra `bench` names torchvision and torchaudio, through spikingjelly and norse, and nothing here imports
them. Without them, beside an installed spikeseq and with torch kept as it is:

    pip install -c constraints.txt loguru h5py matplotlib tensorboard
    pip install --no-deps 'spikingjelly>=2.0' 'snntorch>=1.0' 'norse>=1.1' nir nirtorch
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from spikeseq.functional import PiecewiseLinear
from spikeseq.ops.reference import Spike, update


class Neuron(NamedTuple):
    """Neurons of one library, ready to run."""

    run: Callable[[Tensor], Tensor]  # (L, B, N) currents to spikes of the same shape, state zero at the start
    parameters: tuple[Tensor, ...]  # what it trains
    scale: float = 1.0  # of our currents, to get those that it expects


@dataclass(frozen=True)
class Peer:
    """Another library.

    Args:
        name: what the command line calls it.
        install: pip's arguments that bring it; empty for what is always there.
        imports: modules without which it cannot run.
        note: which class and mode is used.
    """

    name: str
    install: str
    imports: tuple[str, ...]
    note: str

    def missing(self) -> str | None:
        """Why it cannot be used here, with the command that helps; None if it can."""
        try:
            for module in self.imports:
                importlib.import_module(module)
        except ImportError as error:
            return f"{self.name} cannot be imported ({error}): pip install {self.install}"
        return None


@dataclass(frozen=True)
class LifPeer(Peer):
    """A library's LIF neuron and how it is used.

    Args:
        difference: what it does otherwise than our `lif`, if anything.
        make: (leak, threshold) to neurons.
        like: arguments of our `lif` under which the spikes are the same.
    """

    difference: str
    make: Callable[[float, float], Neuron]
    like: dict[str, Any] = field(default_factory=dict)


def spikingjelly(leak: float, threshold: float) -> Neuron:
    """The multi-step node, whose CPU operator has a backward loop of its own, outside of autograd."""
    from spikingjelly.activation_based import functional, neuron, surrogate

    node = neuron.ParametricLIFNode(
        init_tau=1 / (1 - leak),
        decay_input=False,
        v_threshold=threshold,
        v_reset=None,  # soft
        surrogate_function=surrogate.ATan(),
        step_mode="m",
    )

    def run(current: Tensor) -> Tensor:
        functional.reset_net(node)
        return node(current)  # type: ignore[no-any-return]

    return Neuron(run, tuple(node.parameters()))


def snntorch(leak: float, threshold: float) -> Neuron:
    """One call of the cell per row, the membrane handed on, as in its tutorials."""
    import snntorch as library
    from snntorch import surrogate

    node = library.Leaky(
        beta=leak,
        threshold=threshold,
        learn_beta=True,
        learn_threshold=True,
        reset_mechanism="subtract",
        spike_grad=surrogate.fast_sigmoid(),
    )
    library.SpikingNeuron.instances.clear()  # it would keep every neuron that was ever made

    def run(current: Tensor) -> Tensor:
        membrane = current.new_zeros(current.shape[1:])
        spikes = []
        for row in current.unbind(0):
            spike, membrane = node(row, membrane)
            spikes.append(spike)
        return torch.stack(spikes)

    return Neuron(run, tuple(node.parameters()))


def norse(leak: float, threshold: float) -> Neuron:
    """The cell without a synaptic current, under norse's own `lift`, which iterates over rows."""
    from norse.torch import LIFBoxCell
    from norse.torch.functional.lif_box import LIFBoxParameters
    from norse.torch.functional.lift import lift
    from norse.torch.functional.reset import reset_subtract

    dt = 0.001
    rate = nn.Parameter(torch.tensor((1 - leak) / dt))
    height = nn.Parameter(torch.tensor(threshold))
    cell = LIFBoxCell(LIFBoxParameters(tau_mem_inv=rate, v_th=height, reset_method=reset_subtract), dt=dt)
    over_time = lift(cell)
    # v += (1 - leak) * (I - v): the currents are scaled beforehand, outside of what is timed.
    return Neuron(lambda current: over_time(current)[0], (rate, height), scale=1 / (1 - leak))


def reference_loop(leak: float, threshold: float) -> Neuron:
    """One sub-step after the other in plain PyTorch, with the equations of the oracle."""
    leak_, threshold_ = (torch.tensor(value, requires_grad=True) for value in (leak, threshold))
    surrogate = PiecewiseLinear()

    def run(current: Tensor) -> Tensor:
        u = spike = no_memory = current.new_zeros(current.shape[1:])
        spikes = []
        for row in current.unbind(0):
            u = update(u, spike, row, leak_, threshold_, "soft")
            with torch.no_grad():
                by_z = surrogate.slope(u / threshold_ - 1, no_memory)
            spike = Spike.apply(u, threshold_, by_z)
            spikes.append(spike)
        return torch.stack(spikes)

    return Neuron(run, (leak_, threshold_))


LIF_PEERS = {
    peer.name: peer
    for peer in (
        LifPeer(
            "spikingjelly",
            "--no-deps 'spikingjelly>=2.0' && pip install loguru",
            ("spikingjelly.activation_based.neuron",),
            "ParametricLIFNode(step_mode='m', decay_input=False, v_reset=None, ATan), its CPU operator",
            "trains the leak but not the threshold (less work); resets before the leak; fires at u >= v",
            spikingjelly,
            {"reset": "soft_immediate"},
        ),
        LifPeer(
            "snntorch",
            "--no-deps 'snntorch>=1.0'",
            ("snntorch",),
            "Leaky(learn_beta, learn_threshold, 'subtract', fast_sigmoid), stepped over unbind(0)",
            "no gradient through the reset (less work); clips the leak at every step",
            snntorch,
            {"detach_reset": True},
        ),
        LifPeer(
            "norse",
            "--no-deps 'norse>=1.1' nir nirtorch && pip install h5py matplotlib tensorboard",
            ("norse.torch",),
            "LIFBoxCell(reset_subtract, tau_mem_inv and v_th trained), under norse.torch.functional.lift",
            "resets before the leak; the leak scales the current too, so currents are given over 1 - leak",
            norse,
            {"reset": "soft_immediate"},
        ),
        LifPeer(
            "reference-loop",
            "",
            (),
            "a Python loop over sub-steps with the oracle's equations, rows from unbind(0)",
            "",
            reference_loop,
        ),
    )
}
RNN_PEERS: dict[str, type[nn.Module]] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
