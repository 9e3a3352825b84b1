"""Timings on a GPU: neurons against a copy of their currents and SpikingJelly, layers against cuDNN.

The largest inputs are several times the GPU's cache, so that what is timed there is its memory. SpikingJelly
chooses its own kernel (native where its wheel was built with one, else Triton); its node trains no threshold.
Products are as torch has them by default: cuDNN's recurrent layers multiply float32 in TF32, linear layers do
not.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bench.agreement import TOLERANCE, compare, oracle, refuse
from spikeseq.evaluation.bench.models import layer_step
from spikeseq.evaluation.bench.peers import LIF_PEERS, RNN_PEERS
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step, training
from spikeseq.functional import lif
from spikeseq.nn import SpikingRNN

PEERS = ("spikingjelly", *RNN_PEERS)
LEAK, THRESHOLD, SUBSTEPS = 0.95, 1.0, 5
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
DEVICE = "cuda"
SHARE = 0.1  # of the usual time: a GPU does many rounds in it
CHECKPOINT = 1 / 16  # membranes kept for the backward pass, per neuron and sub-step

Sizes = tuple[int, int, int]
"""Tokens, batch, width."""


def missing() -> str | None:
    """Why there is nothing to time here; None if there is."""
    if not torch.cuda.is_available():
        return "the benchmark cuda needs a GPU, and torch finds none"
    return None


def cuda_benchmarks(lifs: Sequence[Sizes], layer: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """The neurons alone, a layer of them, and a layer with feedback."""
    for shape in lifs:
        for name in DTYPES:
            yield lif_benchmark(shape, name, "spikingjelly" in peers)
    rnns = [peer for peer in peers if peer in RNN_PEERS]
    for name in DTYPES:
        yield layer_benchmark(layer, name, rnns)
    for width in (128, layer[2]):
        yield feedback_benchmark((*layer[:2], width), rnns)


def size(shape: Sizes) -> str:
    return "x".join(map(str, shape))


def draw(shape: Sizes, dtype: torch.dtype, scale: float, seed: int) -> Tensor:
    random = torch.Generator(DEVICE).manual_seed(seed)
    return (torch.randn(shape, generator=random, device=DEVICE) * scale).to(dtype)


def neuron_parameters() -> tuple[Tensor, Tensor]:
    return tuple(torch.tensor([value], device=DEVICE, requires_grad=True) for value in (LEAK, THRESHOLD))  # type: ignore[return-value]


def lif_benchmark(shape: Sizes, name: str, with_peer: bool) -> Benchmark:
    """Forward and backward of the neurons, gradients of currents, leak and threshold on."""
    dtype = DTYPES[name]
    make = partial(draw, shape, dtype)
    bytes_ = torch.empty((), dtype=dtype).element_size()
    moved = {
        "forward": (2 * bytes_ + 4 * CHECKPOINT) / (2 * bytes_),
        "backward": (3 * bytes_ + 4 * CHECKPOINT) / (2 * bytes_),
    }
    contenders = [
        Contender("spikeseq", "spikeseq.functional.lif", partial(our_lif, make), {"copies_moved": moved}),
        Contender(
            "copy", "a copy of the currents into memory in use, as each phase", partial(copy_step, make)
        ),
    ]
    peer = LIF_PEERS["spikingjelly"]
    if with_peer and dtype == torch.float32 and not peer.missing():
        note = "ParametricLIFNode(step_mode='m', decay_input=False, v_reset=None, ATan), its Triton kernel"
        facts = {"difference": peer.difference}
        contenders.append(Contender(peer.name, note, partial(peer_step, make), facts))
    return Benchmark(
        f"cuda lif {name} {size(shape)}",
        f"gradients of I, leak and threshold; bytes moved, in copies: {moved['forward']:.2f} forward,"
        f" {moved['backward']:.2f} backward",
        tuple(contenders),
        partial(check_lif, dtype),
        SHARE,
        device=DEVICE,
    )


def our_lif(make: Callable[..., Tensor]) -> Step:
    leaves = (make(0.3, 0).requires_grad_(), *neuron_parameters())
    return training(lambda: lif(leaves[0], leak=leaves[1], threshold=leaves[2])[0], leaves, make(1.0, 1))


def copy_step(make: Callable[..., Tensor]) -> Step:
    current = make(0.3, 0)
    to = current.clone()
    return ("forward", lambda _: to.copy_(current)), ("backward", lambda _: to.copy_(current))


def peer_step(make: Callable[..., Tensor]) -> Step:
    node: Any = LIF_PEERS["spikingjelly"].make(LEAK, THRESHOLD)
    for parameter in node.parameters:
        parameter.data = parameter.data.to(DEVICE)
    leaf = make(0.3, 0).requires_grad_()
    return training(lambda: node.run(leaf), (leaf, *node.parameters), make(1.0, 1))


def check_lif(dtype: torch.dtype) -> None:
    """Against the oracle on the same device, in float32; bit for bit, as no sum is contracted."""
    current = draw((50, 4, 33), dtype, 0.3, 2)
    wide = current.float().requires_grad_()
    leak, threshold = neuron_parameters()

    def ours() -> tuple[Tensor, Tensor]:
        out, state = lif(wide.to(dtype), leak=leak, threshold=threshold)
        return out.float(), state.unsqueeze(0)

    theirs = partial(oracle, wide, leak, threshold, 1, "spikes")
    tolerance = TOLERANCE if dtype == torch.float32 else 0.02  # bfloat16 rounds gradients
    compare("lif on CUDA", ours, theirs, (wide, leak, threshold), tolerance)


def layer_benchmark(shape: Sizes, name: str, peers: Sequence[str]) -> Benchmark:
    """A training step of one layer with its input map, T = 5, against cuDNN's."""
    ours = SpikingRNN(shape[2], shape[2], substeps=SUBSTEPS)
    return Benchmark(
        f"cuda layer {name} T={SUBSTEPS} training {size(shape)}",
        "gradients of the input and of all weights",
        against_cudnn(f"SpikingRNN(substeps={SUBSTEPS})", ours, shape, DTYPES[name], peers),
        partial(check_layer, shape[2]),
        SHARE,
        device=DEVICE,
    )


def feedback_benchmark(shape: Sizes, peers: Sequence[str]) -> Benchmark:
    """A training step of one layer that hears itself, T = 1, against cuDNN's."""
    ours = SpikingRNN(shape[2], shape[2], substeps=1, recurrent=True)
    return Benchmark(
        f"cuda recurrent T=1 training {size(shape)}",
        "float32, gradients of the input and of all weights",
        against_cudnn("SpikingRNN(recurrent=True)", ours, shape, torch.float32, peers),
        partial(check_feedback, shape[2]),
        SHARE,
        device=DEVICE,
    )


def against_cudnn(
    note: str, ours: nn.Module, shape: Sizes, dtype: torch.dtype, peers: Sequence[str]
) -> tuple[Contender, ...]:
    layers = {"spikeseq": (ours, note)}
    for peer in peers:
        kind = RNN_PEERS[peer]
        layers[peer] = (kind(shape[2], shape[2]), f"nn.{kind.__name__}, cuDNN")
    for layer, _ in layers.values():
        layer.to(DEVICE, dtype)
        if isinstance(layer, nn.RNNBase):
            layer.flatten_parameters()  # or cuDNN copies them at every call
    return tuple(
        Contender(name, note, step_of(layer, shape, dtype)) for name, (layer, note) in layers.items()
    )


def step_of(layer: nn.Module, shape: Sizes, dtype: torch.dtype) -> Callable[[], Step]:
    return lambda: layer_step(layer, draw(shape, dtype, 1.0, 3), draw(shape, dtype, 1.0, 4))


@torch.no_grad()
def check_layer(width: int) -> None:
    """The layer on the GPU against the same one on the CPU, in float64, where no spike may differ."""
    layer = SpikingRNN(width, width, substeps=SUBSTEPS, dtype=torch.float64)
    check_against_cpu("SpikingRNN", layer, width)


@torch.no_grad()
def check_feedback(width: int) -> None:
    """The layer with feedback likewise."""
    layer = SpikingRNN(width, width, substeps=1, recurrent=True, dtype=torch.float64)
    check_against_cpu("feedback", layer, width)


def check_against_cpu(what: str, layer: nn.Module, width: int) -> None:
    x = torch.randn(12, 3, width, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    expected, _ = layer(x)
    found = layer.to(DEVICE)(x.to(DEVICE))[0].cpu()
    if not torch.allclose(found, expected, rtol=1e-9, atol=1e-9):
        refuse(f"{what} on CUDA", f"it is off by {float((found - expected).abs().max()):.2g}")
