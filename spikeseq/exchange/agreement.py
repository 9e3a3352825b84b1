"""Whether another library, reading what we write, gives our spikes: by running it."""

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .files import read_nir
from .lossy import LossyExchange, default_example
from .models import apart
from .needed import needed
from .network import Network
from .parts import Parts, Shape
from .readers import READERS, Reader, reader_of
from .writing import to_nir, write_nir

Run = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Agreement:
    """What a reader made of a network.

    reader, version: of the library. settled: whether it was told the reset after reading. decisions: values
    that came out, one for each output and step. ours, theirs: spikes among them, or with `spiking` False what
    the outputs sum up to. differing: how many differ; of outputs that are no spikes, by more than 1e-4.
    """

    reader: str
    version: str
    settled: bool
    spiking: bool
    decisions: int
    ours: float
    theirs: float
    differing: int

    @property
    def share(self) -> float:
        """Of the decisions, those that differ."""
        return self.differing / self.decisions

    def __str__(self) -> str:
        what = "spike decisions" if self.spiking else "outputs"
        told = ", told the reset" if self.settled else ""
        return (
            f"{self.reader} {self.version}{told}: {self.differing} of {self.decisions} {what} differ"
            f" ({self.share:.2%}; ours {self.ours:g}, theirs {self.theirs:g})"
        )


@torch.no_grad()
def check(
    model: nn.Module | Sequence[nn.Module],
    reader: str,
    input_shape: Shape | None = None,
    *,
    example: Tensor | None = None,
    settled: bool = False,
    plain: bool = False,
) -> Agreement:
    """Writes a network for a reader, lets it read the file and run, and compares what comes out.

    Args:
        model, input_shape: as `to_nir`.
        reader: one of `READERS`, which must be installed.
        example: (L, B, *) inputs; default 100 steps of 8 normal ones, the same every time.
        settled: tell the reader the reset once it has read the file (`settle`).
        plain: let it read the plain graph instead, which is not in its units.
    Raises:
        ImportError: the reader is not installed, with the command that helps.
        ValueError: as `to_nir`; or settled, for a reader that needs no telling.
    """
    profile = reader_of(reader)
    parts = apart(model, input_shape)
    resets = parts.resets()
    if settled and (len(resets) != 1 or not resets <= set(profile.settled)):
        can = " or ".join(profile.settled) or "nothing"
        raise ValueError(f"{reader} can be told {can} after reading, and the network has {', '.join(resets)}")
    x = default_example(parts) if example is None else example
    ours, _ = Network(parts)(x)
    held = x.repeat_interleave(parts.substeps, 0)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", LossyExchange)
        graph = to_nir(model, input_shape, reader=None if plain else reader, lossy=True, example=x)
        write_nir(graph, Path(folder) / "network.nir")
        run = load(
            profile, read_nir(Path(folder) / "network.nir"), x.shape[1], resets.pop() if settled else None
        )
        with quiet():
            theirs = run(held.float())
    return compared(profile, settled, ours, theirs, spiking(parts))


def spiking(parts: Parts) -> bool:
    """Whether what comes out is spikes."""
    from .parts import OUTPUT, Neurons

    return all(isinstance(parts.nodes.get(name), Neurons) for name in parts.sources(OUTPUT))


def compared(profile: Reader, settled: bool, ours: Tensor, theirs: Tensor, spikes: bool) -> Agreement:
    """Two runs side by side."""
    if ours.shape != theirs.shape:
        raise ValueError(f"{profile.name} gives {tuple(theirs.shape)}, expected {tuple(ours.shape)}")
    theirs = theirs.to(ours.dtype)
    off = ours != theirs if spikes else ~torch.isclose(ours, theirs, rtol=1e-4, atol=1e-4)
    package, total = version_of(profile.name), (float(ours.sum()), float(theirs.sum()))
    return Agreement(profile.name, package, settled, spikes, ours.numel(), *total, int(off.sum()))


def version_of(package: str) -> str:
    """Of an installed package; "?" for one without."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "?"


def load(reader: Reader, graph: Any, batch: int, reset: str | None = None) -> Run:
    """What a reader makes of a graph, as a function of inputs (steps, B, *) to outputs, from a fresh state.

    Args:
        reset: that it is told after reading.
    Raises:
        ImportError: it is not installed, with the command that helps.
    """
    install = f"pip install {reader.install}"
    with quiet():
        if reader.name == "sinabs":
            network = needed("sinabs.nir", install).from_nir(graph, batch_size=batch)
            if reset is not None:
                settle(network, reset)
            return lambda x: all_steps(network, x)
        if reader.name == "rockpool":
            network = needed("rockpool.nn.modules.torch.nir", install).from_nir(graph)
            if reset is not None:
                settle(network, reset)
            return lambda x: network(x.transpose(0, 1))[0].transpose(0, 1)
        if reader.name == "snntorch":
            library = needed("snntorch", install)
            network = needed("snntorch.import_nir", install).import_from_nir(graph)
            library.SpikingNeuron.instances.clear()  # it would keep every neuron that was ever made
        elif reader.name == "norse":
            network = needed("norse.torch", install).from_nir(graph)
        else:
            network = needed("spikingjelly.activation_based.nir_exchange", install).import_from_nir(graph)
    return lambda x: step_by_step(network, x)


def step_by_step(network: Any, x: Tensor) -> Tensor:
    """Row by row, the state handed on."""
    state, out = None, []
    for row in x.unbind(0):
        found, state = network(row, state)
        out.append(found)
    return torch.stack(out)


def all_steps(network: Any, x: Tensor) -> Tensor:
    """All rows at once, as sinabs has them: (B * steps, *)."""
    found = network(x.transpose(0, 1).flatten(0, 1))
    found = found[0] if isinstance(found, tuple) else found
    return found.unflatten(0, (x.shape[1], x.shape[0])).transpose(0, 1)  # type: ignore[no-any-return]


def settle(network: nn.Module, reset: str) -> nn.Module:
    """Sets what sinabs or rockpool read to one spike a step and a reset of ours; in place.

    Args:
        network: as `sinabs.nir.from_nir` or rockpool's gave it.
        reset: "hard" (sinabs) or "soft_immediate".
    Raises:
        ValueError: another reset, which the library has not.
    """
    module: Any
    for module in network.modules():
        name = "sinabs" if hasattr(module, "reset_fn") else "rockpool"
        if not hasattr(module, "reset_fn") and not hasattr(module, "max_spikes_per_dt"):
            continue
        if reset not in READERS[name].settled:
            accepted = " or ".join(map(repr, READERS[name].settled))
            raise ValueError(f"reset must be {accepted} for neurons of {name}, got {reset!r}")
        if name == "rockpool":
            module.max_spikes_per_dt = torch.tensor(1.0)
            continue
        activation = needed("sinabs.activation", f"pip install {READERS[name].install}")
        module.spike_fn, module.min_v_mem = activation.SingleSpike, None
        module.reset_fn = activation.MembraneReset() if reset == "hard" else activation.MembraneSubtract()
    return network


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Readers print and warn as they read."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
