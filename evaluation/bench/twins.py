"""Training steps of spiking networks against the same networks with ReLU, and of other spiking libraries.

The image network is VGG6 with hidden layers of 512, T = 5, without normalisation; the other the convolutional
encoder-decoder of the recipe `multi30k`, T = 3. Of this one the memory of a step is measured, too: each
network in a process of its own, as a library that has grown once does not shrink.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.evaluation.bench.agreement import refuse
from spikeseq.evaluation.bench.timing import Benchmark, Contender, Step
from spikeseq.models.backbones import PLAIN, build_backbone
from spikeseq.models.seq2seq import SPECIALS, build_seq2seq
from spikeseq.ops.conv import CONV
from spikeseq.ops.dispatch import dispatch

PEERS = ("relu", "spikingjelly")
RELU, OTHER = PEERS
SUBSTEPS = {"vgg6": 5, "conv": 3}
DROPOUT, CLASSES, SIDE = 0.2, 10, 32
VOCABULARY = 6000
MEMORY = "peak_of_twin"  # the fact that a goal is about

Sizes = tuple[int, int, int, int, int]
"""Images of a batch, width of hidden layers, tokens of a sentence, sentences of a batch, channels."""


def twin_benchmarks(size: Sizes, peers: Sequence[str]) -> Iterator[Benchmark]:
    """VGG6 against its twin and SpikingJelly's layers; the encoder-decoder against its twin."""
    images, hidden, tokens, sentences, channels = size
    notes = {
        "spikeseq": "LIF neurons",
        RELU: "ReLU, one pass",
        OTHER: "layers and ParametricLIFNode, direct coding",
    }
    makers = {"spikeseq": partial(vgg6, hidden, "spiking"), RELU: partial(vgg6, hidden, "relu")}
    makers[OTHER] = partial(spikingjelly, hidden)
    yield Benchmark(
        f"twins vgg6 {images}x{hidden} T={SUBSTEPS['vgg6']}",
        "a training step; start weights, random images",
        tuple(
            Contender(name, notes[name], partial(image_step, make, images))
            for name, make in makers.items()
            if name == "spikeseq" or name in peers
        ),
        check_convolution,
    )
    if RELU not in peers:
        return
    work = tokens, sentences, channels
    peak, of_twin = (usual_peak(name, *work) for name in ("snn", "ann"))
    facts: dict[str, Any] = {}
    told = ""
    if peak and of_twin:
        facts = {"peak": peak, MEMORY: peak / of_twin}
        told = f"; a step's memory is {peak / 1e6:.0f} MB at its peak, and {of_twin / 1e6:.0f} MB"
    yield Benchmark(
        f"twins conv {tokens}x{sentences}x{channels} T={SUBSTEPS['conv']}",
        f"conv-snn-snn and conv-ann-ann, a training step, vocabulary {VOCABULARY}{told}",
        (
            Contender("spikeseq", "conv-snn-snn", partial(translation_step, "snn", *work), facts),
            Contender(RELU, "conv-ann-ann", partial(translation_step, "ann", *work)),
        ),
        lambda: None,  # what `translate` checks
    )


def step_of(model: nn.Module, given: Sequence[Tensor], targets: Tensor) -> Step:
    """Forward, and backward to new gradients of all weights."""
    leaves = tuple(model.parameters())

    def forward(_: Any) -> Tensor:
        return nn.functional.cross_entropy(model(*given).flatten(0, -2), targets.flatten())

    return ("forward", forward), (
        "backward",
        lambda loss: torch.autograd.grad(loss, leaves, allow_unused=True),
    )


def vgg6(hidden: int, activation: str) -> nn.Module:
    """The backbone, in training, with its weights in the order of the recipes, which is faster for both."""
    torch.manual_seed(0)
    options: dict[str, Any] = {"substeps": SUBSTEPS["vgg6"]} if activation == "spiking" else {}
    made = build_backbone("vgg6", activation=activation, hidden=hidden, dropout=DROPOUT, **options).train()
    return made.to(memory_format=torch.channels_last)  # type: ignore[no-any-return, call-overload]


def image_step(make: Any, images: int) -> Step:
    random = torch.Generator().manual_seed(1)
    x = torch.randn(images, 3, SIDE, SIDE, generator=random)
    return step_of(make(), (x,), torch.randint(CLASSES, (images,), generator=random))


def spikingjelly(hidden: int) -> nn.Module:
    """VGG6 of SpikingJelly's layers: a dropout mask for all sub-steps, the first map once, logits summed."""
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    def node() -> nn.Module:
        return neuron.ParametricLIFNode(  # type: ignore[no-any-return]
            init_tau=20.0, decay_input=False, v_reset=None, surrogate_function=surrogate.ATan(), step_mode="m"
        )

    plan, linears = PLAIN["vgg6"]
    first, *rest = plan
    layers: list[nn.Module] = [node()]
    channels, side = first, SIDE
    for place, width in enumerate(rest):
        if width == 0:
            layers.append(layer.AvgPool2d(2, step_mode="m"))
            side //= 2
            continue
        layers += [layer.Conv2d(channels, width, 3, padding=1, bias=False, step_mode="m"), node()]
        if rest[place + 1 : place + 2] != [0]:
            layers.append(layer.Dropout(DROPOUT, step_mode="m"))
        channels = width
    layers.append(layer.Flatten(step_mode="m"))
    features = channels * side * side
    for _ in linears:
        layers += [layer.Linear(features, hidden, bias=False, step_mode="m"), node()]
        layers.append(layer.Dropout(DROPOUT, step_mode="m"))
        features = hidden
    layers.append(layer.Linear(features, CLASSES, bias=False, step_mode="m"))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, first, 3, padding=1, bias=False)
            self.rest = nn.Sequential(*layers)

        def forward(self, x: Tensor) -> Tensor:
            functional.reset_net(self)
            current = self.first(x).unsqueeze(0).expand(SUBSTEPS["vgg6"], -1, -1, -1, -1)
            return self.rest(current).sum(0)  # type: ignore[no-any-return]

    torch.manual_seed(0)
    return Net().train()


def translation_step(sides: str, tokens: int, sentences: int, channels: int) -> Step:
    """A step of the encoder-decoder on random sentences of one length."""
    torch.manual_seed(0)
    options = {"substeps": SUBSTEPS["conv"]} if sides == "snn" else {}
    name = f"conv-{sides}-{sides}"
    model = build_seq2seq({"name": name, "channels": channels, **options}, VOCABULARY, VOCABULARY).train()
    random = torch.Generator().manual_seed(1)
    source, target = (
        torch.randint(len(SPECIALS), VOCABULARY, (tokens, sentences), generator=random) for _ in range(2)
    )
    lengths = torch.full((sentences,), tokens)
    return step_of(model, (source, lengths, target, lengths), target)


# --- Memory

PROCESSES = 5  # in which the peak is measured
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")  # of Linux


def usual_peak(*work: Any) -> int | None:
    """The median of `peak_of` in some processes, which differ by a fiftieth."""
    peaks = [peak for _ in range(PROCESSES) if (peak := peak_of(*work)) is not None]
    return sorted(peaks)[len(peaks) // 2] if peaks else None


def peak_of(sides: str, *work: int) -> int | None:
    """Bytes that a step has at its peak beyond what stood before it, in a process of its own; None where the
    system does not tell."""
    if not RESET.exists():
        return None
    code = f"from spikeseq.evaluation.bench.twins import tell_peak; tell_peak({sides!r}, *{work!r})"
    # Else the C library keeps, by chance, a tenth more or less of what was freed.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 18)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["no word"]
        raise RuntimeError(f"the memory of a step of conv-{sides}-{sides} was not measured: {why[0]}")
    return int(json.loads(done.stdout))


def tell_peak(sides: str, *work: int) -> None:
    """What the other process does: a step to warm up, then one that is watched."""
    import ctypes

    step = translation_step(sides, *work)
    run(step)
    torch.ops.spikeseq.release_memory()
    ctypes.CDLL(None).malloc_trim(0)
    RESET.write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    run(step)
    print(json.dumps(resident("VmHWM") - before))


def run(step: Step) -> None:
    """One step, as a training loop makes it: what a phase made is let go when the next one has it."""
    result = None
    for _, phase in step:
        result = phase(result)


def resident(name: str) -> int:
    """Bytes of this process in memory."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(name))
    return 1024 * int(line.split()[1])


@torch.no_grad()
def check_convolution() -> None:
    """The op behind the convolutions against torch's in float64."""
    torch.manual_seed(0)
    x, weight = torch.randn(16, 64, 16, 16), torch.randn(64, 64, 3, 3)
    rest = (None, (1, 1), (1, 1), (1, 1), 1)
    expected = torch.conv2d(x.double(), weight.double(), *rest)
    error = float((dispatch(CONV, x, weight, *rest) - expected).abs().max() / expected.abs().max())
    if not error <= 1e-4:
        refuse("a convolution", f"it is off by {error:.2g} of its largest value")
