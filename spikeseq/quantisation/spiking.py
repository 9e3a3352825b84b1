"""A spiking text classifier in whole numbers: weights of few bits, membranes of 16, spikes of one."""

from typing import Any

import torch
from torch import Tensor, nn

from ..fold import fold_embeddings
from ..models.sentiment import SpikingClassifier
from ..modules import check_plain
from ..nn import LIF, SpikingRNN
from ..nn.layer import SpikingLayer
from ..ops.reference import alive, spread, update
from .maps import QuantisedBag, QuantisedLinear, QuantisedTable, best_step
from .step import STATE_MOST, STATE_STEP

WAY_OUT = "quantise a model without it"


class FixedPointLIF(LIF):
    """`LIF` for inference whose membranes are whole multiples of 1/2048 of the threshold, of 16 bits.

    Args:
        lif: what it stands for, without `norm_input`. Of thresholds of their own the largest counts.
    """

    def __init__(self, lif: LIF) -> None:
        neuron = lif.neuron()
        leak, threshold = neuron.leak.detach().tolist(), neuron.threshold.detach().tolist()
        own = lif.channels is not None
        super().__init__(
            lif.channels, substeps=lif.substeps, leak=leak if own else leak[0],
            threshold=threshold if own else threshold[0], reset=lif.reset, surrogate=lif.surrogate,
            learn_leak=False, learn_threshold=False,
        )  # fmt: skip

    def forward(  # type: ignore[override]
        self,
        current: Tensor,
        state: Tensor | None = None,
        *,
        leak: None = None,
        lengths: Tensor | None = None,
        substeps: int | None = None,
        readout: str = "spikes",
        window: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """As `LIF`, without a leak for each call; what follows a text's end is zero."""
        if leak is not None:
            raise ValueError("whole-number neurons have the leaks that they were made with")
        steps = self.substeps if substeps is None else substeps
        u = torch.zeros_like(current[0]) if state is None else state
        distance = float(self.threshold.max()) * STATE_STEP
        decay, threshold = spread(self.leak, u), spread(self.threshold, u)
        spike = (u > threshold).to(u.dtype)
        out = u.new_zeros(len(current) * steps, *u.shape)
        for t in range(len(current) * steps):
            new = update(u, spike, current[t // steps], decay, threshold, self.reset)
            new = torch.fake_quantize_per_tensor_affine(new, distance, 0, -STATE_MOST, STATE_MOST)
            mask = alive(t, lengths, u, steps)
            u = new if mask is None else torch.where(mask, new, u)
            spike = (u > threshold).to(u.dtype)
            emitted = u if readout == "membrane" else spike
            out[t] = emitted if mask is None else emitted * mask
        if readout != "spikes":
            windows = out.unflatten(0, (-1, window or steps))
            out = windows.mean(1) if readout == "rate" else windows[:, -1]
        return out, u


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
        layer.lif = FixedPointLIF(layer.lif)
    check_plain("to_integrator", folded.to_integrator, WAY_OUT, nn.Linear)
    folded.to_integrator = QuantisedLinear(folded.to_integrator, bits)
    return folded.eval().requires_grad_(False)  # type: ignore[no-any-return]
