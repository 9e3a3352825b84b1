"""Training without labels: images one after the other, pruning between parts, and what the log says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq import stdp
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import State
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit
from spikeseq.recipes.shared.parts import PIECE, PartTask, percent, spread
from spikeseq.recipes.shared.pictures import save_weights
from spikeseq.recipes.stdp.model import ANSWERING, LABELLING, DigitNetwork
from spikeseq.stdp.rules import Rule


@dataclass
class DigitTask(PartTask):
    """A network on images.

    rule, thresholds: that it learns by when so much of the training is done, in [0, 1]. prune, train,
    evaluate: the sections of the settings.
    """

    model: DigitNetwork
    corpus: ImageData
    rule: Callable[[float], Rule]
    thresholds: Callable[[float], dict[str, float]]
    prune: Any
    train: Any
    evaluate: Any
    seed: int

    def __post_init__(self) -> None:
        if self.prune.when == "during" and "train" in self.corpus.splits:
            images = self.train.epochs * len(self.corpus.splits["train"])
            if self.prune.first > images:
                raise ValueError(f"prune.first={self.prune.first} is not reached: {images} images are shown")

    def _begin(self) -> None:
        if self.prune.when == "before":
            weight = self.model.network.get_parameter("weight0")
            draws = torch.Generator().manual_seed(self.seed)
            self.model.network.prune(stdp.at_random(weight, self.prune.share, draws))
            # Sums are restored where a neuron fires: without this, none would that has not fired yet.
            if total := self.model.network.plan.ensembles[0].sum:
                weight.mul_(total / weight.sum(0))

    def _part(self, number: int, epoch: int, start: int, progress: Progress) -> dict[str, Any]:
        """Learns from some images. For the log, the counts of meanwhile label the neurons."""
        split, rows, network = self.corpus.splits["train"], self.rows(epoch, start), self.model.network
        self._follow(number / max(1, len(self.parts()) - 1))
        started, shown = time.perf_counter(), []
        for piece in rows.split(PIECE):
            network.train()
            shown.append(network(self.model.rates(split.pixels[piece]), batch=self.train.batch_size))
            progress.step(float(shown[-1].counts.sum()) / len(piece), "spikes an image")
        counts, times, inputs = map(torch.cat, zip(*shown, strict=True))
        last = number == len(self.parts()) - 1
        self._compress(network, last)
        trained = time.perf_counter() - started
        accuracy = self._quick(counts, split.labels[rows])
        repeats, spikes = float(times.double().mean()) - 1, float(counts.sum(1).double().mean())
        speed = round(len(rows) / trained)
        return {
            "epoch": number + 1,
            "what": "part",
            "images": int(network.seen),
            "loss": repeats,
            "loss_is": "times shown again, per image",
            "spikes": round(spikes, 2),
            "input_spikes": round(float(inputs.double().mean()), 1),
            "connectivity": round(stdp.connectivity(network.get_parameter("weight0")), 4),
            "validation": {"score": accuracy, "accuracy": accuracy},
            "seconds": round(trained, 2),
            "validation_seconds": round(time.perf_counter() - started - trained, 2),
            "images_per_second": speed,
            "shown": f"{spikes:.1f} spikes, {repeats:.2f} repeats, {speed:,} images/s",
        }

    def _follow(self, done: float) -> None:
        found = self.thresholds(done)
        step, time_constant = found["threshold_step"], found["threshold_time"]
        self.model.network.follow(self.rule(done), threshold_step=step, threshold_time=time_constant)

    def _picture(self, folder: Path) -> None:
        save_weights(
            folder / "weights.png", self.model.network.get_parameter("weight0"), self.corpus.shape[2]
        )

    def _quick(self, counts: Tensor, targets: Tensor) -> float:
        """Accuracy on some validation images, in percent, of neurons labelled by counts while learning."""
        split = self.corpus.splits["validation"]
        rows = spread(len(split), self.evaluate.quick)
        classes = len(self.corpus.classes)
        if len(targets.unique()) < 2:
            return 0.0
        votes = stdp.Votes.fit(counts, targets, classes)
        found = votes.predict(self.model.counts(split.pixels[rows], ANSWERING).counts)
        return 100 * float((found == split.labels[rows]).double().mean())

    def _compress(self, network: stdp.Network, last: bool) -> None:
        """Prunes and quantises after a part, if it is time."""
        p, seen = self.prune, int(network.seen)
        if (p.when == "during" and seen >= p.first) or (p.when == "after" and last):
            weight = network.get_parameter("weight0")
            by_share = p.keep == "share"
            kept = stdp.strongest(weight, p.share) if by_share else stdp.critical(weight, p.threshold)
            if not kept.any():
                most = f"the largest weight is {weight.max():.3f}"
                raise ValueError(f"prune.threshold={p.threshold} prunes everything: {most}")
            if last or not p.regrow:
                network.prune(kept)
            else:
                weight.mul_(kept)
        if p.levels and (last or (p.early and p.when == "during" and seen >= p.first)):
            weight = network.get_parameter("weight0")
            weight.copy_(stdp.shared(weight, p.levels))

    def _finish(self, state: State) -> None:
        """Labels from training images, now that nothing is learnt any more; the whole validation split."""
        split = self.corpus.splits["train"]
        self._follow(min(1.0, len(self.parts()) - 1))  # which a run that was cut off here has to do again
        if self.prune.when in ("during", "after") or self.prune.levels:
            for piece in torch.tensor(self.order(-2))[: self.prune.settle].split(PIECE):
                self.model.network.settle(self.model.rates(split.pixels[piece]))
        rows = self.labelled()
        counts = self.model.counts(split.pixels[rows], LABELLING).counts
        self.model.learn_classes(counts, split.labels[rows], self.evaluate.penalty)
        found, _, _ = self.accuracies("validation")
        state.history[-1]["validation"] = {"score": found["accuracy"], **found}

    def accuracies(self, split: str) -> tuple[dict[str, float], stdp.Shown, Tensor]:
        """Of both readouts, in percent, `accuracy` being that of the settings; the spikes; the answers."""
        images: ImageSplit = self.corpus.splits[split]
        shown = self.model.counts(images.pixels, ANSWERING)
        answers = {name: self.model.scores(shown.counts, name).argmax(1) for name in ("vote", "linear")}
        found = {name: percent(answer, images.labels) for name, answer in answers.items()}
        chosen = self.model.readout
        return {"accuracy": found[chosen], **found}, shown, answers[chosen]
