"""How kernels come about: by spike timing without labels, at random, or by backpropagation with labels.

Every learner goes on part by part, bit for bit wherever it was stopped: what it draws depends on the seed and
the part, and what it keeps beside the model is its `state`.
"""

import random
import time
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from spikeseq.recipes.engine import Progress
from spikeseq.recipes.features.model import IMAGES, ConvClassifier
from spikeseq.recipes.resume import check_adam, check_module
from spikeseq.recipes.shared.images.data import ImageSplit
from spikeseq.stdp import conv

PIECE = 500  # patches between two moves of the progress bar
MEASURED = 20_000  # patches that whitening and currents are measured on


class Learner(Protocol):
    """parts: how many there are. what: one is called."""

    parts: int
    what: str

    def start(self) -> None:
        """Makes the model ready, before the first part."""

    def steps(self, part: int) -> int:
        """Moves of the progress bar in a part."""

    def learn(self, part: int, progress: Progress) -> dict[str, Any]:
        """One part; what the log says of it, `loss` among it. The model's kernels are those of now."""

    def state(self) -> dict[str, Any]:
        """What is needed to go on, beside the model."""

    def restore(self, state: dict[str, Any]) -> None: ...


def draws(seed: int, *purpose: object) -> torch.Generator:
    """Random numbers of their own for every purpose."""
    name = " ".join(map(str, (seed, *purpose)))
    return torch.Generator().manual_seed(random.Random(name).getrandbits(63))


class AtRandom:
    """Kernels of the network's first weights: they learn nothing but the whitening."""

    parts = 0
    what = "part"

    def __init__(self, model: ConvClassifier, split: ImageSplit, train: Any, seed: int) -> None:
        self.model, self.split, self.train, self.seed = model, split, train, seed

    def start(self) -> None:
        patches = self.measured()
        mean, matrix = conv.Whitening.fit(conv.normalised(patches), self.model.settings.noise)
        self.model.mean.copy_(mean)
        self.model.matrix.copy_(matrix)
        self.first(patches)

    def first(self, patches: Tensor) -> None:
        """The first kernels."""
        self.model.adopt(patches)

    def measured(self) -> Tensor:
        return self.patches(MEASURED, "measured")

    def patches(self, count: int, *purpose: object) -> Tensor:
        side = self.model.settings.side
        return conv.patches(self.split.pixels, side, count, draws(self.seed, *purpose))

    def steps(self, part: int) -> int:
        return 0

    def learn(self, part: int, progress: Progress) -> dict[str, Any]:
        raise AssertionError("kernels at random have no parts")

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


class BySpikes(AtRandom):
    """Patches are shown to the network, one after the other; the labels of their images are not looked at."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.parts = -(-self.train.patches // self.train.part)

    def count(self, part: int) -> int:
        return min(self.train.part, self.train.patches - part * self.train.part)

    def steps(self, part: int) -> int:
        return -(-self.count(part) // PIECE)

    def learn(self, part: int, progress: Progress) -> dict[str, Any]:
        network = self.model.network
        assert network is not None
        network.train()
        started, shown = time.perf_counter(), []
        for piece in self.patches(self.count(part), "shown", part).split(PIECE):
            shown.append(network(self.model.inputs(piece)))
            progress.step(float(shown[-1].counts.sum()) / len(piece), "spikes a patch")
        speed = round(self.count(part) / (time.perf_counter() - started))
        self.model.adopt(self.measured())
        counts, times, inputs = map(torch.cat, zip(*shown, strict=True))
        repeats, spikes = float(times.double().mean()) - 1, float(counts.sum(1).double().mean())
        return {
            "patches": int(network.seen),
            "loss": repeats,
            "loss_is": "times shown again, per patch",
            "spikes": round(spikes, 2),
            "winners": round(float((counts > 0).sum(1).double().mean()), 2),
            "input_spikes": round(float(inputs.double().mean()), 1),
            "used": round(float((counts.sum(0) > 0).double().mean()), 3),
            "patches_per_second": speed,
            "shown": f"{spikes:.1f} spikes, {repeats:.2f} repeats, {speed:,} patches/s",
        }


class ByGradients(AtRandom):
    """The same layer trained with labels: a part is a pass over the images.

    Rates are what the neurons' rates tend to with many sub-steps, the drive between 0 and 1, through which
    gradients pass; a linear map above learns with the kernels and is thrown away.
    """

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.parts, self.what = self.train.epochs, "epoch"
        features, classes = len(self.model.weight) - 1, self.model.weight.shape[1]
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.readout = nn.Linear(features, classes)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)
        self.optimizer = torch.optim.AdamW(
            [self.model.kernel, *self.readout.parameters()],
            lr=self.train.learning_rate,
            weight_decay=self.train.weight_decay,
        )

    def first(self, patches: Tensor) -> None:
        made = torch.randn(self.model.kernel.shape, generator=draws(self.seed, "kernels"))
        self.model.scale(made, patches)

    def steps(self, part: int) -> int:
        return -(-len(self.split) // self.train.batch_size)

    def learn(self, part: int, progress: Progress) -> dict[str, Any]:
        s, total = self.model.settings, 0.0
        rows = torch.randperm(len(self.split), generator=draws(self.seed, "pass", part))
        batches = [
            batch for batch in rows.split(self.train.batch_size) if len(batch) > 1
        ]  # a batch norm's least
        for number, batch in enumerate(batches):
            done = (part * len(batches) + number) / (self.parts * len(batches))
            for group in self.optimizer.param_groups:
                group["lr"] = self.train.learning_rate * (1 - done)
            rates = [
                conv.pooled(((self.model.currents(some) - s.cut) * s.gain).clamp(0.0, 1.0), s.pool)
                for some in self.split.pixels[batch].split(IMAGES)
            ]
            loss = cross_entropy(self.readout(self.norm(torch.cat(rates))), self.split.labels[batch])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total += loss.item() * len(batch)
            progress.step(loss.item(), "loss")
        return {"loss": total / max(1, sum(map(len, batches)))}

    def state(self) -> dict[str, Any]:
        parts = (self.norm, self.readout, self.optimizer)
        return {type(part).__name__: part.state_dict() for part in parts}

    def restore(self, state: dict[str, Any]) -> None:
        check_adam(state["AdamW"], self.optimizer, "AdamW")
        for module in (self.norm, self.readout):
            check_module(state[type(module).__name__], module, type(module).__name__)
        for part in (self.norm, self.readout, self.optimizer):
            part.load_state_dict(state[type(part).__name__])


def learner(name: str, *given: Any) -> Learner:
    """The one of a model's name."""
    return {"random": AtRandom, "backprop": ByGradients}.get(name, BySpikes)(*given)
