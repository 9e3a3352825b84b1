"""Training without labels on pairs, one after the other, and what the log says."""

import io
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq import stdp
from spikeseq.files import write_whole
from spikeseq.recipes.engine import RESUME_FILE, Progress, State, write_log
from spikeseq.recipes.multimodal.data import PairData
from spikeseq.recipes.multimodal.model import ANSWERING, LABELLING, PairNetwork

PIECE = 250  # pairs between two moves of the progress bar
MISSING = ("nothing", "image", "sound")


@dataclass
class PairTask:
    """A network on pairs. train, evaluate: the sections of the settings. after: see `model.cross_after`."""

    model: PairNetwork
    corpus: PairData
    train: Any
    evaluate: Any
    after: int
    seed: int

    def order(self, epoch: int) -> list[int]:
        """The training images of an epoch, shuffled."""
        rows = list(range(len(self.corpus.splits["train"])))
        random.Random(f"{self.seed} {epoch}").shuffle(rows)
        return rows[: self.train.pairs] if epoch >= 0 else rows

    def parts(self) -> list[tuple[int, int]]:
        """(epoch, first pair) of every part of the training."""
        starts = range(0, len(self.order(0)), self.train.part)
        return [(epoch, start) for epoch in range(self.train.epochs) for start in starts]

    def inputs(self, split: str, rows: Tensor | slice, missing: str = "nothing") -> tuple[Tensor, Tensor]:
        """Pixels and sounds of some pairs; what is missing is zeros."""
        given = self.corpus.splits[split]
        pixels, activity = given.images.pixels[rows], given.sounds.activity[given.sound_of[rows]]
        return pixels * (missing != "image"), activity * (missing != "sound")

    def fit(self, folder: Path, *, resume: bool, progress: Progress) -> tuple[PairNetwork, State]:
        """Trains the model; after every part the folder holds all that is needed to go on.

        Raises:
            ValueError: `resume.pt` is damaged or of another model.
        """
        state = self._load(folder) if resume and (folder / RESUME_FILE).exists() else State()
        write_log(folder, state.history)
        parts = self.parts()
        while state.epoch < len(parts):
            pairs = len(self._rows(*parts[state.epoch]))
            progress.start_epoch(state.epoch, math.ceil(pairs / PIECE), "part")
            record = self._part(state.epoch, *parts[state.epoch], progress)
            state.history.append(record)
            state.best_epoch, state.best = state.epoch, record["validation"]["score"]
            state.epoch += 1
            self._save(folder, state)
            progress.end_epoch(record)
        self._finish(state)
        return self.model.eval(), state

    def _rows(self, epoch: int, start: int) -> Tensor:
        return torch.tensor(self.order(epoch)[start : start + self.train.part])

    def _part(self, number: int, epoch: int, start: int, progress: Progress) -> dict[str, Any]:
        """Learns from some pairs. For the log, the counts of meanwhile label the neurons."""
        rows, network = self._rows(epoch, start), self.model.network
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
        rows = torch.tensor(self.order(-1))[: self.evaluate.labels]
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

    def _save(self, folder: Path, state: State) -> None:
        buffer = io.BytesIO()
        torch.save({"network": self.model.network.state_dict(), "state": vars(state)}, buffer)
        write_whole(folder / RESUME_FILE, buffer.getvalue())
        write_log(folder, state.history)

    def _load(self, folder: Path) -> State:
        path = folder / RESUME_FILE
        try:
            saved = torch.load(path, weights_only=True)
            self.model.network.load_state_dict(saved["network"])
            return State(**saved["state"])
        except OSError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} does not fit this model and configuration: {reason}") from None


def percent(answers: Tensor, labels: Tensor) -> float:
    return round(100 * float((answers == labels).double().mean()), 3)


def spread(size: int, count: int) -> Tensor:
    """At most `count` rows of `size`, evenly."""
    return torch.linspace(0, size - 1, min(size, count)).round().long()
