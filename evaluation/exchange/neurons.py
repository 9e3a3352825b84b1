"""The neurons of other libraries, one function each: set to a leak, a threshold and a reset, and run."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from spikeseq.exchange.needed import needed
from spikeseq.nn.like import OTHERS


@dataclass(frozen=True)
class Setting:
    """What a neuron is set to. norm_input: whether it is to weight its input by 1 - leak. start: the membrane
    that it starts from, where that can be given. plain: as it comes, reset and input being what they are."""

    leak: float = 0.9
    threshold: float = 1.0
    reset: str = "hard"
    norm_input: bool = False
    start: float | None = None


def snntorch(current: Tensor, at: Setting) -> Tensor:
    library = needed("snntorch", "pip install --no-deps 'snntorch>=1.0'")
    kinds: dict[str, dict[str, Any]] = {
        "soft": {},
        "hard": {"reset_mechanism": "zero"},
        "soft_immediate": {"reset_delay": False},
    }
    node = library.Leaky(at.leak, at.threshold, **kinds[at.reset])
    library.SpikingNeuron.instances.clear()
    membrane, out = torch.full_like(current[0], at.start or 0.0), []
    for row in current:
        spikes, membrane = node(row, membrane)
        out.append(spikes)
    return torch.stack(out)


def norse(current: Tensor, at: Setting) -> Tensor:
    library = needed("norse.torch", "pip install --no-deps 'norse>=1.1'")
    box = needed("norse.torch.functional.lif_box", "")
    resets = needed("norse.torch.functional.reset", "")
    method = {"hard": resets.reset_value, "soft_immediate": resets.reset_subtract}[at.reset]
    parameters = library.LIFBoxParameters(
        tau_mem_inv=torch.tensor((1 - at.leak) / 1e-3),
        v_th=torch.tensor(at.threshold),
        reset_method=method,
    )
    cell, out = library.LIFBoxCell(parameters, dt=1e-3), []
    state = box.LIFBoxFeedForwardState(v=torch.full_like(current[0], at.start or 0.0))
    for row in current:
        spikes, state = cell(row, state)
        out.append(spikes)
    return torch.stack(out)


def spikingjelly(current: Tensor, at: Setting) -> Tensor:
    library = needed("spikingjelly.activation_based.neuron", "pip install --no-deps 'spikingjelly>=2.0'")
    node = library.LIFNode(
        tau=1 / (1 - at.leak),
        decay_input=at.norm_input,
        v_threshold=at.threshold,
        v_reset=0.0 if at.reset == "hard" else None,
        step_mode="m",
    )
    if at.start is not None:
        node.v = torch.full_like(current[0], at.start)
    return node(current)  # type: ignore[no-any-return]


def sinabs(current: Tensor, at: Setting, several: bool = True) -> Tensor:
    layers = needed("sinabs.layers", "pip install --no-deps 'sinabs>=3.1'")
    activation = needed("sinabs.activation", "")
    node = layers.LIF(
        tau_mem=float(-1 / torch.tensor(at.leak, dtype=torch.float64).log()),
        spike_threshold=torch.tensor(at.threshold),
        norm_input=at.norm_input,
        spike_fn=activation.MultiSpike if several else activation.SingleSpike,
        reset_fn=activation.MembraneReset() if at.reset == "hard" else activation.MembraneSubtract(),
    )
    if at.start is not None:
        node.init_state_with_shape((1, *current.shape[1:]))
        node.v_mem.fill_(at.start)
    return node(current.unsqueeze(0))[0]  # type: ignore[no-any-return]


def rockpool(current: Tensor, at: Setting, several: bool = True) -> Tensor:
    library = needed("rockpool.nn.modules", "pip install --no-deps 'rockpool>=3.1'")
    node = library.LIFNeuronTorch(
        shape=(current.shape[1],),
        tau_mem=float(-1e-3 / torch.tensor(at.leak, dtype=torch.float64).log()),
        threshold=torch.tensor(at.threshold),
        dt=1e-3,
        max_spikes_per_dt=torch.tensor(2.0**16 if several else 1.0),
    )
    if at.start is not None:
        node.vmem = torch.full_like(current[0], at.start)
    return node(current.unsqueeze(0))[0][0]  # type: ignore[no-any-return]


def bindsnet(current: Tensor, at: Setting) -> Tensor:
    node = bindsnet_nodes().LIFNodes(
        n=current.shape[1],
        thresh=at.threshold,
        rest=0.0,
        reset=0.0,
        refrac=0,
        tc_decay=float(-1 / torch.tensor(at.leak, dtype=torch.float64).log()),
    )
    node.compute_decays(1.0)
    node.set_batch_size(1)
    if at.start is not None:
        node.v.fill_(at.start)
    out = []
    for row in current:
        node.forward(row.unsqueeze(0).clone())
        out.append(node.s[0].float())
    return torch.stack(out)


def bindsnet_nodes() -> ModuleType:
    """Its file of neurons alone: the whole package asks for torchvision, a game emulator and more."""
    package = importlib.util.find_spec("bindsnet")
    if package is None or package.submodule_search_locations is None:
        raise ImportError("bindsnet is not installed: pip install --no-deps 'bindsnet>=0.3.4'")
    path = Path(package.submodule_search_locations[0]) / "network" / "nodes.py"
    spec = importlib.util.spec_from_file_location("bindsnet_nodes", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def elsewhere(library: str, python: str) -> Callable[..., Tensor]:
    """lava or brian2, in the interpreter `python`."""

    def run(current: Tensor, at: Setting, **more: Any) -> Tensor:
        file = Path(__file__).with_name("elsewhere.py")
        told = {"leak": at.leak, "threshold": at.threshold, "reset": at.reset, **more}
        if library == "brian2":
            told["norm_input"] = at.norm_input
        if at.start is not None:
            told["start"] = at.start
        asked = json.dumps({"current": current.double().tolist(), **told})
        done = subprocess.run([python, str(file), library], input=asked, capture_output=True, text=True)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            raise ImportError(f"{library} does not run in {python}: {why}")
        return torch.tensor(json.loads(done.stdout.strip().splitlines()[-1]), dtype=torch.float32)

    return run


HERE: dict[str, Callable[..., Tensor]] = {
    "snntorch": snntorch,
    "norse": norse,
    "spikingjelly": spikingjelly,
    "sinabs": sinabs,
    "rockpool": rockpool,
    "bindsnet": bindsnet,
}
ELSEWHERE = ("brian2", "lava")
assert {*HERE, *ELSEWHERE} == set(OTHERS)


@torch.no_grad()
def fired(library: str, current: Tensor, at: Setting, python: str | None = None, **more: Any) -> Tensor:
    """Spikes (L, N) of a library's neurons for currents (L, N), as it has them: several a step count.

    Raises:
        ImportError: it is not there; of lava and brian2, without an interpreter that has them.
    """
    if library in HERE:
        return HERE[library](current, at, **more)
    if python is None:
        raise ImportError(f"{library} runs in an interpreter of its own: give it by --python")
    return elsewhere(library, python)(current, at, **more)
