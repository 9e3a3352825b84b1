"""What a report says of a run: read from its folder, and seen in its model on one text."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spikeseq.models.seq2seq.stacks import SpikingStack, spread_leaks
from spikeseq.modules import of_kind
from spikeseq.nn import LIF, LIFCell
from spikeseq.recipes import runs
from spikeseq.recipes.recipe import Picture
from spikeseq.recipes.registry import RECIPES
from spikeseq.recipes.shared.opened import Seen
from spikeseq.spikes import again, handed_on
from spikeseq.watch import Call, Watcher


@dataclass
class Content:
    """One run.

    Args:
        history: a record per epoch. metrics: `metrics.json`.
        before, after: leak and threshold by layer, their means where a layer has one per neuron.
        text: that the model is seen on. seen: what it shows of it.
        spikes: (sub-steps, neurons) by layer. pictures: those of the recipe.
    """

    name: str
    folder: Path
    metrics: dict[str, Any]
    history: list[dict[str, Any]]
    config: Any
    text: str
    before: dict[str, tuple[float, float]] = field(default_factory=dict)
    after: dict[str, tuple[float, float]] = field(default_factory=dict)
    seen: Seen = field(default_factory=Seen)
    pictures: list[Picture] = field(default_factory=list)
    spikes: dict[str, Tensor] = field(default_factory=dict)

    @property
    def rates(self) -> dict[str, float]:
        """Spikes per neuron and token by layer, as measured on the test split."""
        layers = self.metrics["energy"]["layers"]
        return {name: layer["spike_rate"] for name, layer in layers.items() if "spike_rate" in layer}


def read_content(folder: Path, text: str | None) -> Content:
    """All that is to be said of a finished run.

    Raises:
        runs.RunError: the folder is no finished run.
    """
    config, metrics, history = runs.read_config(folder), runs.finished(folder), runs.read_log(folder)
    opened = runs.load(folder)
    text = text or RECIPES[config.recipe].example
    content = Content(folder.name, folder, metrics, history, config, text)
    content.after = leaks_and_thresholds(opened.model)
    if not config.model.get("start"):  # else thresholds came from data
        content.before = starts(opened.model, config)
    with Watch(opened.model) as watch:
        content.seen = opened.see(content.text)
    content.spikes = watch.whole(len(content.seen.tokens))
    content.pictures = list(RECIPES[config.recipe].pictures(opened, metrics))
    return content


def leaks_and_thresholds(model: nn.Module) -> dict[str, tuple[float, float]]:
    return {
        name: (float(module.leak.detach().mean()), float(module.threshold.detach().mean()))
        for name, module in of_kind(model, LIF).items()
    }


def starts(model: nn.Module, config: Any) -> dict[str, tuple[float, float]]:
    """As the configuration starts them: one leak, or leaks spread between two."""
    leak = config.model.get("leaks") or config.model.get("leak")
    threshold = config.model.get("threshold", 1.0)
    found = {}
    for name, module in of_kind(model, LIF).items():
        first = leak
        if leak is not None and not isinstance(leak, int | float):
            first = float(spread_leaks(list(leak), module.leak.numel()).mean())
        found[name] = (0.95 if first is None else float(first), float(threshold))
    return found


class Watch:
    """Keeps the spikes of every neuron while a model runs, whatever its layers hand on."""

    def __init__(self, model: nn.Module) -> None:
        self.seen: dict[str, list[Tensor]] = {}
        self.turned = {  # layers whose second half of neurons reads from the end
            layer: stack.hidden_size
            for stack in of_kind(model, SpikingStack).values()
            if stack.bidirectional
            for layer in stack.layers
        }
        neurons = {  # a cell does not see the text in one call
            name: module for name, module in of_kind(model, LIF).items() if not isinstance(module, LIFCell)
        }
        self.watcher = Watcher(neurons, after=self.see)

    def see(self, call: Call) -> None:
        module: Any = call.module
        out = handed_on(call)
        if out is None:
            out = again(module, call.arguments, "spikes", path=call.name)
        spikes = out[:, 0].flatten(1).detach()
        if module in self.turned:
            forth, back = spikes.split(self.turned[module], 1)
            turned = back.unflatten(0, (-1, module.substeps)).flip(0).flatten(0, 1)
            spikes = torch.cat((forth, turned), 1)
        self.seen.setdefault(call.name, []).append(spikes)

    def whole(self, tokens: int) -> dict[str, Tensor]:
        """Of layers that saw the text in one call, and nothing else: their spikes, (tokens * T, neurons)."""
        once = {name: calls[0] for name, calls in self.seen.items() if len(calls) == 1}
        steps = max((len(spikes) for spikes in once.values()), default=0)
        return {
            n: spikes for n, spikes in once.items() if tokens and len(spikes) == steps and steps % tokens == 0
        }

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, *_: object) -> None:
        self.watcher.close()
