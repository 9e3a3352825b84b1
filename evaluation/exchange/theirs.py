"""Networks of other libraries, built by their own means, each run and written by its library."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.exchange.agreement import all_steps, step_by_step
from spikeseq.exchange.needed import needed

SIZES = (10, 20, 5)
Made = tuple[Tensor, Any, Callable[[Any], Callable[[Tensor], Tensor]]]
"""What the network fires for an input (L, B, 10), the graph its library writes, and that library's reader."""


@dataclass(frozen=True)
class Theirs:
    """A network of another library.

    told: what `from_nir` is told beside the writer. why: the note on its own round trip; ours: on ours.
    """

    library: str
    name: str
    reset: str
    make: Callable[[Tensor], Made]
    told: dict[str, Any] = field(default_factory=dict)
    why: str | None = None
    ours: str | None = None


def maps() -> tuple[nn.Linear, nn.Linear]:
    """Two linear maps, the same every time."""
    torch.manual_seed(1)
    return nn.Linear(*SIZES[:2]), nn.Linear(*SIZES[1:])


def snntorch(x: Tensor, **neuron: Any) -> Made:
    """A leak that is one number it does not write, nor a threshold: both are given for each neuron."""
    library = needed("snntorch", "pip install --no-deps 'snntorch>=1.0'")
    writer, reader = needed("snntorch.export_nir", ""), needed("snntorch.import_nir", "")
    first, second = maps()
    neurons = (
        library.Leaky(torch.full((n,), 0.9), torch.full((n,), 0.7), init_hidden=True, **neuron)
        for n in SIZES[1:]
    )
    network = nn.Sequential(first, next(neurons), second, next(neurons))
    own = torch.stack([network(row) for row in x])
    graph = writer.export_to_nir(network, x[0], ignore_dims=[0])
    library.SpikingNeuron.instances.clear()

    def again(graph: Any) -> Callable[[Tensor], Tensor]:
        return partial(step_by_step, reader.import_from_nir(graph))

    return own, graph, again


class Recurrent(nn.Module):
    """A map and a recurrent layer, as snnTorch's writer wants them."""

    def __init__(self, library: Any, **neuron: Any) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.map = nn.Linear(*SIZES[:2])
        self.rnn = library.RLeaky(0.9, linear_features=SIZES[1], threshold=0.7, init_hidden=True, **neuron)

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(self.map(x))  # type: ignore[no-any-return]


def snntorch_feedback(x: Tensor, **neuron: Any) -> Made:
    """Its writer makes a cycle of LIF and Affine."""
    library = needed("snntorch", "pip install --no-deps 'snntorch>=1.0'")
    writer, reader = needed("snntorch.export_nir", ""), needed("snntorch.import_nir", "")
    network = Recurrent(library, **neuron)
    own = torch.stack([network(row) for row in x])
    graph = writer.export_to_nir(network, x[0], ignore_dims=[0])
    library.SpikingNeuron.instances.clear()
    return own, graph, lambda graph: partial(step_by_step, reader.import_from_nir(graph))


def norse(x: Tensor, reset: str) -> Made:
    """LIFBoxCells of 10 ms at the default step of 1 ms."""
    library = needed("norse.torch", "pip install --no-deps 'norse>=1.1'")
    resets = needed("norse.torch.functional.reset", "")
    first, second = maps()

    def neurons(n: int) -> Any:
        parameters = library.LIFBoxParameters(
            tau_mem_inv=torch.full((n,), 100.0),
            v_th=torch.full((n,), 0.07),
            v_leak=torch.zeros(n),
            reset_method=getattr(resets, reset),
        )
        return library.LIFBoxCell(parameters)

    network = library.SequentialState(first, neurons(SIZES[1]), second, neurons(SIZES[2]))
    own = step_by_step(network, x)
    graph = library.to_nir(network, x[0, 0])
    return own, graph, lambda graph: partial(step_by_step, library.from_nir(graph))


def spikingjelly(x: Tensor, kind: str, **neuron: Any) -> Made:
    """Its writer takes hard resets only."""
    library = needed("spikingjelly.activation_based.neuron", "pip install --no-deps 'spikingjelly>=2.0'")
    exchange = needed("spikingjelly.activation_based.nir_exchange", "")
    first, second = maps()
    network = nn.Sequential(
        first,
        getattr(library, kind)(v_reset=0.0, **neuron),
        second,
        getattr(library, kind)(v_reset=0.0, **neuron),
    )
    own = torch.stack([network(row) for row in x])
    for module in (network[1], network[3]):
        module.reset()  # type: ignore[operator]
    graph = exchange.export_to_nir(network, x[0])
    return own, graph, lambda graph: partial(step_by_step, exchange.import_from_nir(graph))


def sinabs(x: Tensor, norm_input: bool, reset: str) -> Made:
    """One spike a step, as others have it; scalar time constants nir 1.0.8 does not write."""
    layers = needed("sinabs.layers", "pip install --no-deps 'sinabs>=3.1'")
    exchange, activation = needed("sinabs.nir", ""), needed("sinabs.activation", "")
    first, second = maps()

    def neurons(n: int) -> Any:
        return layers.LIFSqueeze(
            tau_mem=torch.full((n,), 10.0),
            spike_threshold=torch.full((n,), 0.07 if norm_input else 0.7),
            norm_input=norm_input,
            batch_size=x.shape[1],
            spike_fn=activation.SingleSpike,
            reset_fn=getattr(activation, reset)(),
        )

    network = nn.Sequential(first, neurons(SIZES[1]), second, neurons(SIZES[2]))
    own = all_steps(network, x)
    graph = exchange.to_nir(network, x.flatten(0, 1))
    return own, graph, lambda graph: partial(all_steps, exchange.from_nir(graph, batch_size=x.shape[1]))


THEIRS = (
    Theirs("snntorch", "Leaky", "subtract", partial(snntorch), {"reset": "soft"}, "snntorch lost"),
    Theirs(
        "snntorch",
        "Leaky, reset_delay=False",
        "subtract",
        partial(snntorch, reset_delay=False),
        {"reset": "soft_immediate"},
        "snntorch lost",
        "snntorch twice",
    ),
    Theirs("snntorch", "Leaky", "zero", partial(snntorch, reset_mechanism="zero"), {"reset": "hard"}),
    Theirs("snntorch", "RLeaky", "subtract", snntorch_feedback, {"reset": "soft"}, "snntorch leads"),
    Theirs(
        "snntorch",
        "RLeaky, reset_delay=False",
        "zero",
        partial(snntorch_feedback, reset_mechanism="zero", reset_delay=False),
        {"reset": "hard"},
        "snntorch leads",
    ),
    Theirs(
        "snntorch",
        "RLeaky",
        "zero",
        partial(snntorch_feedback, reset_mechanism="zero"),
        {"reset": "hard"},
        "snntorch leads",
        "snntorch drops",
    ),
    Theirs("norse", "LIFBoxCell", "reset_value", partial(norse, reset="reset_value"), {}, "norse lost"),
    Theirs(
        "norse",
        "LIFBoxCell",
        "reset_subtract",
        partial(norse, reset="reset_subtract"),
        {"reset": "soft_immediate"},
        "norse reset",
    ),
    Theirs("spikingjelly", "LIFNode", "0", partial(spikingjelly, kind="LIFNode", tau=10.0, v_threshold=0.07)),
    Theirs(
        "spikingjelly",
        "LIFNode, decay_input=False",
        "0",
        partial(spikingjelly, kind="LIFNode", tau=10.0, decay_input=False, v_threshold=0.7),
    ),
    Theirs("spikingjelly", "IFNode", "0", partial(spikingjelly, kind="IFNode", v_threshold=0.7)),
    *(
        Theirs(
            "sinabs",
            f"LIFSqueeze, norm_input={norm_input}",
            kind,
            partial(sinabs, norm_input=norm_input, reset=kind),
            {"norm_input": norm_input, "reset": reset},
            "sinabs lost",
        )
        for norm_input in (True, False)
        for kind, reset in (("MembraneReset", "hard"), ("MembraneSubtract", "soft_immediate"))
    ),
)
