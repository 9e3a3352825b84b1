"""A training in parts, without gradients: shuffled rows, a log and a save after every part, and going on."""

import math
import random
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from spikeseq.recipes.engine import Progress
from spikeseq.recipes.history import State, checked_state, write_log
from spikeseq.recipes.resume import can_resume, check_module, go_on, keep, settle

PIECE = 250  # examples between two moves of the progress bar


class PartTask(ABC):
    """A network of ensembles that learns from some examples after the other.

    model: with the `network` that learns. corpus: its split "train" says how many there are. train: the
    section of the settings, with `epochs` and `part`; evaluate: with `labels`. seed: of the examples' order.
    """

    model: Any
    corpus: Any
    train: Any
    evaluate: Any
    seed: int

    def order(self, epoch: int) -> list[int]:
        """The training rows of an epoch, shuffled."""
        rows = list(range(len(self.corpus.splits["train"])))
        random.Random(f"{self.seed} {epoch}").shuffle(rows)
        return rows

    def parts(self) -> list[tuple[int, int]]:
        """(epoch, first row) of every part of the training."""
        starts = range(0, len(self.order(0)), self.train.part)
        return [(epoch, start) for epoch in range(self.train.epochs) for start in starts]

    def rows(self, epoch: int, start: int) -> Tensor:
        """Those of a part."""
        return torch.tensor(self.order(epoch)[start : start + self.train.part])

    def labelled(self) -> Tensor:
        """The training rows that the readout learns from."""
        return torch.tensor(self.order(-1))[: self.evaluate.labels]

    def fit(self, folder: Path, *, resume: bool, progress: Progress) -> tuple[Any, State]:
        """Trains the model; after every part the folder holds all that is needed to go on.

        Raises:
            ValueError: `resume.pt` is damaged or of another model; the readout's rows have one class.
        """
        labels = self.corpus.splits["train"].labels[self.labelled()]
        if len(found := labels.unique().tolist()) < 2:
            name = self.corpus.classes[found[0]]
            raise ValueError(f"evaluate.labels={len(labels)}: all of them of class {name}; take more")
        state = self._load(folder, progress) if resume and can_resume(folder) else State()
        if state.history:
            self._picture(folder)  # a kill may have come before the last one
        else:
            self._begin()
        write_log(folder, state.history)
        parts = self.parts()
        while state.epoch < len(parts):
            progress.start_epoch(state.epoch, math.ceil(len(self.rows(*parts[state.epoch])) / PIECE), "part")
            record = self._part(state.epoch, *parts[state.epoch], progress)
            state.history.append(record)
            state.best_epoch, state.best = state.epoch, record["validation"]["score"]
            state.epoch += 1
            self._save(folder, state)
            self._picture(folder)
            progress.end_epoch(record)
        self._finish(state)
        return self.model.eval(), state

    def _begin(self) -> None:
        """What is done to an untrained network."""
        return None

    def _picture(self, folder: Path) -> None:
        """A look at what the network has learnt so far, once a part."""
        return None

    @abstractmethod
    def _part(self, number: int, epoch: int, start: int, progress: Progress) -> dict[str, Any]:
        """Learns from the rows of a part; the entry of the log."""

    @abstractmethod
    def _finish(self, state: State) -> None:
        """What reads the network learns; the last entry of the log is about all validation rows."""

    def _save(self, folder: Path, state: State) -> None:
        save_state(folder, state, network=self.model.network.state_dict())

    def _load(self, folder: Path, progress: Progress) -> State:
        def restore(saved: dict[str, Any]) -> None:
            check_module(saved["network"], self.model.network, "network")
            self.model.network.load_state_dict(saved["network"])

        return load_state(folder, restore, progress)


def save_state(folder: Path, state: State, **kept: Any) -> None:
    """What a training goes on from, and its log."""
    keep(folder, {**kept, "state": vars(state)})
    write_log(folder, state.history)


def load_state(folder: Path, restore: Callable[[dict[str, Any]], Any], progress: Progress) -> State:
    """Gives what was kept to `restore`, which refuses what is of another model.

    Raises:
        ValueError: as `go_on`.
    """
    states = []

    def whole(saved: dict[str, Any]) -> None:
        states.append(checked_state(saved["state"]))
        restore(saved)

    settle(go_on(folder, whole, progress.say))
    return states[0]


def percent(answers: Tensor, labels: Tensor) -> float:
    return round(100 * float((answers == labels).double().mean()), 3)


def spread(size: int, count: int) -> Tensor:
    """At most `count` rows of `size`, evenly."""
    return torch.linspace(0, size - 1, min(size, count)).round().long()
