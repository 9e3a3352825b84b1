"""How large a gradient reaches each layer of neurons: whether it dies out or explodes with depth."""

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from spikeseq.explain import uncompiled
from spikeseq.modules import of_kind
from spikeseq.nn import SpikingActivation
from spikeseq.watch import Call, Watcher


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Norm of the loss's gradient by the currents of each layer of neurons (or the input of each ReLU).

    Args:
        model: a classifier, (N, *) to (N, classes), in the mode that it is to be measured in.
        images, labels: (N, *) and (N,), one batch; the loss is the mean cross-entropy.
    Returns:
        By the name of the layer, in the order of the forward pass. Calls of one layer are added. Gradients
        that parameters already hold stay.
    Raises:
        ValueError: the model has no such layer.
    """
    seen: list[tuple[str, GradientEdge]] = []  # where currents come from: a ReLU in place overwrites them

    def see(call: Call) -> None:
        if call.input.requires_grad:
            seen.append((call.name, get_gradient_edge(call.input)))

    with Watcher(of_kind(model, SpikingActivation, nn.ReLU), before=see), uncompiled():
        loss = nn.functional.cross_entropy(model(images).float(), labels)
    if not seen:
        raise ValueError("the model has no SpikingActivation and no nn.ReLU that gradients reach")
    found = torch.autograd.grad(loss, [edge for _, edge in seen], allow_unused=True)
    squares = dict.fromkeys((name for name, _ in seen), 0.0)
    for (name, _), gradient in zip(seen, found, strict=True):
        if gradient is not None:
            squares[name] += float(gradient.double().square().sum())
    return {name: square**0.5 for name, square in squares.items()}
