"""torch.export and torch.compile with lengths and batches that are not fixed (cases 3.10, 4.13)."""

import pytest
import torch
from torch import nn
from torch.export import Dim, export
from torch.utils._pytree import tree_leaves
from zoo import ROWS

# Before 2.13, torch.export fixes the batch of these by a guard on strides, and says so.
FIXED = {"SpikingRNN wide", "SpikingConvBlock stream"} if torch.__version__ < "2.13" else set()
SIZES = [(1, 1), (2, 3), (17, 2), (4, 5)]  # across the 16 sub-steps between saved membranes, and one of each
BY_TOKENS = [
    "LIF", "Integrator", "SpikingRNN", "SpikingRNN wide", "SpikingRNN recompute", "TokenConv1d",
    "CausalConv1d", "SpikingConvBlock", "SpikingConvBlock stream", "SpikingClassifier context",
]  # fmt: skip


class Called(nn.Module):
    """A row of the zoo as a module of one signature."""

    def __init__(self, row):
        super().__init__()
        torch.manual_seed(0)
        self.row, self.model = row, row.make().double().eval()

    def forward(self, x, lengths):
        return self.row.call(self.model, x, lengths)

    def inputs(self, length, batch):
        """Of that size, with a sequence of every length in turn."""
        shape = (length, *self.row.shape[1:])
        lengths = torch.arange(batch) * 3 % (length + 1)
        if self.row.ids:
            return torch.randint(1, self.row.ids, (length, batch)), lengths
        return torch.randn(*shape[:-2], batch, shape[-1], dtype=torch.float64) * 2, lengths


def same(found, expected):
    for a, b in zip(tree_leaves(found), tree_leaves(expected), strict=True):
        assert (a is None and b is None) or torch.allclose(a, b), (a, b)


def exported(module):
    length, batch = Dim("length"), Dim("batch")
    at = 1 if module.row.ids else len(module.row.shape) - 2
    return export(module, module.inputs(5, 3), dynamic_shapes=({0: length, at: batch}, {0: batch}))


@pytest.mark.parametrize("name", BY_TOKENS)
def test_any_length_and_batch_of_an_exported_program(name):
    module = Called(ROWS[name])
    if name in FIXED:
        with pytest.raises(Exception, match="Constraints violated"):
            exported(module)
        return
    program = exported(module).module()
    for size in SIZES:
        inputs = module.inputs(*size)
        same(program(*inputs), module(*inputs))


def test_any_batch_of_an_exported_cell():
    cell = Called(ROWS["SpikingRNNCell"])
    x = torch.randn(3, 4, dtype=torch.float64)
    program = export(cell.model, (x,), dynamic_shapes=({0: Dim("batch")}, None)[:1]).module()
    for batch in (1, 2, 7):
        x = torch.randn(batch, 4, dtype=torch.float64)
        same(program(x), cell.model(x))


def test_what_goes_step_by_step_is_refused_with_a_dynamic_length():
    with pytest.raises(Exception, match=r"specialized|Constraints violated|not all values"):
        exported(Called(ROWS["SpikingRNN feedback"]))


@pytest.mark.parametrize("name", ["SpikingRNN wide", "SpikingConvBlock", "SpikingClassifier context"])
def test_compiled_once_for_all_lengths(name):
    graphs = []

    def counted(graph, _inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    module = Called(ROWS[name])
    compiled = torch.compile(module, backend=counted, dynamic=True, fullgraph=True)
    for size in ((5, 3), (2, 4), (17, 2)):
        inputs = module.inputs(*size)
        same(compiled(*inputs), module(*inputs))
    assert len(graphs) == 1
