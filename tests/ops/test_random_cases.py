"""Random cases of every layer and op: the native way gives what the plain way gives, outputs and gradients.

SPIKESEQ_CASES says how many of each kind; `make sanitize` asks for thousands, with sanitizers in the kernel.
"""

import os
import random

import pytest
import torch
from torch import Tensor

import spikeseq
from spikeseq.events import compile_events
from spikeseq.functional import READOUTS, RESETS, SURROGATES, ApproximateLIF, SpikeTime
from spikeseq.models.language import SpikingLanguageModel
from spikeseq.nn import (
    LIF,
    CausalConv1d,
    LIFCell,
    NormalisedLIF,
    SpikingConvBlock,
    SpikingRNN,
    SpikingRNNCell,
    TokenConv1d,
)
from spikeseq.ops.dispatch import listening
from spikeseq.ops.events import EVENTS
from spikeseq.stdp import Cross, Ensemble, Network, PairOfTraces, PowerLaw, Presentation, Switching
from spikeseq.stdp.showing import present

CASES = int(os.environ.get("SPIKESEQ_CASES", 30))
WITHOUT_MEMORY = [cls for cls in SURROGATES.values() if cls not in (ApproximateLIF, SpikeTime)]


@pytest.fixture(scope="module", autouse=True)
def native():
    spikeseq.build("cpu")


def always_plain(_op, reason, begun=False):
    return reason or "to compare"


def sizes(r: random.Random, most: int = 9) -> int:
    """Small, empty now and then, and about the width of a vector."""
    return r.choice([0, 1, r.randint(1, most), r.randint(1, most), r.choice([7, 8, 9, 16, 17, 33])])


def neuron(r: random.Random, **fixed) -> dict:
    drawn = {
        "leak": r.choice([0.0, 1.0, r.random()]),
        "threshold": r.choice([0.2, 1.0, 3.0]),
        "reset": r.choice(RESETS),
        "surrogate": r.choice(WITHOUT_MEMORY)(),
        "detach_reset": r.random() < 0.3,
    }
    return drawn | fixed


def leaf(*size: int, dtype: torch.dtype, spread: float = 1.0) -> Tensor:
    return (torch.randn(size, dtype=dtype) * spread).requires_grad_()


def spikes(*size: int, dtype: torch.dtype) -> Tensor:
    return (torch.rand(size) < 0.3).to(dtype)


def lengths(r: random.Random, tokens: int, batch: int) -> Tensor | None:
    return (
        torch.tensor([r.randint(0, tokens) for _ in range(batch)], dtype=torch.int64)
        if r.random() < 0.4
        else None
    )


def stack(r, dtype):
    tokens, batch, wide, hidden = r.randint(1, 7), sizes(r, 4), r.randint(1, 20), r.randint(1, 40)
    recurrent = r.random() < 0.4
    layer = SpikingRNN(
        wide, hidden, r.randint(1, 3), r.random() < 0.7, r.random() < 0.3, bidirectional=r.random() < 0.3,
        substeps=r.randint(1, 5), recurrent=recurrent, readout=r.choice(READOUTS),
        norm=r.choice([None, None, "layer"]), per_channel=r.random() < 0.5, **neuron(r, leak=r.random()),
    ).to(dtype)  # fmt: skip
    shape = (batch, tokens, wide) if layer.batch_first else (tokens, batch, wide)
    x, given = leaf(*shape, dtype=dtype, spread=3.0), lengths(r, tokens, batch)
    _, state = layer(x)
    start = (torch.randn_like(state) / 2).requires_grad_() if r.random() < 0.5 else None
    return [x, start, *layer.parameters()], lambda: layer(x, start, lengths=given)


def one_step(r, dtype):
    cell = SpikingRNNCell(
        r.randint(1, 9), r.randint(1, 40), substeps=r.randint(1, 4), recurrent=r.random() < 0.5,
        readout=r.choice(READOUTS), **neuron(r, leak=r.random()),
    )  # fmt: skip
    cell.to(dtype)
    x = leaf(sizes(r, 4), cell.input_size, dtype=dtype, spread=3.0)
    return [x, *cell.parameters()], lambda: cell(x)


def neurons(r, dtype):
    channels, batch, tokens = r.randint(1, 40), sizes(r), r.randint(1, 9)
    kind = r.choice([LIF, LIFCell])
    surrogate = r.choice(list(SURROGATES.values()))()
    layer = kind(channels, substeps=r.randint(1, 4), **neuron(r, surrogate=surrogate, leak=r.random())).to(
        dtype
    )
    shape = (batch, channels) if kind is LIFCell else (tokens, batch, channels)
    x = leaf(*shape, dtype=dtype, spread=2.0)
    return [x, *layer.parameters()], lambda: layer(x)


def normalised(r, dtype):
    tokens, batch, features, substeps = r.randint(1, 5), r.randint(0, 4), r.randint(1, 33), r.randint(1, 3)
    layer = NormalisedLIF(features, substeps=substeps, persist=r.random() < 0.7, **neuron(r, leak=r.random()))
    layer.to(dtype)
    x, given = (
        leaf(tokens, r.choice([1, substeps]), batch, features, dtype=dtype, spread=2.0),
        lengths(r, tokens, batch),
    )
    return [x, *layer.parameters()], lambda: layer(x, lengths=given)


def conv(r, dtype):
    tokens, batch, wide, out = r.randint(1, 7), r.randint(0, 4), r.randint(1, 9), r.randint(1, 33)
    layer = (
        CausalConv1d(wide, out, r.randint(1, 4))
        if r.random() < 0.5
        else TokenConv1d(wide, out, r.choice([1, 3, 5]), causal=False)
    )
    layer.to(dtype)
    x = spikes(tokens, batch, wide, dtype=dtype).requires_grad_()
    return [x, *layer.parameters()], lambda: layer(x)


def block(r, dtype):
    tokens, batch, channels, substeps = r.randint(1, 6), r.randint(0, 3), r.randint(1, 33), r.randint(1, 3)
    layer = SpikingConvBlock(
        channels, r.choice([1, 3]), causal=r.random() < 0.5, substeps=substeps, residual=r.random() < 0.5,
        **neuron(r, leak=r.random()),
    ).to(dtype)  # fmt: skip
    x, given = (
        leaf(tokens, r.choice([1, substeps]), batch, channels, dtype=dtype, spread=2.0),
        lengths(r, tokens, batch),
    )
    return [x, *layer.parameters()], lambda: layer(x, lengths=given, integrate=True)[0]


def language(r, dtype):
    words, batch = r.randint(1, 30), r.randint(1, 4)
    ngrams = r.choice([[], [2], [2, 3, 5]])
    model = SpikingLanguageModel(
        words, embedding_size=r.randint(1, 20), neurons=r.randint(1, 40), layers=r.randint(1, 3),
        kernel_size=r.randint(1, 4), ngrams=ngrams, ngram_rows=r.randint(1, 9), substeps=r.randint(1, 3),
        reset=r.choice(RESETS),
    ).to(dtype).eval()  # fmt: skip
    stream, text = compile_events(model), torch.randint(0, words, (r.randint(1, 9), batch))
    return [], lambda: stream(text)


def events(r, dtype):
    rows, wide, out, small = sizes(r), sizes(r, 40), sizes(r, 40), r.random() < 0.5
    x = (torch.rand(rows, wide) * r.choice([1, 3])).round().to(dtype)
    weight = (
        torch.randint(-128, 128, (wide, out), dtype=torch.int8)
        if small
        else torch.randn(wide, out, dtype=dtype)
    )
    scale = torch.rand(out, dtype=dtype) if small else None

    def call():
        base = torch.zeros(rows, out, dtype=dtype)
        way = EVENTS.fused if listening.get() is None else EVENTS.plain
        return base, torch.tensor(way(base, x, weight, scale))

    return [], call


def showing(r, _dtype):
    def rule():
        return r.choice([PairOfTraces(rate_before=0.01, rate_behind=0.3), PowerLaw(rate=0.05),
                         Switching(on=0.5, off=0.2)])  # fmt: skip

    learnt, both = r.randint(0, 2), r.random() < 0.5
    ensembles = [
        Ensemble(r.randint(1, 20), r.randint(1, 20), rule(), total=r.choice([0.0, 0.7]))
        for _ in range(1 + both)
    ]
    links = [Cross(0, 1, rule(), share=r.choice([0.3, 1.0]))] if both else []
    show = Presentation(time=r.choice([5.0, 20.0]), rest=r.choice([0.0, 4.0]), repeats=r.randint(0, 2))
    net = Network(ensembles, links, presentation=show, seed=r.randint(0, 99))
    rates = [torch.rand(r.randint(2, 3), one.inputs) * 400 for one in ensembles]
    rates = [one[:2] for one in rates]
    first = net.learnt()

    def call():
        shown, after = present(net.plan, first, net._rates(rates), batch=learnt)
        return [*shown, *after.weights, *after.thetas]

    return [], call


KINDS = [stack, one_step, neurons, normalised, conv, block, language, events, showing]


def tensors(found) -> list[Tensor]:
    if isinstance(found, Tensor):
        return [found]
    if isinstance(found, list | tuple):
        return [t for one in found for t in tensors(one)]
    return []


def run(leaves, call) -> list[Tensor]:
    """Outputs, and gradients of whatever asks for one."""
    found = tensors(call())
    asked = [t for t in leaves if t is not None and t.requires_grad]
    graded = [t for t in found if t.requires_grad]
    if not asked or not graded:
        return found
    torch.manual_seed(1)
    grads = torch.autograd.grad(
        graded, asked, [torch.randn(t.shape, dtype=t.dtype) for t in graded], allow_unused=True
    )
    return [t.detach() for t in found] + [g for g in grads if g is not None]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_native_is_plain(kind):
    for seed in range(CASES):
        r = random.Random(f"{kind.__name__} {seed}")
        torch.manual_seed(seed)
        leaves, call = kind(r, torch.float64)
        fused = run(leaves, call)
        token = listening.set(always_plain)
        try:
            plain = run(leaves, call)
        finally:
            listening.reset(token)
        assert len(fused) == len(plain), seed
        for ours, theirs in zip(fused, plain, strict=True):
            torch.testing.assert_close(
                ours, theirs, rtol=1e-8, atol=1e-8, equal_nan=True, msg=lambda m, s=seed: f"case {s}: {m}"
            )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_single_precision_runs(kind):
    """Spikes may differ where membranes round otherwise; that memory is right is for sanitizers to see."""
    for seed in range(CASES, CASES + CASES // 4):
        r = random.Random(f"{kind.__name__} {seed}")
        torch.manual_seed(seed)
        for found in run(*kind(r, torch.float32)):
            assert not found.isnan().any(), seed
