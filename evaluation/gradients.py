"""How large a gradient reaches each layer of neurons: whether it dies out or explodes with depth."""

from torch import Tensor, nn

from spikeseq.nn import SpikingActivation


def gradient_norms(model: nn.Module, images: Tensor, labels: Tensor) -> dict[str, float]:
    """Norm of the loss's gradient by the currents of each layer of neurons (or the input of each ReLU).

    Args:
        model: a classifier, (N, *) to (N, classes), in the mode that it is to be measured in.
        images, labels: (N, *) and (N,), one batch; the loss is the mean cross-entropy.
    Returns:
        By the name of the layer, in the order of the forward pass. Calls of one layer are added.
    Raises:
        ValueError: the model has no such layer.
    """
    seen: dict[str, list[Tensor]] = {}
    hooks = []

    def watch(name: str) -> None:
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            current = args[0]
            if current.requires_grad:
                current.retain_grad()
                seen.setdefault(name, []).append(current)

        hooks.append(model.get_submodule(name).register_forward_pre_hook(hook))

    for name, module in model.named_modules():
        if isinstance(module, SpikingActivation | nn.ReLU):
            watch(name)
    try:
        loss = nn.functional.cross_entropy(model(images).float(), labels)
        if not seen:
            raise ValueError("the model has no SpikingActivation and no nn.ReLU that gradients reach")
        loss.backward()
    finally:
        for handle in hooks:
            handle.remove()
        model.zero_grad(set_to_none=True)
    return {
        name: sum(float(x.grad.double().square().sum()) for x in parts if x.grad is not None) ** 0.5
        for name, parts in seen.items()
    }
