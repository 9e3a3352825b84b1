"""Examples shown to a network of ensembles that learn by spike timing."""

from collections.abc import Sequence

import torch
from torch import Tensor

from . import library

library.define(
    "stdp_present(Tensor(a!)[] weights, Tensor[] possible, Tensor(b!)[] thetas, Tensor[] rates, Tensor(c!)[] counts,"
    " Tensor(d!) shown, float[] constants, int[] whole, int first, int batch) -> ()"
)


def present(weights, possible, thetas, rates, constants, whole, first, batch):
    examples = rates[0].shape[0]
    counts = [theta.new_zeros((examples, *theta.shape), dtype=torch.int32) for theta in thetas]
    shown = torch.zeros((examples, 2), dtype=torch.int64)
    torch.ops.spikeseq.stdp_present(weights, possible, thetas, rates, counts, shown, constants, whole, first, batch)
    return counts, shown
