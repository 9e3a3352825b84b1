"""`torch.compile(dynamic=True)`: another batch and length compiles nothing anew."""

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves
from zoo import ROWS

import spikeseq
from spikeseq.models.language import SpikingLanguageModel


def swapped():
    model = nn.Sequential(nn.Linear(4, 6), spikeseq.swap(nn.LSTM(6, 5, 2, bidirectional=True)))
    return model, lambda length, batch: (torch.randn(length, batch, 4, dtype=torch.float64),)


def language():
    return SpikingLanguageModel(9, embedding_size=4, neurons=6, layers=2), lambda length, batch: (
        torch.randint(9, (batch, length)),
    )


def translator():
    def inputs(length, batch):
        tokens, lengths = torch.randint(4, 9, (length, batch)), torch.full((batch,), length)
        return tokens, lengths, tokens, lengths

    return ROWS["ConvSeq2Seq"].make(), inputs


def images():
    return ROWS["SpikingNetwork"].make(), lambda length, batch: (torch.randn(batch, 4, dtype=torch.float64),)


# What keeps its time in a ContextVar, which torch cannot trace, is compiled in parts; torch 2.14 compiles
# these anew for another batch.
@pytest.mark.parametrize(
    "make, whole", [(swapped, True), (language, True), (translator, True), (images, False)]
)
def test_other_sizes_give_the_same_and_compile_nothing_anew(make, whole):
    torch.manual_seed(0)
    model, inputs = make()
    model = model.double().eval()
    graphs = []

    def counted(graph, _inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(model, backend=counted, dynamic=True, fullgraph=whole)
    for size in ((5, 3), (4, 2), (17, 5), (6, 4)):
        given = inputs(*size)
        for a, b in zip(tree_leaves(compiled(*given)), tree_leaves(model(*given)), strict=True):
            if a is None and b is None:  # a part without a state
                continue
            assert torch.allclose(a, b)
    assert len(graphs) == 1 or not whole
