"""Training: kernels from images, part by part, then a linear read-out from labelled images."""

import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.recipes.engine import Progress
from spikeseq.recipes.features.learners import Learner, learner
from spikeseq.recipes.features.model import ConvClassifier
from spikeseq.recipes.history import State, write_log
from spikeseq.recipes.resume import can_resume, check_module
from spikeseq.recipes.shared.images.data import ImageData, ImageSplit
from spikeseq.recipes.shared.parts import load_state, percent, save_state, spread


@dataclass
class FeatureTask:
    """A model on images. train, evaluate: the sections of the settings."""

    model: ConvClassifier
    corpus: ImageData
    train: Any
    evaluate: Any
    seed: int

    def rows(self, purpose: str, count: int | None) -> Tensor:
        """`count` of the training images, chosen at random; the fewer are among the more."""
        rows = list(range(len(self.corpus.splits["train"])))
        random.Random(f"{self.seed} {purpose}").shuffle(rows)
        return torch.tensor(rows[:count])

    def some(self, purpose: str, count: int | None) -> ImageSplit:
        split, rows = self.corpus.splits["train"], self.rows(purpose, count)
        return ImageSplit(split.pixels[rows], split.labels[rows])

    def fit(self, folder: Path, *, resume: bool, progress: Progress) -> tuple[ConvClassifier, State]:
        """Trains the model; after every part the folder holds all that is needed to go on.

        Raises:
            ValueError: `resume.pt` is damaged or of another model; labels of one class alone.
        """
        images = self.some("kernels", self.train.images)
        ways = learner(self.model.settings.name, self.model, images, self.train, self.seed)
        if resume and can_resume(folder):
            state = self._load(folder, ways, progress)
        else:
            state = State()
            ways.start()
        write_log(folder, state.history)
        while state.epoch < ways.parts:
            progress.start_epoch(state.epoch, ways.steps(state.epoch), ways.what)
            started = time.perf_counter()
            record = {"epoch": state.epoch + 1, "what": ways.what, **ways.learn(state.epoch, progress)}
            trained = time.perf_counter()
            record["validation"] = self._quick()
            record["seconds"] = round(trained - started, 2)
            record["validation_seconds"] = round(time.perf_counter() - trained, 2)
            self._note(state, record)
            self._save(folder, ways, state)
            progress.end_epoch(record)
        started = time.perf_counter()
        labelled = self.some("labels", self.evaluate.labels)
        self.model.learn_classes(labelled.pixels, labelled.labels, self.evaluate.penalty)
        seconds = round(time.perf_counter() - started, 2)
        if not state.history:  # kernels at random have no parts
            self._note(state, {"epoch": 1, "loss": 0.0, "seconds": 0.0})
        found = self.accuracy(self.corpus.splits["validation"])
        state.history[-1] |= {"validation": {"score": found, "accuracy": found}, "readout_seconds": seconds}
        write_log(folder, state.history)
        return self.model.eval(), state

    def accuracy(self, split: ImageSplit) -> float:
        """In percent."""
        return percent(self.model(split.pixels).argmax(1), split.labels)

    def _quick(self) -> dict[str, float]:
        """Of a readout from a few labels, on a few validation images."""
        few = self.some("quick", self.evaluate.quick)
        split = self.corpus.splits["validation"]
        rows = spread(len(split), self.evaluate.quick)
        self.model.learn_classes(few.pixels, few.labels, self.evaluate.penalty)
        found = self.accuracy(ImageSplit(split.pixels[rows], split.labels[rows]))
        return {"score": found, "accuracy": found}

    def _note(self, state: State, record: dict[str, Any]) -> None:
        state.history.append(record)
        state.best_epoch, state.best = state.epoch, record.get("validation", {}).get("score", 0.0)
        state.epoch += 1

    def _save(self, folder: Path, ways: Learner, state: State) -> None:
        save_state(folder, state, model=self.model.state_dict(), learner=ways.state())

    def _load(self, folder: Path, ways: Learner, progress: Progress) -> State:
        def restore(saved: dict[str, Any]) -> None:
            check_module(saved["model"], self.model, "model")
            self.model.load_state_dict(saved["model"])
            ways.restore(saved["learner"])

        return load_state(folder, restore, progress)
