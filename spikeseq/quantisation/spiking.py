"""A spiking text classifier in whole numbers: weights of few bits, membranes of 16, spikes of one."""

from typing import Any

from torch import nn

from ..fold import fold_embeddings
from ..models.sentiment import SpikingClassifier
from ..modules import check_plain
from ..nn import LIF, SpikingRNN
from ..nn.layer import SpikingLayer
from .fixed_point import FixedPointLIF
from .maps import QuantisedBag, QuantisedLinear, QuantisedTable, best_step

WAY_OUT = "quantise a model without it"


def quantise_spiking(model: nn.Module, bits: int) -> nn.Module:
    """A copy of a `SpikingClassifier` for inference in whole numbers, its embedding folded.

    The table and the maps of spikes have weights of `bits` bits, rounded after training, membranes 16; sums
    over a text and the read-out at its end stay in float32.

    Args:
        model: with one word read at a time, and without feedback. bits: 8, 4 or 3.
    Raises:
        TypeError: another model. ValueError: what it has not, or as `fold_embeddings`.
    """
    if not isinstance(model, SpikingClassifier):
        raise TypeError(f"quantise_spiking takes a SpikingClassifier, got {type(model).__name__}")
    if model.context is not None:
        raise ValueError("only words one by one, and n-grams, are read in whole numbers: kernel_size=1")
    folded: Any = fold_embeddings(model)
    check_plain("spiking", folded.spiking, WAY_OUT, SpikingRNN)
    table = folded.embedding.weight
    step = best_step(table, bits)
    folded.embedding = QuantisedTable(table, step, bits)
    if folded.ngrams is not None:  # what is added has the same step
        folded.ngrams.table = QuantisedBag(folded.ngrams.table.weight, step, bits)
    for i, layer in enumerate(folded.spiking.layers):
        path = f"spiking.layers.{i}"
        check_plain(path, layer, WAY_OUT, SpikingLayer)
        check_plain(f"{path}.lif", layer.lif, WAY_OUT, LIF)
        if layer.feedback is not None or layer.lif.norm_input or layer.norm is not None:
            raise ValueError(f"{path}: feedback, a norm and norm_input have no form in whole numbers")
        if i:
            check_plain(f"{path}.input_map", layer.input_map, WAY_OUT, nn.Linear)
            layer.input_map = QuantisedLinear(layer.input_map, bits)
        layer.lif = FixedPointLIF(layer.lif, layer.input_map.step if i else step)
    check_plain("to_integrator", folded.to_integrator, WAY_OUT, nn.Linear)
    folded.to_integrator = QuantisedLinear(folded.to_integrator, bits)
    return folded.eval().requires_grad_(False)  # type: ignore[no-any-return]
