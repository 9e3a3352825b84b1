"""Training without labels on pairs, one after the other, and what the log says."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq import stdp
from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import State
from spikeseq.recipes.multimodal.data import SIZE, PairData
from spikeseq.recipes.multimodal.model import ANSWERING, LABELLING, PairNetwork
from spikeseq.recipes.shared.parts import PIECE, PartTask, percent, spread
from spikeseq.recipes.shared.pictures import save_weights

MISSING = ("nothing", "image", "sound")


@dataclass
class PairTask(PartTask):
    """A network on pairs. train, evaluate: the sections of the settings. after: see `model.cross_after`."""

    model: PairNetwork
    corpus: PairData
    train: Any
    evaluate: Any
    after: int
    seed: int

    def order(self, epoch: int) -> list[int]:
        """The training pairs of an epoch, shuffled, `train.pairs` of them; all for the readout (epoch -1)."""
        rows = super().order(epoch)
        return rows[: self.train.pairs] if epoch >= 0 else rows

    def inputs(self, split: str, rows: Tensor | slice, missing: str = "nothing") -> tuple[Tensor, Tensor]:
        """Pixels and sounds of some pairs; what is missing is zeros."""
        given = self.corpus.splits[split]
        pixels, activity = given.images.pixels[rows], given.sounds.activity[given.sound_of[rows]]
        return pixels * (missing != "image"), activity * (missing != "sound")

    def _part(self, number: int, epoch: int, start: int, progress: Progress) -> dict[str, Any]:
        """Learns from some pairs. For the log, the counts of meanwhile label the neurons."""
        rows, network = self.rows(epoch, start), self.model.network
        began, shown = time.perf_counter(), []
        before = int(network.seen)
        for piece in rows.split(PIECE):
            network.train()
            rates = self.model.rates(*self.inputs("train", piece))
            shown.append(network(*rates, batch=self.train.batch_size))
            progress.step(float(shown[-1].counts.sum()) / len(piece), "spikes a pair")
        counts, times, inputs = map(torch.cat, zip(*shown, strict=True))
        targets = self.corpus.splits["train"].labels[rows]
        if network.plan.cross and before < self.after <= int(network.seen):
            self.model.connect(counts, targets)
        trained = time.perf_counter() - began
        accuracy = self._quick(counts, targets)
        repeats, spikes = float(times.double().mean()) - 1, float(counts.sum(1).double().mean())
        speed = round(len(rows) / trained)
        return {
            "epoch": number + 1,
            "what": "part",
            "pairs": int(network.seen),
            "loss": repeats,
            "loss_is": "times shown again, per pair",
            "spikes": round(spikes, 2),
            "input_spikes": round(float(inputs.double().mean()), 1),
            "validation": {"score": accuracy, "accuracy": accuracy},
            "seconds": round(trained, 2),
            "validation_seconds": round(time.perf_counter() - began - trained, 2),
            "pairs_per_second": speed,
            "shown": f"{spikes:.1f} spikes, {repeats:.2f} repeats, {speed:,} pairs/s",
        }

    def _picture(self, folder: Path) -> None:
        if self.model.uses[0]:
            save_weights(folder / "weights.png", self.model.network.get_parameter("weight0"), SIZE)

    def _quick(self, counts: Tensor, targets: Tensor) -> float:
        """Accuracy on some validation pairs, in percent, of neurons labelled by counts while learning."""
        labels = self.corpus.splits["validation"].labels
        rows = spread(len(labels), self.evaluate.quick)
        if len(targets.unique()) < 2:
            return 0.0
        votes = stdp.Votes.fit(counts, targets, len(self.corpus.classes))
        found = votes.predict(self.model.counts(*self.inputs("validation", rows), ANSWERING).counts)
        return 100 * float((found == labels[rows]).double().mean())

    def _finish(self, state: State) -> None:
        """Labels from training pairs, now that nothing is learnt any more; the whole validation split."""
        rows = self.labelled()
        counts = self.model.counts(*self.inputs("train", rows), LABELLING).counts
        self.model.learn_classes(counts, self.corpus.splits["train"].labels[rows], self.evaluate.penalty)
        found, _, _ = self.accuracies("validation")
        state.history[-1]["validation"] = {"score": found["accuracy"], **found}

    def accuracies(self, split: str, missing: str = "nothing") -> tuple[dict[str, float], stdp.Shown, Tensor]:
        """Of both readouts, in percent, `accuracy` being that of the settings; the spikes; the answers."""
        labels = self.corpus.splits[split].labels
        shown = self.model.counts(*self.inputs(split, slice(None), missing), ANSWERING)
        answers = {name: self.model.scores(shown.counts, name).argmax(1) for name in ("vote", "linear")}
        found = {name: percent(answer, labels) for name, answer in answers.items()}
        chosen = self.model.readout
        return {"accuracy": found[chosen], **found}, shown, answers[chosen]
