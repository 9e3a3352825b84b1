"""One small example, or a few, of every public module and model: what matrix tests run over."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq import models
from spikeseq import nn as spiking
from spikeseq.checks import only_shapes
from spikeseq.models import backbones, build_classifier, gesture, seq2seq
from spikeseq.models.backbones import PlainNet, ResNet
from spikeseq.nn import (
    LIF,
    AdditiveAttention,
    CausalConv1d,
    ConvBlock,
    DotAttention,
    Integrator,
    LIFCell,
    NormalisedLIF,
    NormalisedReLU,
    ReLUConvBlock,
    SequenceDropout,
    SpikingActivation,
    SpikingConvBlock,
    SpikingNetwork,
    SpikingRNN,
    SpikingRNNCell,
    StepBatchNorm,
    TimedDropout,
    TokenConv1d,
)  # fmt: skip

LENGTHS = (5, 2, 4)
ABSTRACT = {"Seq2Seq"}


@dataclass(frozen=True)
class Row:
    """How a module is made and called.

    Args:
        kind: the class, or the name of the function that makes it.
        make: the module.
        shape: of the real-valued input, or of ids.
        call: (module, input, lengths) to whatever it returns; default `module(input)`.
        ids: a vocabulary, if the input is ids.
        ragged: it takes lengths, along dimension 0 of the input.
    """

    kind: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    call: Callable[[nn.Module, Tensor, Tensor], Any] = lambda module, x, lengths: module(x)
    ids: int = 0
    ragged: bool = False

    def inputs(self) -> tuple[Tensor, Tensor]:
        """The same at every call: the input in float32, or ids padded with 0; and lengths."""
        source = torch.Generator().manual_seed(1)
        lengths = torch.tensor(LENGTHS, device="cpu")
        if not self.ids:
            return torch.randn(self.shape, generator=source, device="cpu") * 2, lengths
        ids = torch.randint(4, self.ids, self.shape, generator=source, device="cpu")
        return ids * (torch.arange(len(ids), device="cpu").unsqueeze(1) < lengths), lengths


def ragged(kind: str, make: Callable[[], nn.Module], shape: tuple[int, ...] = (5, 3, 4)) -> Row:
    return Row(kind, make, shape, lambda module, x, lengths: module(x, lengths=lengths), ragged=True)


def network(*parts: nn.Module) -> SpikingNetwork:
    return SpikingNetwork(nn.Sequential(*parts), substeps=3)


def attend(module: Any, x: Tensor, lengths: Tensor) -> Any:
    return module(x[:2], module.prepare(x, lengths=lengths), lengths)


def block() -> ConvBlock:
    return ConvBlock(NormalisedLIF(4, substeps=2), TokenConv1d(4, 4, causal=True), 0.2, True)


def classifier(name: str, **options: Any) -> Row:
    def make() -> nn.Module:
        shape = {} if name == "bow" else {"embedding_size": 4, "hidden_size": 4, **options}
        return build_classifier({"name": name, **shape}, 9, 2)

    kind = {"snn": "SpikingClassifier", "bow": "BagOfWords"}.get(name, "RecurrentClassifier")
    return Row(kind, make, (5, 3), lambda module, x, lengths: module(x, lengths), ids=9, ragged=True)


def translator(name: str, **options: Any) -> Row:
    convolutional = name.startswith("conv")
    shape = {"channels": 4, "layers": 2} if convolutional else {"hidden_size": 4, "embedding_size": 4}

    def make() -> nn.Module:
        return seq2seq.build_seq2seq({"name": name, **shape, "substeps": 2, **options}, 9, 9)

    def call(module: Any, x: Tensor, lengths: Tensor) -> Any:
        if only_shapes(x):  # how many rows count is not known there
            return module(x, lengths, x)
        return module(x, lengths, x.clamp(max=8), lengths)

    return Row("ConvSeq2Seq" if convolutional else "RecurrentSeq2Seq", make, (5, 3), call, ids=9, ragged=True)


def images(kind: str, name: str, **options: Any) -> Row:
    def make() -> nn.Module:
        return backbones.build_backbone(name, size=8, width=0.05, substeps=3, **options)

    return Row(kind, make, (3, 3, 8, 8))


def gestures(kind: str, name: str, **options: Any) -> Row:
    def make() -> nn.Module:
        return gesture.build_gesture_network(
            name, size=8, widths=(3, 4), hidden=4, kernel=3, substeps=2, **options
        )

    return Row(kind, make, (2, 3, 2, 8, 8))


ROWS = {
    "LIF": ragged("LIF", lambda: LIF(substeps=2)),
    "LIF hard": ragged("LIF", lambda: LIF(4, reset="hard", learn_leak=False, leak=[0.1, 0.2, 0.3, 0.4])),
    "LIFCell": Row("LIFCell", lambda: LIFCell(substeps=2), (3, 4)),
    "Integrator": ragged("Integrator", lambda: Integrator(2)),
    "NormalisedLIF": ragged("NormalisedLIF", lambda: NormalisedLIF(4, substeps=2), (5, 1, 3, 4)),
    "NormalisedLIF batch": ragged(
        "NormalisedLIF", lambda: NormalisedLIF(4, substeps=2, norm="batch", persist=True), (5, 2, 3, 4)
    ),
    "NormalisedReLU": ragged("NormalisedReLU", lambda: NormalisedReLU(4), (5, 1, 3, 4)),
    "NormalisedReLU batch": ragged(
        "NormalisedReLU", lambda: NormalisedReLU(4, norm="batch"), (5, 1, 3, 4)
    ),
    "TokenConv1d": Row("TokenConv1d", lambda: TokenConv1d(4, 3, causal=False), (5, 3, 4)),
    "CausalConv1d": Row("CausalConv1d", lambda: CausalConv1d(4, 3), (5, 3, 4)),
    "ConvBlock": ragged("ConvBlock", block, (5, 2, 3, 4)),
    "SpikingConvBlock": ragged(
        "SpikingConvBlock", lambda: SpikingConvBlock(4, substeps=2, causal=False, dropout=0.2), (5, 1, 3, 4)
    ),
    "SpikingConvBlock stream": ragged(
        "SpikingConvBlock", lambda: SpikingConvBlock(4, substeps=2, stream=True, norm="none"), (5, 2, 3, 4)
    ),
    "SpikingConvBlock batch": ragged(
        "SpikingConvBlock", lambda: SpikingConvBlock(4, substeps=2, norm="batch"), (5, 2, 3, 4)
    ),
    "ReLUConvBlock": ragged("ReLUConvBlock", lambda: ReLUConvBlock(4), (5, 1, 3, 4)),
    "AdditiveAttention": Row(
        "AdditiveAttention", lambda: AdditiveAttention(4, 4, 3), (5, 3, 4), attend, ragged=True
    ),
    "DotAttention": Row("DotAttention", lambda: DotAttention(4, 4, 3), (5, 3, 4), attend, ragged=True),
    "SequenceDropout": Row("SequenceDropout", lambda: SequenceDropout(0.3), (5, 3, 4)),
    "TimedDropout": Row("TimedDropout", lambda: TimedDropout(0.3), (3, 4)),
    "StepBatchNorm": Row("StepBatchNorm", lambda: StepBatchNorm(4, 2), (3, 4)),
    "SpikingActivation": Row(
        "SpikingActivation", lambda: network(nn.Linear(4, 5), SpikingActivation(), nn.Linear(5, 2)), (3, 4)
    ),
    "SpikingNetwork": Row(
        "SpikingNetwork",
        lambda: network(
            nn.Linear(4, 5), nn.BatchNorm1d(5), SpikingActivation(initial=0.5), TimedDropout(0.2),
            nn.Linear(5, 4), StepBatchNorm(4, 2), SpikingActivation(), nn.Linear(4, 2),
        ),
        (3, 4),
    ),
    "SpikingRNN": ragged("SpikingRNN", lambda: SpikingRNN(4, 5, 2)),
    "SpikingRNN wide": ragged(
        "SpikingRNN", lambda: SpikingRNN(4, 5, 2, bidirectional=True, norm="layer", per_channel=True)
    ),
    "SpikingRNN feedback": ragged(
        "SpikingRNN", lambda: SpikingRNN(4, 5, recurrent=True, readout="rate", dropout=0.0)
    ),
    "SpikingRNN recompute": ragged(
        "SpikingRNN", lambda: SpikingRNN(4, 5, 2, recompute=True, readout="spikes", dropout=0.3)
    ),
    "SpikingRNNCell": Row("SpikingRNNCell", lambda: SpikingRNNCell(4, 5, recurrent=True), (3, 4)),
    "SpikingClassifier": classifier("snn", integrators=3),
    "SpikingClassifier context": classifier("snn", integrators=3, kernel_size=3, word_dropout=0.1),
    "SpikingClassifier ngrams": classifier("snn", integrators=3, ngrams=[2], ngram_rows=5),
    "RecurrentClassifier": classifier("lstm"),
    "RecurrentClassifier mean": classifier("gru", pooling="mean"),
    "BagOfWords": classifier("bow"),
    "ConvSeq2Seq": translator("conv-snn-snn"),
    "ConvSeq2Seq stream": translator("conv-snn-ann", norm="batch", stream=True),
    "RecurrentSeq2Seq": translator("attention-snn-snn"),
    "RecurrentSeq2Seq mixed": translator("attention-snn-gru", layers=1),
    "RecurrentSeq2Seq other": translator("attention-lstm-snn", layers=1, tied=False, leak=0.9),
    "RecurrentSeq2Seq vanilla": translator("vanilla-snn-lstm", layers=1, norm="none", accumulate=False),
    "PlainNet": images("PlainNet", "vgg5", activation="spiking", hidden=4, norm="batch-steps"),
    "ResNet": images("ResNet", "resnet8", activation="spiking", norm="batch"),
    "ResNet relu": images("ResNet", "resnet8"),
    "VotingNet": gestures("VotingNet", "snn", leaks=(0.5, 0.9)),
    "RecurrentNet": gestures("RecurrentNet", "gru"),
}  # fmt: skip


def public_modules() -> set[str]:
    """Names of all module classes that the library offers, and of the models behind its builders."""
    found = {PlainNet.__name__, ResNet.__name__}
    for package in (spiking, models, seq2seq, gesture, backbones):
        for name in package.__all__:
            value = getattr(package, name)
            if inspect.isclass(value) and issubclass(value, nn.Module):
                found.add(name)
    return found - ABSTRACT


def tensors_of(value: Any) -> list[Tensor]:
    """All tensors of a nested output, those that have no element left out."""
    if isinstance(value, Tensor):
        return [value] if value.numel() else []
    if isinstance(value, dict):
        value = value.values()
    return [] if value is None or isinstance(value, int) else [t for part in value for t in tensors_of(part)]
