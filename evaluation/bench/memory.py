"""What a training step keeps for its backward pass, beside the time that it takes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.models import layer_step
from spikeseq.evaluation.bench.peers import RNN_PEERS
from spikeseq.evaluation.bench.timing import Benchmark, Contender
from spikeseq.nn import SpikingRNN

BYTES = "bytes"  # the fact that goals are about
SUBSTEPS, LAYERS = 5, 2

Sizes = tuple[int, int, int]
"""Tokens, batch, width."""


def bytes_kept(run: Callable[[], object], *given: Tensor) -> int:
    """Bytes of the tensors that autograd saves during `run`, without those of `given`; each counted once.

    What a function keeps beside them, or `torch.utils.checkpoint` saves in its own way, is not seen.
    """
    not_ours = {tensor.untyped_storage().data_ptr() for tensor in given}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in not_ours:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _result = run()  # alive until all is counted, so that no address is given out twice
    return sum(kept.values())


def memory_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """Two layers, T = 5: everything kept, currents computed again, and PyTorch's recurrent layers."""
    tokens, batch, width = size
    x = torch.randn(tokens, batch, width, generator=torch.Generator().manual_seed(0))
    grad = torch.randn(tokens, batch, width, generator=torch.Generator().manual_seed(1))
    layers: dict[str, tuple[nn.Module, str]] = {
        "spikeseq": (SpikingRNN(width, width, LAYERS, substeps=SUBSTEPS), "SpikingRNN"),
        "recompute": (SpikingRNN(width, width, LAYERS, substeps=SUBSTEPS, recompute=True), "recompute=True"),
    }
    for peer in peers:
        layers[peer] = (RNN_PEERS[peer](width, width, LAYERS), f"nn.{RNN_PEERS[peer].__name__}")
    contenders = []
    for name, (layer, note) in layers.items():
        per_neuron = tokens * batch * width * LAYERS * (1 if name in peers else SUBSTEPS)
        leaf = x.clone().requires_grad_()
        kept = bytes_kept(partial(layer, leaf), leaf, *layer.parameters()) / per_neuron
        unit = "neuron and token" if name in peers else "neuron and sub-step"
        note = f"{note}: keeps {kept:.2f} bytes per {unit}"
        contenders.append(Contender(name, note, partial(layer_step, layer, x, grad), {BYTES: kept}))
    yield Benchmark(
        f"memory T={SUBSTEPS} {tokens}x{batch}x{width}",
        f"{LAYERS} layers, a training step",
        tuple(contenders),
        partial(check_recompute, x[:20, :4]),
    )


def check_recompute(x: Tensor) -> None:
    """Computing currents again changes no gradient."""
    grads = []
    for recompute in (False, True):
        torch.manual_seed(0)
        layer = SpikingRNN(x.shape[2], x.shape[2], LAYERS, recompute=recompute)
        grads.append(torch.autograd.grad(layer(x)[0].sum(), tuple(layer.parameters())))
    if not all(torch.equal(a, b) for a, b in zip(*grads, strict=True)):
        refuse("recompute", "its gradients are others")
